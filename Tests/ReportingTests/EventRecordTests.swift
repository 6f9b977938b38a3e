import Reporting
import Testing

/// Against what `RecordWriter` of tensorboard 2.20 writes for the same events.
@Suite("Event files") struct EventRecordTests {
  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  @Test("Scalars of a step")
  func scalars() {
    let record = EventRecord.scalars(
      [("train/loss", 0.25), ("train/grad_norm", -3e-5)], step: 300, time: 1.5)
    #expect(
      hexadecimal(record)
        == "39000000000000008b0737f109000000000000f83f10ac022a2b0a110a0a747261696e2f6c6f7373"
        + "150000803e0a160a0f747261696e2f677261645f6e6f726d1582a8fbb799b53138")
  }

  @Test("The beginning of a file, and a start behind a step")
  func starts() {
    #expect(
      hexadecimal(EventRecord.start(time: 1.5))
        == "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c")
    #expect(
      hexadecimal(EventRecord.restart(time: 1.5, step: 41))
        == "0f000000000000006d532b0909000000000000f83f10293a020801a6ac353d")
  }
}
