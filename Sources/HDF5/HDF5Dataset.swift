import CHDF5

/// An array in a file: numbers of one type in a row-major box.
///
/// ```swift
/// let tokens = try group.dataset("tokens")
/// try tokens.read(rows: 0..<64, into: buffer)
/// ```
///
/// A *row* is one step of the outermost dimension; a scalar has one row. It reads rows in order,
/// no strides and no scattered points: nothing here needs them.
package final class HDF5Dataset: HDF5Object {
  /// Dimensions, outermost first.
  package private(set) var shape: [Int]
  package let type: HDF5DataType
  private var space: HDF5Handle

  init(
    opened handle: consuming HDF5Handle, file: HDF5File, location: HDF5Location
  ) throws(HDF5Error) {
    let id = handle.id
    if file.access == .reading {
      try HDF5Storage.requireOwn(id, fileBytes: file.byteCount, at: location)
    }
    let space = try HDF5Handle("H5Dget_space", location) { H5Dget_space(id) }
    shape = try HDF5Dataset.extent(
      of: space.id, at: location, fileBytes: file.byteCount)
    let stored = try HDF5Handle("H5Dget_type", location) { H5Dget_type(id) }
    type = try HDF5DataType.classify(stored.id, at: location)
    // Deflate shrinks to no less than 1/1032. What states more than that is damaged, and must not
    // make the reader allocate it.
    let elementBytes = try HDF5DataType.byteCount(of: stored.id, at: location)
    let (bytes, overflow) = elementBytes.multipliedReportingOverflow(by: shape.reduce(1, *))
    guard file.access == .writing || (!overflow && bytes / 1100 <= file.byteCount) else {
      throw .implausibleSize(location, shape: shape, fileBytes: file.byteCount)
    }
    self.space = space
    super.init(handle: handle, file: file, location: location)
  }

  /// Steps of the outermost dimension.
  package var rowCount: Int { shape.first ?? 1 }
  package var rowElementCount: Int { shape.dropFirst().reduce(1, *) }
  /// Elements in all.
  package var count: Int { shape.reduce(1, *) }

  /// Throws `wrongShape` unless the dataset has this shape.
  package func requireShape(_ expected: [Int]) throws(HDF5Error) {
    guard shape == expected else {
      throw .wrongShape(location, expected: expected, found: shape)
    }
  }

  /// Reads rows into memory of the caller.
  ///
  /// Nothing is allocated where the stored numbers all fit `Element`; else they are read as 64-bit
  /// numbers, a block at a time, and checked. Throws `wrongType`, `valueOutOfRange` or
  /// `callFailed`. The corresponding C function is `H5Dread`.
  ///
  /// - Parameter rows: which rows, inside the dataset.
  /// - Parameter buffer: exactly `rows.count * rowElementCount` elements.
  @unsafe
  package func read<Element: HDF5Element>(
    rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Element>
  ) throws(HDF5Error) {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= rowCount,
      "rows \(rows) of \(location), which has \(rowCount)")
    let needed = rows.count * rowElementCount
    precondition(
      buffer.count == needed,
      "a buffer of \(buffer.count) for \(needed) elements of \(location)")
    if type.isContained(in: Element.dataType) {
      return try unsafe readConverted(rows: rows, into: buffer)
    }
    guard case .integer(let signed, _) = type, case .integer = Element.dataType else {
      throw .wrongType(
        location, attribute: nil, expected: "\(Element.dataType)", found: type)
    }
    if signed {
      try unsafe readChecked(rows: rows, through: Int64.self, into: buffer)
    } else {
      try unsafe readChecked(rows: rows, through: UInt64.self, into: buffer)
    }
  }

  /// Reads rows into an array of the caller, which must have exactly the room for them.
  package func read<Element: HDF5Element>(
    rows: Range<Int>, into array: inout [Element]
  ) throws(HDF5Error) {
    try unsafe array.withUnsafeMutableBufferPointer { buffer throws(HDF5Error) in
      try unsafe read(rows: rows, into: buffer)
    }
  }

  /// Reads everything.
  package func read<Element: HDF5Element>(
    _ type: Element.Type = Element.self
  ) throws(HDF5Error) -> [Element] {
    var elements = [Element](repeating: .zero, count: count)
    try read(rows: 0..<rowCount, into: &elements)
    return elements
  }

  /// Writes rows, converting to the stored type.
  ///
  /// The corresponding C function is `H5Dwrite`.
  ///
  /// - Parameter rows: which rows, inside the dataset.
  /// - Parameter buffer: exactly `rows.count * rowElementCount` elements.
  @unsafe
  package func write<Element: HDF5Element>(
    rows: Range<Int>, from buffer: UnsafeBufferPointer<Element>
  ) throws(HDF5Error) {
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= rowCount,
      "rows \(rows) of \(location), which has \(rowCount)")
    let needed = rows.count * rowElementCount
    precondition(
      buffer.count == needed,
      "a buffer of \(buffer.count) for \(needed) elements of \(location)")
    guard needed > 0 else { return }
    let memory = try select(rows)
    _ = try HDF5Call.check("H5Dwrite", location) {
      unsafe H5Dwrite(
        handle.id, Element.memoryType, memory.id, space.id, chdf5_default(), buffer.baseAddress)
    }
  }

  /// Writes everything.
  package func write<Element: HDF5Element>(_ elements: [Element]) throws(HDF5Error) {
    try write(rows: 0..<rowCount, from: elements)
  }

  /// Writes rows from an array.
  package func write<Element: HDF5Element>(
    rows: Range<Int>, from elements: [Element]
  ) throws(HDF5Error) {
    try unsafe elements.withUnsafeBufferPointer { buffer throws(HDF5Error) in
      try unsafe write(rows: rows, from: buffer)
    }
  }

  /// Changes the number of rows of a dataset that was created to grow.
  ///
  /// The corresponding C function is `H5Dset_extent`.
  package func resize(rowCount: Int) throws(HDF5Error) {
    var extent = shape.map { hsize_t($0) }
    precondition(!extent.isEmpty && rowCount >= 0, "\(rowCount) rows for \(location)")
    extent[0] = hsize_t(rowCount)
    _ = try HDF5Call.check("H5Dset_extent", location) {
      unsafe H5Dset_extent(handle.id, &extent)
    }
    shape[0] = rowCount
    space = try HDF5Handle("H5Dget_space", location) { H5Dget_space(handle.id) }
  }

  /// Numbers that are checked at once where a stored type does not fit the one asked for.
  private static let blockCount = 8192

  private func readConverted<Element: HDF5Element>(
    rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Element>
  ) throws(HDF5Error) {
    guard !buffer.isEmpty else { return }
    let memory = try select(rows)
    do throws(HDF5Error) {
      _ = try HDF5Call.check("H5Dread", location) {
        unsafe H5Dread(
          handle.id, Element.memoryType, memory.id, space.id, chdf5_default(), buffer.baseAddress)
      }
    } catch {
      // Not asked before: a filter that could not shrink a chunk may have been left out of all.
      if let filter = try HDF5Storage.missingFilter(handle.id, at: location) {
        throw .missingFilter(location, name: filter.name, number: filter.number)
      }
      throw error
    }
  }

  /// Reads through a 64-bit type, since HDF5 itself would clamp what does not fit.
  private func readChecked<Element: HDF5Element, Wide: HDF5Element & BinaryInteger>(
    rows: Range<Int>, through: Wide.Type, into buffer: UnsafeMutableBufferPointer<Element>
  ) throws(HDF5Error) {
    guard !buffer.isEmpty else { return }
    let rowsAtOnce = max(1, HDF5Dataset.blockCount / max(1, rowElementCount))
    var wide = [Wide](repeating: 0, count: min(rowsAtOnce, rows.count) * rowElementCount)
    var first = rows.lowerBound
    while first < rows.upperBound {
      let block = first..<min(first + rowsAtOnce, rows.upperBound)
      let blockElements = block.count * rowElementCount
      try unsafe wide.withUnsafeMutableBufferPointer { memory throws(HDF5Error) in
        try unsafe readConverted(
          rows: block, into: UnsafeMutableBufferPointer(rebasing: memory[..<blockElements]))
      }
      let start = (first - rows.lowerBound) * rowElementCount
      for index in 0..<blockElements {
        guard let value = Element(exactly: wide[index]) else {
          throw .valueOutOfRange(
            location, index: first * rowElementCount + index, value: "\(wide[index])",
            expected: Element.dataType)
        }
        unsafe buffer[start + index] = value
      }
      first = block.upperBound
    }
  }

  /// Selects rows of the file's space and returns the space of as many elements in memory.
  private func select(_ rows: Range<Int>) throws(HDF5Error) -> HDF5Handle {
    let rank = shape.count
    if rank > 0 {
      // Unsafe: both arrays live on the stack for the time of the call.
      try unsafe withUnsafeTemporaryAllocation(of: hsize_t.self, capacity: 2 * rank) {
        extents throws(HDF5Error) in
        for dimension in 0..<rank {
          unsafe extents[dimension] = 0
          unsafe extents[rank + dimension] = hsize_t(shape[dimension])
        }
        unsafe extents[0] = hsize_t(rows.lowerBound)
        unsafe extents[rank] = hsize_t(rows.count)
        let start = extents.baseAddress
        _ = try HDF5Call.check("H5Sselect_hyperslab", location) {
          unsafe H5Sselect_hyperslab(
            space.id, H5S_SELECT_SET, start, nil, start.map { unsafe $0 + rank }, nil)
        }
      }
    }
    var elements = hsize_t(rows.count * rowElementCount)
    return try HDF5Handle("H5Screate_simple", location) {
      unsafe H5Screate_simple(1, &elements, nil)
    }
  }

  /// The dimensions of a space; none for a scalar.
  private static func extent(
    of space: hid_t, at location: HDF5Location, fileBytes: Int
  ) throws(HDF5Error) -> [Int] {
    let rank = try HDF5Call.check("H5Sget_simple_extent_ndims", location) {
      H5Sget_simple_extent_ndims(space)
    }
    var extent = [hsize_t](repeating: 0, count: Int(rank))
    if rank > 0 {
      _ = try HDF5Call.check("H5Sget_simple_extent_dims", location) {
        unsafe H5Sget_simple_extent_dims(space, &extent, nil)
      }
    }
    // A damaged file may state any extent; one whose elements cannot be counted is refused here,
    // so that no product of dimensions above overflows.
    var shape: [Int] = []
    var elements = 1
    for dimension in extent {
      let (product, overflow) = elements.multipliedReportingOverflow(
        by: max(1, Int(clamping: dimension)))
      guard !overflow, product <= 1 << 48 else {
        throw .implausibleSize(
          location, shape: extent.map { Int(clamping: $0) }, fileBytes: fileBytes)
      }
      elements = product
      shape.append(Int(dimension))
    }
    return shape
  }
}
