extension WeightMatrix {
  /// Writes the weight in f32 as `[output, input]`, whatever its format and layout.
  ///
  /// Weights that are stored so are decoded in place, without memory of its own.
  /// - Parameter target: [output, input].
  public func copyFloats(into target: MatrixView) {
    precondition(
      target.rows == outputSize && target.columns == inputSize,
      "[\(target.rows), \(target.columns)] for a weight [\(outputSize), \(inputSize)]")
    copyFloats(into: target, as: .outputMajor)
  }

  /// Writes the weight in f32 in the order of a layout.
  ///
  /// - Parameter target: [output, input] or [input, output].
  /// - Parameter order: the layout of target.
  public func copyFloats(into target: MatrixView, as order: Layout) {
    let shape = order == .outputMajor ? (outputSize, inputSize) : (inputSize, outputSize)
    precondition(
      target.rows == shape.0 && target.columns == shape.1,
      "[\(target.rows), \(target.columns)] for a weight of \(inputSize) to \(outputSize)")
    if order == layout {
      for row in 0..<storedRows { read(row: row, into: target.rows(row..<(row + 1)).base) }
      return
    }
    let buffer = FloatBuffer(count: storedColumns)
    for row in 0..<storedRows {
      read(row: row, into: buffer.base)
      for column in 0..<storedColumns { target[column, row] = buffer.base[column] }
    }
  }

  /// Whether the numbers, stored row by stored row, are these.
  public func holds(_ values: [Float]) -> Bool {
    guard values.count == count else { return false }
    let buffer = FloatBuffer(count: storedColumns)
    return (0..<storedRows).allSatisfy { row in
      read(row: row, into: buffer.base)
      let own = UnsafeBufferPointer(start: buffer.base, count: storedColumns)
      return own.elementsEqual(values[(row * storedColumns)..<((row + 1) * storedColumns)])
    }
  }
}
