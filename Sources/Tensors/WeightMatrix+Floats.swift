extension WeightMatrix {
  /// Writes the weight in f32 as `[output, input]`, whatever its type and layout.
  ///
  /// Weights that are stored so are expanded in place, without memory of its own.
  /// - Parameter target: [output, input].
  public func copyFloats(into target: MatrixView) {
    precondition(
      target.rows == outputSize && target.columns == inputSize,
      "[\(target.rows), \(target.columns)] for a weight [\(outputSize), \(inputSize)]")
    func expand(_ index: Int, into row: UnsafeMutablePointer<Float>) {
      HalfPrecision.expand(
        storage + index * storedColumns * elementType.byteCount, elementType,
        count: storedColumns, into: row)
    }
    switch layout {
    case .outputMajor:
      for index in 0..<storedRows { expand(index, into: target.rows(index..<(index + 1)).base) }
    case .inputMajor:
      let row = FloatBuffer(count: storedColumns)
      for index in 0..<storedRows {
        expand(index, into: row.base)
        for output in 0..<outputSize { target[output, index] = row.base[output] }
      }
    }
  }
}
