/// A row-major matrix of `Float` that somebody else owns.
///
/// ```swift
/// let x = buffer.view(rows: tokenCount, columns: hiddenSize)
/// x.rows(0..<4).fill(0)
/// ```
///
/// A view never frees and must not outlive its owner: the workspace or arena lives as long as the
/// run, and nobody keeps a view of anything shorter-lived. That promise is what `@safe` stands for.
/// Views are mutable, since a kernel's output is somebody's view; which operands a kernel writes is
/// said where it is declared. It is not a tensor library: no arithmetic, no broadcasting.
@safe
public struct MatrixView {
  /// Element (0, 0).
  public let base: UnsafeMutablePointer<Float>
  /// Number of rows.
  public let rows: Int
  /// Number of columns.
  public let columns: Int
  /// Floats from one row's start to the next's, at least `columns`.
  public let rowStride: Int

  /// Views `rows` by `columns` floats at `base`.
  public init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, rowStride: Int? = nil) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride ?? columns
    precondition(self.rowStride >= columns, "row stride \(self.rowStride) under \(columns) columns")
  }

  /// Elements from one row's start to the next's for an operand of products, floats or others.
  ///
  /// Products read some floats of each of many rows. Were rows a power of two apart, as most models'
  /// are, those would share a few places of a cache. So rows start an odd number of cache lines apart,
  /// which lets them have all.
  public static func operandStride(columns: Int, elementBytes: Int = 4) -> Int {
    let lineElements = 64 / elementBytes
    return ((columns + lineElements - 1) / lineElements | 1) * lineElements
  }

  /// Number of elements.
  public var count: Int { rows * columns }

  /// Whether it has no memory: a view of what is only planned.
  public var isPlanned: Bool { base >= UnsafeMutablePointer.unmapped }

  /// Whether the rows lie end to end.
  public var isContiguous: Bool { rowStride == columns || rows <= 1 }

  /// One element.
  public subscript(row: Int, column: Int) -> Float {
    get {
      assert(row >= 0 && row < rows && column >= 0 && column < columns)
      return base[row * rowStride + column]
    }
    nonmutating set {
      assert(row >= 0 && row < rows && column >= 0 && column < columns)
      base[row * rowStride + column] = newValue
    }
  }

  /// The rows in `range`.
  public func rows(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of a matrix of \(rows)")
    return MatrixView(
      base: base + range.lowerBound * rowStride, rows: range.count, columns: columns,
      rowStride: rowStride)
  }

  /// The columns in `range`.
  public func columns(_ range: Range<Int>) -> MatrixView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= columns,
      "columns \(range) of a matrix of \(columns)")
    return MatrixView(
      base: base + range.lowerBound, rows: rows, columns: range.count, rowStride: rowStride)
  }

  /// The same floats in another shape; the rows must lie end to end.
  public func reshaped(rows newRows: Int, columns newColumns: Int) -> MatrixView {
    precondition(
      isContiguous && newRows * newColumns == count,
      "[\(rows), \(columns)] cannot be read as [\(newRows), \(newColumns)]")
    return MatrixView(base: base, rows: newRows, columns: newColumns)
  }

  /// Sets every element to `value`.
  public func fill(_ value: Float) {
    for row in 0..<rows {
      (base + row * rowStride).update(repeating: value, count: columns)
    }
  }

  /// Copies every element of `source`, which must have the same shape and not overlap.
  public func copy(from source: MatrixView) {
    precondition(
      source.rows == rows && source.columns == columns,
      "[\(source.rows), \(source.columns)] copied into [\(rows), \(columns)]")
    if isContiguous && source.isContiguous {
      base.update(from: source.base, count: count)
    } else {
      for row in 0..<rows {
        (base + row * rowStride).update(from: source.base + row * source.rowStride, count: columns)
      }
    }
  }

  /// The elements row by row, as an array.
  public var elements: [Float] {
    var result: [Float] = []
    result.reserveCapacity(count)
    for row in 0..<rows {
      result.append(
        contentsOf: UnsafeBufferPointer(start: base + row * rowStride, count: columns))
    }
    return result
  }

  /// Sets the elements row by row from `values`, whose number must be `count`.
  public func assign(_ values: some Collection<Float>) {
    precondition(values.count == count, "\(values.count) values for [\(rows), \(columns)]")
    var iterator = values.makeIterator()
    for row in 0..<rows {
      for column in 0..<columns {
        if let value = iterator.next() { base[row * rowStride + column] = value }
      }
    }
  }
}

extension MatrixView {
  /// A view of nothing, for places where a matrix has no columns.
  public static var empty: MatrixView {
    MatrixView(base: emptyStorage.base, rows: 0, columns: 0)
  }
}

/// One float that empty views point to.
///
/// It is never read or written, so sharing it is safe.
private struct EmptyStorage: @unchecked Sendable {
  let base = UnsafeMutablePointer<Float>.allocate(capacity: 1)
}
private let emptyStorage = EmptyStorage()
