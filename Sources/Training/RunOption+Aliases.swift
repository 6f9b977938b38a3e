extension RunOption {
  /// What a name that other trainers use stands for here.
  public enum Translation: Sendable, Hashable {
    /// Another name for this key.
    case key(String)
    /// Something that is said otherwise here.
    case advice(String)
  }

  /// The meaning of a name that other trainers use; nil when it is nobody's.
  ///
  /// - Parameter name: with dashes or underscores.
  public static func translation(of name: String) -> Translation? {
    switch name.replacing("-", with: "_") {
    case "lora_r", "lora_rank": .key("r")
    case "per_device_train_batch_size": .key("micro_batch_size")
    case "cutoff_len", "max_seq_length", "sequence_len": .key("max_length")
    case "model_name_or_path", "base_model": .key("model")
    case "num_train_epochs": .key("num_epochs")
    case "clip_grad_norm": .key("max_grad_norm")
    case "compare": .advice("run 'swift-peft-train compare', which alone reads that section")
    case "gradient_accumulation_steps":
      .advice(
        "set global_batch_size to the sequences of one optimiser step over all ranks (micro-batch "
          + "size x accumulation steps x ranks)")
    default: nil
    }
  }
}

/// The candidate that takes the fewest insertions, deletions, changes and swaps of neighbours to
/// make of `name` (optimal string alignment distance), if that is at most a third of its length.
public func nearestName(to name: String, among candidates: [String]) -> String? {
  let limit = max(1, min(4, name.count / 3))
  let ranked = candidates.map { ($0, editDistance(Array(name.utf8), Array($0.utf8))) }
  guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 <= limit else {
    // A name that was cut short or ran on: max_grad, learning_rate_peak.
    return candidates.first { name.count >= 4 && ($0.hasPrefix(name) || name.hasPrefix($0 + "_")) }
  }
  return best.0
}

private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforeLast = [Int](repeating: 0, count: b.count + 1)
  var last = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        cost = min(cost, beforeLast[j - 1] + 1)
      }
      row.append(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.count]
}
