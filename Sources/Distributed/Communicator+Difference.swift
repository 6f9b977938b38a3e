import Diagnostics
import Hashing

/// Something that all ranks must have alike, as text.
public struct SharedFact: Sendable, Hashable {
  /// What it is, as a message names it: `learning_rate`, `tensor 'model.norm.weight'`.
  public let name: String
  /// What this rank has.
  public let value: String

  /// Names a value.
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

/// The first fact that ranks have differently, told to all of them.
public struct RankDifference: Sendable, Hashable {
  /// Which fact.
  public let fact: String
  /// The ranks that do not have what most have.
  public let ranks: [Int]
  /// The nodes of those ranks, each once; empty where there is one node.
  public let processors: [String]
  /// What most ranks have; of two values that equally many have, the one of the lowest rank.
  public let expected: String
  /// The lowest rank that has it.
  public let reference: Int
  /// What the first of `ranks` has.
  public let found: String
  /// Number of ranks.
  public let worldSize: Int

  /// For example `rank 3 of 8 (on node7) has 'x', rank 0 has 'y'`.
  public var sentence: String {
    let place = processors.isEmpty ? "" : " (on \(processors.prefix(8).joined(separator: ", ")))"
    let verb = ranks.count == 1 ? "has" : "have"
    return
      "\(MPIError.list(ranks)) of \(worldSize)\(place) \(verb) \(found), rank \(reference) has \(expected)"
  }
}

extension Communicator {
  /// What stands for a fact that a rank does not have at all.
  public static let absent = "nothing"

  /// Compares facts over all ranks, which all call it, by their names.
  ///
  /// Where all is well one hash a rank travels. Otherwise every rank gets every rank's facts.
  /// - Returns: the first fact, in rank 0's order, that is not the same on all ranks; nil where there
  ///   is none.
  public func firstDifference(_ facts: [SharedFact]) throws(MPIError) -> RankDifference? {
    if worldSize == 1 { return nil }
    let text = facts.map { "\($0.name)\u{1f}\($0.value)" }.joined(separator: "\u{1e}")
    var hashes = [UInt64](repeating: 0, count: worldSize)
    try allGather([XXH64.hash(text)], into: &hashes)
    guard hashes.contains(where: { $0 != hashes[0] }) else { return nil }
    let nodes = try allGather(processorName)
    let rows = try allGather(text).map { row in
      row.split(separator: "\u{1e}").map { fact in
        let parts = fact.split(
          separator: "\u{1f}", maxSplits: 1, omittingEmptySubsequences: false)
        return SharedFact(String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
      }
    }
    return Self.firstDifference(rows, nodes: nodeCount > 1 ? nodes : [])
  }

  /// The first fact that the rows, one a rank, do not agree on.
  static func firstDifference(_ rows: [[SharedFact]], nodes: [String]) -> RankDifference? {
    let values = rows.map { row in
      Dictionary(row.map { ($0.name, $0.value) }, uniquingKeysWith: { one, _ in one })
    }
    var seen: Set<String> = []
    for fact in rows.joined() where seen.insert(fact.name).inserted {
      let found = values.map { $0[fact.name] ?? absent }
      guard found.contains(where: { $0 != found[0] }) else { continue }
      let counts = Dictionary(grouping: found.indices) { found[$0] }
      // The most frequent; among equals the one that the lowest rank has.
      let best = counts.max {
        ($0.value.count, -$0.value[0]) < ($1.value.count, -$1.value[0])
      }
      guard let expected = best?.key, let reference = best?.value.first else { continue }
      let ranks = found.indices.filter { found[$0] != expected }
      var processors: [String] = []
      for rank in ranks where rank < nodes.count && !processors.contains(nodes[rank]) {
        processors.append(nodes[rank])
      }
      return RankDifference(
        fact: fact.name, ranks: ranks, processors: processors, expected: expected,
        reference: reference, found: found[ranks[0]], worldSize: rows.count)
    }
    return nil
  }

  /// Throws on every rank where the ranks were not all given the same settings.
  ///
  /// - Parameter settings: what was set, by key, as text.
  public func agreeOnConfiguration(_ settings: [String: String]) throws(MPIError) {
    let facts = settings.sorted { $0.key < $1.key }.map { SharedFact($0.key, "'\($0.value)'") }
    if let difference = try firstDifference(facts) { throw .configurationsDiffer(difference) }
  }

  /// Throws on every rank where the facts are not the same on all ranks.
  ///
  /// - Parameters:
  ///   - facts: of the same names, in the same order, on all ranks.
  ///   - what: what they are facts of, for the message: `the base`.
  ///   - remedy: a sentence that says what to do.
  ///   - errorClass: what the exit status follows from.
  public func agree(
    on facts: [SharedFact], of what: String, remedy: String, errorClass: ErrorClass
  ) throws(MPIError) {
    if let difference = try firstDifference(facts) {
      throw .ranksDiffer(what: what, difference, remedy: remedy, errorClass: errorClass)
    }
  }
}
