import Files
import Safetensors
import Tensors

/// A tensor of a base as it is stored, under Hugging Face's name.
package protocol BaseTensor: Sendable {
  /// Its name.
  var name: String { get }
  /// The file it lies in.
  var path: String { get }
  /// Its dimensions in Hugging Face's model.
  var shape: [Int] { get }
  /// How its numbers are stored, for people and fingerprints: `BF16`, `Q4_K`.
  var formatName: String { get }
  /// The type of its numbers where they are stored one by one in one that the program computes
  /// with.
  var elementType: ElementType? { get }
  /// Bytes in the file.
  var byteCount: Int { get }
  /// Bytes that belong together: blocks for reading begin at multiples of it.
  var unitBytes: Int { get }

  /// XXH64 of some of its bytes.
  func hash(bytes range: Range<Int>) -> UInt64
  /// An element in some of its bytes, whole units, that is infinite or not a number.
  func firstNonFinite(bytes range: Range<Int>) -> Int?
  /// Tells the system that some of its bytes will not be read soon.
  func releasePages(bytes range: Range<Int>)
  /// Gives up the bytes where they were received from another node, for good.
  func discard()
  /// A hash of some words, in fingerprints of earlier versions.
  func sampledHash() -> UInt64

  /// The matrix in place.
  ///
  /// - Parameter layout: which of ``shape``'s dimensions is the outer one; what is returned may lie
  /// the
  ///   other way round.
  func weight(layout: WeightMatrix.Layout) throws(ModelError) -> WeightMatrix
  /// All numbers as f32, in the order of ``shape``.
  func copyFloats(into target: MatrixView) throws(ModelError)
  /// Whether another tensor of the same source has the same shape, format and bytes.
  func isIdentical(to other: any BaseTensor) -> Bool
}

extension BaseTensor {
  /// Number of elements.
  package var elementCount: Int { shape.reduce(1, *) }
  /// The hash of all of them, where no earlier version had such tensors.
  package func sampledHash() -> UInt64 { hash(bytes: 0..<byteCount) }
}

/// Where a base's tensors come from: files that are mapped and stay so as long as this.
package protocol WeightSource: Sendable {
  /// The directory or file, for messages.
  var path: String { get }
  /// The names of all tensors, Hugging Face's.
  var names: [String] { get }
  /// What is the same for two processes of one machine where they mapped the same files.
  var identity: String { get }
  /// The files, as they are in memory.
  var mappedFiles: [MappedFile] { get }
  /// Whether there is a tensor of that name.
  func contains(_ name: String) -> Bool
  /// A tensor by its name.
  func tensor(named name: String) throws(ModelError) -> any BaseTensor
  /// What lies apart from a tensor and belongs to it, such as its scales; not in ``names``.
  func companions(of name: String) -> [any BaseTensor]
}

extension WeightSource {
  /// Nothing lies apart.
  package func companions(of name: String) -> [any BaseTensor] { [] }
}

// MARK: Safetensors

/// The safetensors files of a model directory.
struct SafetensorsSource: WeightSource {
  let files: WeightFiles

  var path: String { files.directory }
  var names: [String] { files.names }
  var identity: String { files.files.map(\.identity).joined(separator: " ") }

  var mappedFiles: [MappedFile] { files.files.map(\.file) }

  init(directory: String, files map: FileMap) throws(ModelError) {
    do { files = try WeightFiles(directory: directory, files: map) } catch {
      throw .unreadableWeights(error)
    }
  }

  func contains(_ name: String) -> Bool { files.contains(name) }

  func tensor(named name: String) throws(ModelError) -> any BaseTensor {
    do { return try files.tensor(named: name) } catch { throw .unreadableWeights(error) }
  }
}

extension SafetensorsTensor: BaseTensor {
  /// The name of the stored type.
  package var formatName: String { storedType.rawValue }
  /// As many as the largest number has.
  package var unitBytes: Int { 4 }

  /// The index of an element in some of its bytes that is infinite or not a number.
  package func firstNonFinite(bytes range: Range<Int>) -> Int? {
    guard let size = elementType?.byteCount else { return nil }
    return try? firstNonFinite(in: range.lowerBound / size..<range.upperBound / size)
  }

  /// The matrix in place.
  package func weight(layout: WeightMatrix.Layout) throws(ModelError) -> WeightMatrix {
    precondition(shape.count == 2, "\(name) is \(shape)")
    do {
      return try layout == .outputMajor
        ? weight(inputSize: shape[1], outputSize: shape[0])
        : weight(inputSize: shape[0], outputSize: shape[1], layout: .inputMajor)
    } catch { throw .unreadableWeights(error) }
  }

  /// All numbers as f32.
  package func copyFloats(into target: MatrixView) throws(ModelError) {
    do throws(SafetensorsError) { try copyValues(into: target) } catch {
      throw .unreadableWeights(error)
    }
  }

  /// Whether another tensor has the same shape, type and bytes.
  package func isIdentical(to other: any BaseTensor) -> Bool {
    (other as? SafetensorsTensor).map { isIdentical(to: $0) } ?? false
  }
}
