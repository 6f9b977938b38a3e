/// How a product is cut for a number of threads: by rows, so that each thread works on its own
/// and finds them in its caches, and into a few blocks for each.
package struct ProductBlocks {
  /// The columns that are packed together, at least and at most: two panels where b is transposed,
  /// up to six where not.
  private static let leastColumns = 96
  private static let mostColumns = 288
  /// As many rows are worth it that a thread packs the columns for them alone: few where they stay in
  /// its caches, more where they do not, or where packing decodes, which takes longer.
  private static let ownRows = (cached: 256, other: 512, decoded: 1024)
  /// Floats of rows that stay in a core's caches.
  private static let cachedFloats = 3 << 16
  private static let packingRows = 8
  /// Fewer rows cost more packing than any sharing out gains.
  private static let leastRows = 64

  package let count: Int
  private let rowStep: Int
  private let columnBlocks: Int
  private let panels: Int
  private let panelColumns: Int
  private let rows: Int
  private let columns: Int

  /// - Parameters:
  ///   - decodes: whether b is stored in blocks or codes.
  ///   - panelColumns: what a block's columns begin at a multiple of.
  package init(
    rows: Int, columns: Int, depth: Int, isTransposed: Bool, decodes: Bool = false,
    panelColumns: Int, threads: Int
  ) {
    (self.rows, self.columns, self.panelColumns) = (rows, columns, panelColumns)
    guard rows > 0 && columns > 0 else {
      (count, rowStep, columnBlocks, panels) = (0, 1, 1, 0)
      return
    }
    // A million multiply-adds take a core 10 to 25 microseconds: hardly worth waking a thread for.
    // To pack a column takes as long as to multiply some rows by it.
    let work = max(rows, ProductBlocks.packingRows) * columns * depth
    let wanted = threads == 1 ? 1 : min(3 * threads, 1 + work / 1_000_000)
    func groups(_ ownRows: Int) -> Int { max(1, min(threads, wanted, rows / ownRows)) }
    let cached = groups(ProductBlocks.ownRows.cached)
    let isCached = rows / cached * depth <= ProductBlocks.cachedFloats
    let groups =
      decodes
      ? groups(ProductBlocks.ownRows.decoded)
      : isCached ? cached : groups(ProductBlocks.ownRows.other)
    let whole = (blockCount(columns, max(1, wanted / groups)) + 47) / 48 * 48
    let columnStep =
      isTransposed
      ? ProductBlocks.leastColumns
      : min(max(whole, ProductBlocks.leastColumns), ProductBlocks.mostColumns)
    panels = blockCount(columns, panelColumns)
    // Where there are more than threads, all get as many, so that none waits for another's last.
    let (blocks, sharers) = (blockCount(columns, columnStep), blockCount(threads, groups))
    columnBlocks =
      blocks <= sharers ? blocks : min(panels, blockCount(blocks, sharers) * sharers)
    let split = min(
      blockCount(wanted, columnBlocks * groups), rows / groups / ProductBlocks.leastRows)
    rowStep = (blockCount(rows, groups * max(1, split)) + 15) & ~15
    count = blockCount(rows, rowStep) * columnBlocks
  }

  /// The rows and columns of a block; neighbours share rows.
  package subscript(block: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let index = block % columnBlocks
    // Panels go to the blocks as evenly as they can.
    let first = index * panels / columnBlocks
    let end = (index + 1) * panels / columnBlocks
    return (
      blockRange(block / columnBlocks, rowStep, rows),
      first * panelColumns..<min(end * panelColumns, columns)
    )
  }
}
