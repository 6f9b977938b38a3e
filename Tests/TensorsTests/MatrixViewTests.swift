import Hashing
import Tensors
import TestSupport
import Testing

@Suite("Views of matrices") struct MatrixViewTests {
  @Test("A matrix with gaps has a hash of its elements alone")
  func gaps() {
    let random = SeededRandom(3)
    let matrix = random.matrix(5, 7, rowStride: 11)
    let hash = XXH64.hash(matrix.view)
    matrix.view[4, 6] = -matrix.view[4, 6]
    #expect(XXH64.hash(matrix.view) != hash)
    matrix.view[4, 6] = -matrix.view[4, 6]
    #expect(XXH64.hash(matrix.view) == hash)
  }
}
