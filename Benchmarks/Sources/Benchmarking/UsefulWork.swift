/// The arithmetic that a step's mathematics needs, in floating-point operations.
///
/// Two for each multiply-add of: the frozen layers forward; the gradients of their inputs, down to
/// the lowest parameter that trains; the adapters forward and backward; attention on the causal
/// half; the head on rows that count. Norms, activations, softmax and the optimiser are left out,
/// and nothing that is computed again counts twice. So it is the same for every implementation.
package struct UsefulWork: Sendable {
  /// Products with frozen weights, the head's among them.
  package private(set) var frozen = 0.0
  /// Products with weights that train.
  package private(set) var trained = 0.0
  /// Scores and their use.
  package private(set) var attention = 0.0

  package var total: Double { frozen + trained + attention }

  /// Counts what `job` needs for one step with some sequences.
  ///
  /// For methods other than LoRA and full fine-tuning the method's own products, which are small,
  /// are left out; virtual tokens and prefixes are in.
  ///
  /// - Parameters:
  ///   - lengths: tokens of each sequence.
  ///   - method: a name as `--method` takes it, with the options of ``MethodChoice``.
  ///   - adapterRank: LoRA's `r`, on all linear layers.
  package init(_ job: Job, lengths: [Int], method: String, adapterRank: Int = 16) {
    let shape = job.shape
    let virtual = ["prompt-tuning", "p-tuning"].contains(method) ? MethodChoice.virtualTokens : 0
    let prefix = method == "prefix-tuning" ? MethodChoice.virtualTokens : 0
    let blocks = Double(shape.blockCount)
    let rows = Double(lengths.reduce(0) { $0 + $1 + virtual })
    let counted = Double(lengths.reduce(0) { $0 + job.countedTokens(of: $1) })
    let block = 2 * Double(shape.blockWeightCount)
    let head = 2 * Double(shape.hiddenSize * shape.vocabularySize)

    // The gradient of a block's input is needed where something below it trains.
    let inputOfFirst = 2 * Double(shape.projections.prefix(3).reduce(0) { $0 + $1.count })
    let isLowestInFirst = !["prompt-tuning", "p-tuning", "llama-adapter"].contains(method)
    let backwardBlocks =
      method == "llama-adapter" ? Double(MethodChoice.adapterLayers(shape)) : blocks
    frozen += rows * block * (blocks + backwardBlocks) + 2 * counted * head
    if isLowestInFirst && method != "full" { frozen -= rows * inputOfFirst }

    let pairs = lengths.reduce(0.0) { sum, length in
      let n = Double(length + virtual)
      return sum + n * (n + 1) / 2 + n * Double(prefix)
    }
    // Forward: scores, and values by them. Backward: the gradients of both products' operands.
    let perPair = 4 * Double(shape.headCount * shape.headDim)
    attention = perPair * pairs * (blocks + 2 * backwardBlocks)

    switch method {
    case "lora", "dora":
      let features = shape.projections.map { Double($0.inputSize + $0.outputSize) }
      // Forward, the gradients of A and B, and those of what goes into A and B.
      trained = 3 * rows * blocks * 2 * Double(adapterRank) * features.reduce(0, +)
      let inputs = Double(3 * shape.hiddenSize * adapterRank)
      trained -= rows * 2 * inputs
    case "full":
      trained = rows * block * blocks + counted * head
    default: break
    }
  }
}
