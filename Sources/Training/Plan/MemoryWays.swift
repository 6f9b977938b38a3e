/// What would make the memory of a run's ranks fit.
struct MemoryWays {
  /// Bytes that a rank has for itself.
  let own: Int
  /// Activations among them.
  let workspace: Int
  /// Bytes of activations where they are computed again in backward; nil where they are already.
  let recomputed: Int?
  /// What of a rank's bytes goes with the number of trained weights.
  let training: Int
  /// Whether every weight of the base trains.
  let trainsAll: Bool
  /// Ranks that share a node.
  let ranks: Int
  /// Whether the base is kept as it is stored, in numbers that fewer bits could stand for.
  let isQuantizable: Bool

  /// Those that are enough by themselves; if none is, what the most memory goes by.
  ///
  /// - Parameter fits: whether so many ranks of so many bytes each do.
  func list(_ fits: (_ own: Int, _ ranks: Int) -> Bool) -> [String] {
    var ways: [String] = []
    if let recomputed {
      let less = own - workspace + recomputed
      if fits(less, ranks) {
        ways.append(
          "--gradient-checkpointing (\(megabytes(less)) a rank in place of \(megabytes(own)))")
      }
    }
    if ranks > 1, let fewer = (1..<ranks).last(where: { fits(own, $0) }) {
      ways.append("at most \(fewer) rank\(fewer == 1 ? "" : "s") a node, each of more threads")
    }
    let smaller = "a smaller --micro-batch-size (or --micro-batch-tokens) or --max-length"
    if workspace > 0 && fits(own - workspace, ranks) { ways.append(smaller) }
    if training > 0 && fits(own - training, ranks) {
      ways.append(trainsAll ? "an adapter (--method lora)" : "an adapter of fewer weights")
    }
    guard ways.isEmpty else { return ways }
    if workspace > 0 { ways.append(smaller) }
    if isQuantizable && !trainsAll { ways.append("--quantize-base nf4") }
    return [ways.joined(separator: ", ") + (ways.isEmpty ? "" : ", or ") + "a smaller base"]
  }
}
