import JSON
import Kernels
import Tensors

/// The frozen layers of a block from a quantised base, against the same layers in bf16, by turns.
///
/// Whoever decodes blocks while packing panels pays for it once a product: the more tokens a product
/// has, the less it shows. Everything else of a step is the same for both, so that a step's ratio lies
/// between that of its products and 1.
package enum BaseBenchmark {
  /// Measures every format on the seven layers of a block of jobs A and B, forward and backward.
  ///
  /// - Parameters:
  ///   - tokens: of a product, each measured by itself.
  ///   - precisions: of the arithmetic.
  ///   - threads: that work together.
  ///   - isQuick: fewer turns.
  ///   - didMeasure: gets each row as it is made, as a table of one row.
  package static func run(
    tokens: [Int], precisions: [Precision], threads: Int, isQuick: Bool,
    didMeasure: (Section) -> Void = { _ in }
  ) -> [Section] {
    let compute = Peak.compute(threads: threads, instructionSet: .best)
    return [Job.a, Job.b].map { job in
      let columns: [Section.Column] = [
        .init("format", "base"), .init("bits", "bits a weight", .fixed(2)),
        .init("precision", "arithmetic"), .init("tokens", "tokens"),
        .init("bf16_gflops", "bf16 GFLOP/s", .fixed(1)), .init("gflops", "GFLOP/s", .fixed(1)),
        .init("ratio", "of bf16", .percent), .init("spread", "±", .percent),
      ]
      var section = Section(
        "bases_\(job.name)",
        title: "Products of a block of job \(job.name) (\(job.shape.name)) from quantised bases, "
          + "\(threads) \(threads == 1 ? "thread" : "threads"), \(InstructionSet.best.rawValue)",
        columns: columns)
      let plain = BlockWeights(job.shape, .bfloat16)
      let bases = BlockWeights.Storage.quantized.compactMap { storage in
        BlockWeights.canStore(job.shape, storage) ? BlockWeights(job.shape, storage) : nil
      }
      for count in tokens {
        let operands = BlockOperands(job.shape, tokens: count)
        for precision in precisions {
          for base in bases {
            let row = row(
              base, against: plain, operands, precision, turns: isQuick ? 3 : 15, on: compute)
            section.append(row, didMeasure: didMeasure)
          }
        }
      }
      return section
    }
  }

  private static func row(
    _ base: BlockWeights, against plain: BlockWeights, _ operands: BlockOperands,
    _ precision: Precision, turns: Int, on compute: Compute
  ) -> Section.Row {
    for weights in [plain, base] { operands.run(weights, precision, on: compute) }
    var (ratios, plainTimes, times): ([Double], [Double], [Double]) = ([], [], [])
    for turn in 0..<turns {
      var pair = [0.0, 0.0]
      // Who comes first changes, since a machine's speed does while it is measured.
      for index in turn % 2 == 0 ? [0, 1] : [1, 0] {
        pair[index] = Stopwatch.seconds {
          operands.run(index == 0 ? plain : base, precision, on: compute)
        }
      }
      plainTimes.append(pair[0])
      times.append(pair[1])
      ratios.append(pair[0] / pair[1])
    }
    let ratio = Sample(ratios)
    return [
      "format": .string(base.name), "bits": .double(base.bitsPerWeight),
      "precision": .string(precision.rawValue), "tokens": .int(operands.tokens),
      "bf16_gflops": .double(operands.operations / Sample(plainTimes).median / 1e9),
      "gflops": .double(operands.operations / Sample(times).median / 1e9),
      "ratio": .double(ratio.median), "spread": ratio.spreadValue,
    ]
  }
}

/// The frozen weights of one block, stored in one way.
private final class BlockWeights {
  /// How a base stores its weights.
  enum Storage {
    case bfloat16
    case blocks(BlockFormat)
    case nf4

    static let quantized = [.nf4] + BlockFormat.all.map { Storage.blocks($0) }

    /// Numbers that share a scale, of which rows are whole blocks.
    var blockSize: Int {
      switch self {
      case .bfloat16: 1
      case .blocks(let format): format.elements
      case .nf4: BaseQuantization.nf4.blockSize
      }
    }
  }

