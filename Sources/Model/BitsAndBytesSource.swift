import Files
import Safetensors
import Tensors

/// The tensors of a directory that bitsandbytes quantised, as the model's own.
struct BitsAndBytesSource: WeightSource {
  private let plain: SafetensorsSource
  private let quantized: [String: QuantizedTensor]
  let names: [String]

  /// - Parameter isTransposed: whether Hugging Face's projections are `[in, out]` (GPT-2's `Conv1D`), of
  ///   which bitsandbytes makes `[out, in]`.
  init(_ plain: SafetensorsSource, isTransposed: Bool) throws(ModelError) {
    self.plain = plain
    let files = plain.files
    names = files.names.filter { !BitsAndBytesTensor.isCompanion($0, in: files) }
    var quantized: [String: QuantizedTensor] = [:]
    for name in names {
      do {
        if let stored = try BitsAndBytesTensor(name, in: files) {
          quantized[name] = QuantizedTensor(stored: stored, isTransposed: isTransposed)
        }
      } catch { throw .unreadableWeights(error) }
    }
    self.quantized = quantized
  }

  var path: String { plain.path }
  var identity: String { plain.identity }
  var mappedFiles: [MappedFile] { plain.mappedFiles }

  func contains(_ name: String) -> Bool { plain.contains(name) }

  func tensor(named name: String) throws(ModelError) -> any BaseTensor {
    if let tensor = quantized[name] { return tensor }
    return try plain.tensor(named: name)
  }

  func companions(of name: String) -> [any BaseTensor] { quantized[name]?.stored.companions ?? [] }
}

/// A quantised matrix.
private struct QuantizedTensor: BaseTensor {
  let stored: BitsAndBytesTensor
  let isTransposed: Bool

  var name: String { stored.weight.name }
  var path: String { stored.weight.path }
  var shape: [Int] { isTransposed ? stored.shape.reversed() : stored.shape }
  var formatName: String { stored.formatName }
  var elementType: ElementType? { nil }
  var byteCount: Int { stored.weight.byteCount }
  var unitBytes: Int { 1 }

  func hash(bytes range: Range<Int>) -> UInt64 { stored.weight.hash(bytes: range) }
  func releasePages(bytes range: Range<Int>) { stored.weight.releasePages(bytes: range) }
  func discard() { stored.weight.discard() }
  // All codes are numbers; scales are tensors of their own.
  func firstNonFinite(bytes range: Range<Int>) -> Int? { nil }

  func weight(layout: WeightMatrix.Layout) throws(ModelError) -> WeightMatrix { stored.matrix }

  func copyFloats(into target: MatrixView) throws(ModelError) {
    stored.matrix.copyFloats(
      into: target.reshaped(rows: shape[0], columns: shape[1]),
      as: isTransposed ? .inputMajor : .outputMajor)
  }

  func isIdentical(to other: any BaseTensor) -> Bool {
    guard let other = other as? QuantizedTensor else { return false }
    let (mine, others) = (stored.companions, other.stored.companions)
    return formatName == other.formatName && stored.weight.isIdentical(to: other.stored.weight)
      && mine.count == others.count && zip(mine, others).allSatisfy { $0.isIdentical(to: $1) }
  }
}
