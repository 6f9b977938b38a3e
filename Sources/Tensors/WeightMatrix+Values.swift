extension WeightMatrix {
  /// The stored values as f32, row by row as they lie in memory.
  ///
  /// - Parameter view: [storedRows, storedColumns], or any shape of as many elements.
  public func copyValues(into view: MatrixView) {
    precondition(
      view.count == inputSize * outputSize,
      "\(inputSize * outputSize) stored values for [\(view.rows), \(view.columns)]")
    var index = 0
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        view[row, column] = value(at: index)
        index += 1
      }
    }
  }

  /// Whether the stored values, row by row as they lie in memory, are these.
  public func holds(_ values: [Float]) -> Bool {
    guard values.count == inputSize * outputSize else { return false }
    return values.indices.allSatisfy { value(at: $0) == values[$0] }
  }

  /// The same values seen as a matrix that maps the outputs to the inputs.
  ///
  /// A token table of that kind maps tokens to hidden features.
  public var turned: WeightMatrix {
    WeightMatrix(
      storage: storage, elementType: elementType, inputSize: outputSize, outputSize: inputSize,
      layout: layout == .outputMajor ? .inputMajor : .outputMajor)
  }

  /// One stored value as f32, by its place in memory.
  @inline(__always)
  func value(at index: Int) -> Float {
    switch elementType {
    case .float32: storage.loadUnaligned(fromByteOffset: index * 4, as: Float.self)
    case .bfloat16:
      Float(
        bitPattern: UInt32(storage.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
          << 16)
    case .float16: Float(storage.loadUnaligned(fromByteOffset: index * 2, as: Float16.self))
    }
  }
}
