import Files
import Tensors

/// A tensor as it lies in a mapped file.
///
/// It keeps its file mapped. The pointers and weights that it hands out do not: whoever uses them
/// holds on to the `SafetensorsFile` (or the `WeightFiles`) for as long.
package struct SafetensorsTensor: Sendable {
  /// Its name in the file.
  package let name: String
  /// How an element is stored.
  package let storedType: StoredType
  /// Dimensions, outermost first; empty for a single number.
  package let shape: [Int]
  /// The tensor's bytes in the file, from the file's first one.
  package let byteRange: Range<Int>
  private let file: MappedFile

  init(_ entry: HeaderEntry, in file: MappedFile) {
    name = entry.name
    storedType = entry.type
    shape = entry.shape
    byteRange = entry.byteRange
    self.file = file
  }

  /// The file it lies in.
  package var path: String { file.path }
  package var elementCount: Int { shape.reduce(1, *) }
  package var byteCount: Int { byteRange.count }
  /// The type the program computes with, where it does.
  package var elementType: ElementType? { storedType.elementType }

  /// Gives up its bytes where they were received from another node, for good.
  package func discard() { file.discard(byteRange) }

  /// The tensor's bytes, little-endian, at any alignment.
  @unsafe
  package var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: file.bytes[byteRange])
  }

  /// First byte; valid even where the tensor is empty.
  var start: UnsafeRawPointer {
    // The header's 8 bytes are always there, so a mapped file has a base address.
    guard let base = unsafe file.bytes.baseAddress else { preconditionFailure("an empty mapping") }
    return unsafe base + byteRange.lowerBound
  }

  /// The type to compute with.
  ///
  /// - Throws: `unsupportedType` where it is neither F32, F16 nor BF16.
  package func floatType() throws(SafetensorsError) -> ElementType {
    guard let elementType else {
      throw .unsupportedType(path: path, tensor: name, type: storedType.rawValue)
    }
    return elementType
  }

  /// Checks the dimensions.
  ///
  /// - Throws: `wrongShape` where they are not `expected`.
  package func requireShape(_ expected: [Int]) throws(SafetensorsError) {
    guard shape == expected else {
      throw .wrongShape(path: path, tensor: name, shape: shape, expected: expected)
    }
  }

  /// The tensor as a weight, in place and in its stored type.
  ///
  /// - Throws: `wrongShape` unless it is [outputSize, inputSize], or [inputSize, outputSize] by
  ///   `layout`; `unsupportedType`.
  package func weight(
    inputSize: Int, outputSize: Int, layout: WeightMatrix.Layout = .outputMajor
  ) throws(SafetensorsError) -> WeightMatrix {
    try requireShape(layout == .outputMajor ? [outputSize, inputSize] : [inputSize, outputSize])
    // The weight points into the mapping, which its user keeps (see above).
    return unsafe WeightMatrix(
      storage: start, elementType: try floatType(), inputSize: inputSize,
      outputSize: outputSize, layout: layout)
  }

  /// Converts all elements to f32, in their order.
  ///
  /// - Parameter target: as many elements as the tensor has, in any shape.
  /// - Throws: `unsupportedType`; `wrongShape` where the number of elements differs.
  package func copyValues(into target: MatrixView) throws(SafetensorsError) {
    let type = try floatType()
    guard target.count == elementCount else {
      throw .wrongShape(
        path: path, tensor: name, shape: shape, expected: [target.rows, target.columns])
    }
    for row in 0..<target.rows {
      // Row by row, since the target's rows need not lie end to end; counts were compared above.
      unsafe HalfPrecision.expand(
        start + row * target.columns * type.byteCount, type, count: target.columns,
        into: target.base + row * target.rowStride)
    }
  }

  /// All elements as f32.
  ///
  /// - Throws: `unsupportedType`.
  package func floats() throws(SafetensorsError) -> [Float] {
    let type = try floatType()
    return unsafe [Float](unsafeUninitializedCapacity: elementCount) { buffer, count in
      if let base = buffer.baseAddress {
        unsafe HalfPrecision.expand(start, type, count: elementCount, into: base)
      }
      count = elementCount
    }
  }

  /// The index, in row-major order, of the first element that is infinite or not a number.
  ///
  /// - Throws: `unsupportedType`.
  package func firstNonFinite() throws(SafetensorsError) -> Int? {
    let type = try floatType()
    return unsafe HalfPrecision.firstNonFinite(start, type, count: elementCount)
  }
}
