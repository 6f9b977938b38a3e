/// How a product is cut for a number of threads: by rows, so that each thread works on its own
/// and finds them in its caches, and into a few blocks for each.
struct ProductBlocks {
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

  let count: Int
  private let rowStep: Int
  private let columnStep: Int
  private let columnBlocks: Int
  private let rows: Int
  private let columns: Int

  /// - Parameter decodes: whether b is stored in blocks or codes.
  init(rows: Int, columns: Int, depth: Int, isTransposed: Bool, decodes: Bool = false, threads: Int)
  {
    (self.rows, self.columns) = (rows, columns)
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
    columnStep =
      isTransposed
      ? ProductBlocks.leastColumns
      : min(max(whole, ProductBlocks.leastColumns), ProductBlocks.mostColumns)
    columnBlocks = blockCount(columns, columnStep)
    let split = min(
      blockCount(wanted, columnBlocks * groups), rows / groups / ProductBlocks.leastRows)
    rowStep = (blockCount(rows, groups * max(1, split)) + 15) & ~15
    count = blockCount(rows, rowStep) * columnBlocks
  }

  /// The rows and columns of a block; neighbours share rows.
  subscript(block: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    (
      blockRange(block / columnBlocks, rowStep, rows),
      blockRange(block % columnBlocks, columnStep, columns)
    )
  }
}
