import Hashing

extension XXH64 {
  /// Hash of a matrix: its elements' bit patterns, row by row.
  public static func hash(_ view: MatrixView, seed: UInt64 = 0) -> UInt64 {
    let rowBytes = view.columns * MemoryLayout<Float>.stride
    if view.isContiguous {
      return hash(UnsafeRawBufferPointer(start: view.base, count: view.rows * rowBytes), seed: seed)
    }
    return (0..<view.rows).reduce(seed) { seed, row in
      hash(
        UnsafeRawBufferPointer(start: view.base + row * view.rowStride, count: rowBytes), seed: seed
      )
    }
  }
}
