import DataParallel
import Tensors
import Testing

@Suite("StateHash")
struct StateHashTests {
  @Test("Every bit, the order and the sign of zero show in the hash")
  func sensitivity() {
    let buffer = FloatBuffer(count: 40)
    let view = buffer.view(rows: 4, columns: 10)
    var seen: Set<UInt64> = [StateHash.of(view)]
    for bit in 0..<32 {
      view[2, 3] = Float(bitPattern: 1 << UInt32(bit))
      #expect(seen.insert(StateHash.of(view)).inserted)
    }
    view.assign((0..<40).map { Float($0) })
    #expect(seen.insert(StateHash.of(view)).inserted)
    (view[0, 0], view[3, 9]) = (view[3, 9], view[0, 0])
    #expect(seen.insert(StateHash.of(view)).inserted)
  }

  @Test("The hash is the same in every process")
  func stable() {
    #expect(StateHash.of("".utf8) == StateHash.of([UInt8]()))
    // Computed outside of this program, from the constants of the declaration.
    #expect(StateHash.of("seed: 42".utf8) == 16_998_656_760_328_683_884)
  }
}
