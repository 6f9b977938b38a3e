import Kernels
import Tensors
import TestSupport
import Testing

@Suite("MemoryDigest") struct MemoryDigestTests {
  @Test("Every block and stretch shows, whatever the number of threads")
  func stretches() {
    let random = SeededRandom(2)
    let (one, two) = (random.matrix(1, 200_003), random.matrix(3, 50))
    let digest = MemoryDigest([one.view, MatrixView.empty, two.view])
    #expect(digest.byteCount == 4 * (200_003 + 150))
    let value = digest.value(on: Compute(threads: 1))
    #expect(digest.value(on: Compute(threads: 3)) == value)
    for (view, row, column) in [
      (one.view, 0, 0), (one.view, 0, 65_535), (one.view, 0, 65_536), (one.view, 0, 200_002),
      (two.view, 2, 49),
    ] {
      let bits = view[row, column].bitPattern
      view[row, column] = Float(bitPattern: bits ^ 1)
      #expect(digest.value(on: Compute(threads: 2)) != value)
      view[row, column] = Float(bitPattern: bits)
    }
    #expect(digest.value(on: Compute(threads: 2)) == value)
  }

  @Test("Results of blocks come in order, none of none")
  func mapping() {
    for threads in [1, 3] {
      let compute = Compute(threads: threads)
      #expect(compute.mapBlocks(1000) { "\($0)" } == (0..<1000).map { "\($0)" })
      #expect(compute.mapBlocks(0) { $0 } == [])
    }
  }

  @Test("More threads than any system starts are not started")
  func threads() {
    #expect(Compute.canStart(threads: 2))
    #expect(!Compute.canStart(threads: 1 << 40))
    #expect(!Compute.canStart(threads: 0))
  }
}