  let name: String
  let bitsPerWeight: Double
  /// By the layers' order in the block.
  let matrices: [WeightMatrix]
  private let stored: [StoredWeight]
  private let bytes: SharedBytes?
  private let tables: [AnyObject]

  /// Whether rows of all layers are whole blocks.
  static func canStore(_ shape: ModelShape, _ storage: Storage) -> Bool {
    shape.projections.allSatisfy { $0.inputSize % storage.blockSize == 0 }
  }

  init(_ shape: ModelShape, _ storage: Storage) {
    let layers = shape.projections
    switch storage {
    case .bfloat16, .nf4:
      stored = layers.enumerated().map {
        StoredWeight(
          inputSize: $1.inputSize, outputSize: $1.outputSize, type: .bfloat16,
          seed: UInt64(40 + $0))
      }
    case .blocks(let format):
      stored = layers.enumerated().map {
        StoredWeight(
          inputSize: $1.inputSize, outputSize: $1.outputSize, format: format, seed: UInt64(40 + $0))
      }
    }
    switch storage {
    case .bfloat16: (name, bitsPerWeight) = ("BF16", 16)
    case .blocks(let format):
      (name, bitsPerWeight) = (format.name, 8 * Double(format.bytes) / Double(format.elements))
    case .nf4: (name, bitsPerWeight) = ("NF4", 4 + 32 / Double(storage.blockSize))
    }
    guard case .nf4 = storage else {
      (matrices, bytes, tables) = (stored.map(\.matrix), nil, [])
      return
    }
    let sizes = stored.map { WeightQuantization.byteCount($0.matrix, as: .nf4) }
    let shared: SharedBytes
    do {
      shared = try SharedBytes(byteCount: sizes.reduce(0, +))
    } catch {
      preconditionFailure("\(error)")
    }
    let compute = Peak.compute(threads: 1, instructionSet: .best)
    var (results, owners): ([WeightMatrix], [AnyObject]) = ([], [])
    var offset = 0
    for (weight, size) in zip(stored, sizes) {
      WeightQuantization.quantize(
        weight.matrix, as: .nf4, rows: 0..<weight.matrix.outputSize, into: shared, at: offset,
        on: compute)
      let (matrix, table) = WeightQuantization.quantized(
        weight.matrix, as: .nf4, in: shared, at: offset)
      results.append(matrix)
      if let table { owners.append(table) }
      offset += size
    }
    (matrices, bytes, tables) = (results, shared, owners)
  }
}

/// What goes into the layers of a block and comes out, for so many tokens.
private final class BlockOperands {
  let tokens: Int
  /// Floating-point operations of `run`.
  let operations: Double
  private var matrices: [Int: (input: OperandMatrix, output: OperandMatrix)] = [:]

  init(_ shape: ModelShape, tokens: Int) {
    self.tokens = tokens
    operations = 4 * Double(tokens) * Double(shape.blockWeightCount)
    for size in Set(shape.projections.flatMap { [$0.inputSize, $0.outputSize] }) {
      let input = OperandMatrix(tokens, size, seed: UInt64(size))
      input.view.roundToBFloat16()
      matrices[size] = (input, OperandMatrix(rows: tokens, columns: size))
    }
  }

  /// All layers forward, then the gradients of their inputs.
  func run(_ weights: BlockWeights, _ precision: Precision, on compute: Compute) {
    for weight in weights.matrices {
      guard let x = matrices[weight.inputSize], let y = matrices[weight.outputSize] else {
        continue
      }
      Linear.forward(
        x.input.view, weight: weight, bias: nil, into: y.output.view,
        arithmetic: precision.arithmetic, on: compute)
    }
    for weight in weights.matrices.reversed() {
      guard let dx = matrices[weight.inputSize], let dy = matrices[weight.outputSize] else {
        continue
      }
      Linear.backwardInput(
        dy.input.view, weight: weight, into: dx.output.view, arithmetic: precision.arithmetic,
        on: compute)
    }
  }
}
