import HDF5

/// Rows of an HDF5 dataset of whole numbers, some at a time.
final class HDF5Rows {
  /// Numbers read at once: 512 KiB.
  private static let blockElements = 1 << 16

  let dataset: HDF5Dataset
  private var block: [Int64] = []
  private var range = 0..<0

  /// - Throws: `badImport` unless it holds whole numbers and has this many dimensions.
  init(_ root: HDF5Group, _ name: String, rank: Int) throws(PreparationError) {
    do throws(HDF5Error) { dataset = try root.dataset(name) } catch { throw .storage(error) }
    guard case .integer = dataset.type, dataset.shape.count == rank else {
      throw .badImport(
        path: root.file.path,
        reason: "\(name) is \(dataset.type) of shape \(dataset.shape); whole numbers in \(rank) "
          + "dimensions are expected")
    }
  }

  /// One row.
  func row(_ index: Int) throws(PreparationError) -> ArraySlice<Int64> {
    let width = dataset.rowElementCount
    if !range.contains(index) {
      let count = max(1, Self.blockElements / max(1, width))
      range = index..<min(index + count, dataset.rowCount)
      block = [Int64](repeating: 0, count: range.count * width)
      do throws(HDF5Error) { try dataset.read(rows: range, into: &block) } catch {
        throw .storage(error)
      }
    }
    let start = (index - range.lowerBound) * width
    return block[start..<(start + width)]
  }

  static func root(_ path: String) throws(PreparationError) -> HDF5Group {
    do throws(HDF5Error) { return try HDF5File(reading: path).root } catch { throw .storage(error) }
  }

  /// A dataset's dimensions, where there is one of whole numbers.
  static func shape(_ root: HDF5Group, _ name: String) -> [Int]? {
    guard let dataset = try? root.dataset(name), case .integer = dataset.type else { return nil }
    return dataset.shape
  }
}
