import Files
import GGUF
import Tensors

/// The tensors of a GGUF file under Hugging Face's names, with what the converter changed undone.
struct GGUFSource: WeightSource {
  let model: GGUFModel
  let configuration: DecoderConfiguration

  var path: String { model.path }
  var names: [String] { model.tensors.map(\.name) }
  var identity: String { model.files.files.map(\.identity).joined(separator: " ") }

  var mappedFiles: [MappedFile] { model.files.files.map(\.file) }

  func contains(_ name: String) -> Bool { model.tensor(named: name) != nil }

  func tensor(named name: String) throws(ModelError) -> any BaseTensor {
    guard let tensor = model.tensor(named: name) else {
      throw .missingTensor(name: name, path: path, similar: [])
    }
    return StoredGGUFTensor(
      name: name, tensor: tensor, interleavedHead: model.interleavedHead(name),
      isTransposed: configuration.storesInputMajor(name, shape: tensor.shape))
  }
}

/// A tensor of a GGUF file as Hugging Face's model has it.
struct StoredGGUFTensor: BaseTensor {
  let name: String
  let tensor: GGUFTensor
  /// Rows of a head whose halves are stored by turns; 0 for none.
  let interleavedHead: Int
  /// Whether Hugging Face's dimensions are the other way round (`Conv1D`).
  let isTransposed: Bool

  var path: String { tensor.path }
  var shape: [Int] { isTransposed ? tensor.shape.reversed() : tensor.shape }
  var formatName: String { tensor.type.name }
  var elementType: ElementType? { tensor.type.format?.elementType }
  var byteCount: Int { tensor.byteCount }
  var unitBytes: Int { tensor.type.bytes }

  func hash(bytes range: Range<Int>) -> UInt64 { tensor.hash(bytes: range) }
  func firstNonFinite(bytes range: Range<Int>) -> Int? { tensor.firstNonFinite(bytes: range) }
  func releasePages(bytes range: Range<Int>) { tensor.releasePages(bytes: range) }
  func discard() { tensor.discard() }

  func weight(layout: WeightMatrix.Layout) throws(ModelError) -> WeightMatrix {
    precondition(
      shape.count == 2 && (layout == .inputMajor) == isTransposed, "\(name) is \(shape)")
    // `[output, input]` in the file, whatever Hugging Face's layout.
    do { return try tensor.weight(interleavedHead: interleavedHead) } catch {
      throw .unreadableWeights(error)
    }
  }

  func copyFloats(into target: MatrixView) throws(ModelError) {
    precondition(target.count == elementCount, "[\(target.rows), \(target.columns)] for \(shape)")
    do throws(GGUFError) {
      if shape.count == 2 {
        try tensor.weight(interleavedHead: interleavedHead)
          .copyFloats(
            into: target.reshaped(rows: shape[0], columns: shape[1]),
            as: isTransposed ? .inputMajor : .outputMajor)
      } else {
        // Each element is a row, so that those of heads are put right.
        try tensor.vector(interleavedHead: interleavedHead)
          .copyFloats(into: target.reshaped(rows: target.count, columns: 1))
      }
    } catch { throw .unreadableWeights(error) }
  }

  func isIdentical(to other: any BaseTensor) -> Bool {
    (other as? StoredGGUFTensor).map { tensor.isIdentical(to: $0.tensor) } ?? false
  }
}
