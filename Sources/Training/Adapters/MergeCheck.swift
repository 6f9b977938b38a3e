import Kernels
import Model
import Tensors

/// The proof of a merged model: its logits against those of base plus adapter.
///
/// ```swift
/// let check = try MergeCheck(base: decoder, compute: compute)
/// let error = try check.error(of: "merged", roundedTo: .bfloat16)
/// ```
///
/// One sequence of tokens from all over the vocabulary is enough: a wrong factor or a transposed
/// matrix anywhere shows in its logits. It computes in f32, so that what it finds is the weights'.
public struct MergeCheck {
  /// Tokens of the sequence, where the model has the positions.
  private static let length = 32

  private let tokens: [Int]
  private let expected: [Float]
  private let compute: Compute
  private let blockCount: Int

  /// Computes what the merged model must.
  ///
  /// - Parameter base: the base with the adapter attached.
  /// - Parameter compute: the threads that compute it.
  /// - Throws: `ModelError` where the model cannot hold the sequence.
  public init(base: Decoder, compute: Compute) throws {
    let configuration = base.configuration
    let count = max(1, min(Self.length, configuration.maximumPositions))
    // A step by the golden section visits every part of the vocabulary.
    let step = Double(configuration.vocabularySize) * 0.618_033_988_75
    tokens = (1...count).map { Int(Double($0) * step) % configuration.vocabularySize }
    blockCount = configuration.blockCount
    self.compute = compute
    expected = try Self.logits(of: base, tokens, compute)
  }

  /// How far a directory's logits are from those of base and adapter, as a share of their norm.
  ///
  /// - Parameter directory: a merged model.
  /// - Parameter type: the coarsest type that merged weights were rounded to.
  /// - Throws: `TrainingError.mergeDiffers` where it is more than rounding explains.
  public func error(of directory: String, roundedTo type: ElementType) throws -> Double {
    try error(of: directory, limit: limit(type))
  }

  /// The same of a GGUF file whose matrices are stored in a type of its.
  public func error(ofGGUF path: String, type: String) throws -> Double {
    switch type {
    case "F32": try error(of: path, limit: limit(.float32))
    case "F16": try error(of: path, limit: limit(.float16))
    case "BF16": try error(of: path, limit: limit(.bfloat16))
    // Half a step of 127 to the largest of 32 numbers, six times bf16's half unit of a usual one.
    default: try error(of: path, limit: min(0.25, 6 * limit(.bfloat16)))
    }
  }

  private func error(of directory: String, limit: Double) throws -> Double {
    let found = try Self.logits(of: Decoder(directory: directory), tokens, compute)
    var (difference, norm) = (0.0, 0.0)
    for (a, b) in zip(found, expected) {
      difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
      norm += Double(b) * Double(b)
    }
    let error = (difference / max(norm, .leastNormalMagnitude)).squareRoot()
    // Also where a logit is not a number.
    guard error <= limit else { throw TrainingError.mergeDiffers(error: error, limit: limit) }
    return error
  }

  /// What rounding may do: f32 leaves another order of summation; half a unit of a 16-bit weight adds
  /// up like a random walk over the blocks, and 16 times that leaves room for what a block amplifies.
  private func limit(_ type: ElementType) -> Double {
    let unit =
      switch type {
      case .float32: 0.0
      case .float16: 0x1p-11
      case .bfloat16: 0x1p-8
      }
    return min(0.25, 1e-4 + 8 * unit * Double(blockCount).squareRoot())
  }

  private static func logits(of decoder: Decoder, _ tokens: [Int], _ compute: Compute) throws
    -> [Float]
  {
    let count = tokens.count
    _ = try decoder.prepare(
      for: .inference, maximumTokens: count, maximumSequences: 1, maximumLength: count)
    let batch = decoder.makeBatch(maximumTokens: count, maximumSequences: 1)
    batch.beginSequence()
    for token in tokens { batch.append(token: token, isTarget: false) }
    batch.endSequence()
    let rows = IndexBuffer(Array(0..<count))
    let vocabulary = decoder.configuration.vocabularySize
    let buffer = FloatBuffer(count: count * vocabulary)
    let logits = buffer.view(rows: count, columns: vocabulary)
    decoder.logits(
      Pass(batch: batch, compute: compute, isTraining: false), rows: rows.all, into: logits)
    return logits.elements
  }
}
