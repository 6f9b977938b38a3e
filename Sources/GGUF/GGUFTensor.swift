import Files
import Hashing
import Tensors

/// A tensor as it lies in a mapped GGUF file.
///
/// It keeps its file mapped. The weights that it hands out do not: whoever uses them holds on to
/// the tensor's file (or its `GGUFFiles`) for as long.
package struct GGUFTensor: Sendable {
  /// Its name in the file.
  package let name: String
  package let type: GGUFType
  /// Dimensions, outermost first: a file says them the other way round.
  package let shape: [Int]
  private let range: Range<Int>
  private let file: MappedFile

  init(_ entry: GGUFHeader.Entry, in file: MappedFile) {
    name = entry.name
    type = entry.type
    // Trailing dimensions of 1 say nothing.
    var dimensions = entry.dimensions
    while dimensions.count > 1, dimensions.last == 1 { dimensions.removeLast() }
    shape = dimensions.reversed()
    range = entry.bytes
    self.file = file
  }

  /// The file it lies in.
  package var path: String { file.path }
  package var elementCount: Int { shape.reduce(1, *) }
  package var byteCount: Int { range.count }

  /// The tensor's bytes.
  @unsafe
  package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: file.bytes[range])
  }

  /// The tensor as a weight `[outputSize, inputSize]`, in place.
  ///
  /// - Parameter interleavedHead: rows of a head whose halves are stored by turns; 0 for none.
  /// - Throws: `unsupported` where the program does not compute with its type.
  package func weight(interleavedHead: Int = 0) throws(GGUFError) -> WeightMatrix {
    precondition(shape.count <= 2, "\(name) is \(shape)")
    guard let base = unsafe bytes.baseAddress else { preconditionFailure("an empty tensor") }
    // The weight points into the mapping, which its user keeps (see above).
    return unsafe WeightMatrix(
      storage: base, format: try format(), inputSize: shape.last ?? 1,
      outputSize: shape.count == 2 ? shape[0] : 1, interleavedHead: interleavedHead)
  }

  /// The tensor as a matrix of one column, in place.
  ///
  /// - Throws: `unsupported` where it is not stored number by number.
  package func vector(interleavedHead: Int = 0) throws(GGUFError) -> WeightMatrix {
    guard let base = unsafe bytes.baseAddress else { preconditionFailure("an empty tensor") }
    guard let type = try format().elementType else {
      throw .unsupported(
        path: path, what: "tensor '\(name)', a vector, is stored as \(type.name)",
        remedy: "Vectors are read in F32, F16 and BF16.")
    }
    return unsafe WeightMatrix(
      storage: base, format: .numbers(type), inputSize: 1, outputSize: elementCount,
      interleavedHead: interleavedHead)
  }

  /// The format to compute with.
  package func format() throws(GGUFError) -> WeightFormat {
    guard let format = type.format else {
      throw .unsupported(
        path: path, what: "tensor '\(name)' is stored as \(type.name)",
        remedy: "Types that are read: \(GGUFType.readable.joined(separator: ", ")). Take another "
          + "quantisation of the model, or make one with llama.cpp's llama-quantize.")
    }
    return format
  }

  /// XXH64 of some of its bytes, counted from its first.
  package func hash(bytes range: Range<Int>) -> UInt64 {
    // The range is checked against the tensor by the slice.
    unsafe XXH64.hash(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Tells the system that some of its bytes will not be read soon.
  package func releasePages(bytes range: Range<Int>) {
    // The range is checked against the tensor by the slice; the bytes lie in a mapped file.
    unsafe MappedRanges.releasePages(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Gives up its bytes where they were received from another node, for good.
  package func discard() { file.discard(range) }

  /// An element among some of its bytes that is infinite or not a number, or the first of a block
  /// whose scale is.
  ///
  /// - Parameter range: whole blocks, counted from its first byte.
  package func firstNonFinite(bytes range: Range<Int>) -> Int? {
    guard let base = unsafe bytes.baseAddress, let format = type.format else { return nil }
    let first = range.lowerBound / type.bytes
    let count = range.count / type.bytes
    let start = unsafe base + range.lowerBound
    switch format {
    case .numbers(let type):
      return unsafe HalfPrecision.firstNonFinite(start, type, count: count).map { $0 + first }
    case .blocks(let blocks):
      return unsafe blocks.firstNonFinite(start, count: count).map {
        ($0 + first) * blocks.elements
      }
    case .codes, .int8: return nil
    }
  }

  /// Whether another tensor has the same shape, type and bytes.
  package func isIdentical(to other: GGUFTensor) -> Bool {
    guard shape == other.shape, type == other.type else { return false }
    return unsafe bytes.elementsEqual(other.bytes)
  }
}
