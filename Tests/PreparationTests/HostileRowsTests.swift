import Foundation
import Preparation
import TestSupport
import Testing

@Suite("Rows that were made to do harm")
struct HostileRowsTests {
  private let place: Workplace

  init() throws { place = try Workplace() }

  private func prepare(_ name: String, _ bytes: some Sequence<UInt8>) throws -> PreparationReport {
    let path = place.directory.path(name)
    try write(Array(bytes), to: path)
    return try place.prepare([]) {
      $0.inputs = [path]
      $0.skipsBrokenRows = true
    }
  }

  @Test("A brace that closes nothing is a broken row, not one without end", .timeLimit(.minutes(1)))
  func brace() throws {
    let report = try prepare("rows.json", #"[{"text": "a b"}}, {"text": "c d"}, }}]"#.utf8)
    #expect(report.examples == 2 && report.brokenCount == 3)
  }

  /// What gzip makes of nothing.
  private static let emptyMember: [UInt8] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  ]

  @Test("Members without bytes cost next to nothing", .timeLimit(.minutes(1)))
  func emptyMembers() throws {
    let rows = try bytes(of: fixturePath("rows/rows.jsonl.gz"))
    let clock = ThreadClock()
    let time = try clock.measure {
      let empty = [[UInt8]](repeating: Self.emptyMember, count: 20_000)
      let report = try prepare("rows.jsonl.gz", empty.joined() + rows)
      #expect(report.examples == 8)
    }
    #expect(time < .seconds(5))
  }

  @Test("A row without end is refused before it fills the memory")
  func endless() throws {
    let start = "{\"text\": \"a b\"}\n{\"text\": \""
    let row = Array(start.utf8) + [UInt8](repeating: UInt8(ascii: "a"), count: 65 << 20)
    let error = #expect(throws: PreparationError.self) { try prepare("endless.jsonl", row) }
    #expect(error?.description.contains("line 2 has more than 64 MiB") == true)
  }
}
