import DataParallel
import Diagnostics
import Testing

@Suite("Signs of life between nodes")
struct NodeBeatsTests {
  private let nodes = ["red", "green", "blue"].enumerated().map {
    NodeBeats.Node(name: $0.element, ranks: [$0.offset])
  }

  private func moment(step: UInt64) -> RunProgress.Moment {
    RunProgress.Moment(count: 0, step: step, phase: .reduction, isWaiting: true)
  }

  /// A node with what it knows.
  private struct Watcher {
    let beats: NodeBeats
    var sightings: [NodeBeats.Sighting]

    init?(_ beats: NodeBeats?) {
      guard let beats else { return nil }
      self.beats = beats
      sightings = beats.noSightings
    }

    mutating func look(_ moment: RunProgress.Moment) {
      beats.exchange(&sightings, passed: 1, moment: moment, sends: true)
    }
    func silent(_ limit: Double) -> [Int] { beats.silent(sightings, limit: limit) }
  }

  @Test("Who falls silent is known to rank 0, and rank 0's silence to the others")
  func silence() throws {
    var red = try #require(Watcher(NodeBeats(nodes: nodes)))
    let invitation = red.beats.invitation
    var green = try #require(Watcher(NodeBeats(nodes: nodes, own: 1, invitation: invitation)))
    var blue = try #require(Watcher(NodeBeats(nodes: nodes, own: 2, invitation: invitation)))
    for step in 1...5 {
      for _ in 0..<2 {
        green.look(moment(step: UInt64(step)))
        blue.look(moment(step: UInt64(step) + 10))
        red.look(moment(step: UInt64(step) + 20))
      }
    }
    #expect(red.silent(3) == [] && green.silent(3) == [] && blue.silent(3) == [])
    #expect(red.sightings[1].moment == moment(step: 5))
    #expect(red.sightings[2].moment == moment(step: 15))
    #expect(green.sightings[0].moment.step >= 24)
    // They hear rank 0 alone.
    #expect(!green.sightings[2].isHeard && !blue.sightings[1].isHeard)

    for _ in 0..<4 {
      green.look(moment(step: 6))
      red.look(moment(step: 26))
    }
    #expect(red.silent(3) == [2], "blue said nothing")
    #expect(red.sightings[2].moment == moment(step: 15))
    #expect(green.silent(3) == [])
    for _ in 0..<5 { green.look(moment(step: 7)) }
    #expect(green.silent(3) == [0], "red answered nothing")
  }

  @Test("A node that was never heard is not called silent: nothing may get through at all")
  func neverHeard() throws {
    var red = try #require(Watcher(NodeBeats(nodes: nodes)))
    for _ in 0..<100 { red.look(moment(step: 1)) }
    #expect(red.silent(3) == [])
  }

  @Test("Datagrams of another job are no signs of life")
  func strangers() throws {
    var red = try #require(Watcher(NodeBeats(nodes: nodes)))
    var parts = red.beats.invitation.split(separator: " ").map(String.init)
    parts[0] = "12345"
    let other = parts.joined(separator: " ")
    var stranger = try #require(Watcher(NodeBeats(nodes: nodes, own: 1, invitation: other)))
    for _ in 0..<5 {
      stranger.look(moment(step: 1))
      red.look(moment(step: 1))
    }
    #expect(!red.sightings[1].isHeard && !stranger.sightings[0].isHeard)
    #expect(NodeBeats(nodes: nodes, own: 1, invitation: "") == nil)
  }
}
