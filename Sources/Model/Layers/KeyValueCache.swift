import Tensors

/// Keys and values of the tokens so far, for generating text token by token.
///
/// ```swift
/// let cache = KeyValueCache(blockCount: 30, keyValueSize: 192, capacity: 512)
/// ```
///
/// Keys are stored rotated. One sequence only. LongRoPE turns all keys by other angles once a sequence
/// is longer than the model was trained at: see ``Decoder/forgetsKeys(growing:to:)``.
public final class KeyValueCache {
  /// Most rows.
  public let capacity: Int
  /// Rows filled by earlier passes.
  public private(set) var length = 0
  /// Room for each block's keys, then its values.
  private let storage: OwnedMatrix
  private let keyValueSize: Int
  private let offsets = IndexBuffer(count: 4)

  /// An empty cache.
  public init(blockCount: Int, keyValueSize: Int, capacity: Int) {
    self.capacity = capacity
    self.keyValueSize = keyValueSize
    storage = OwnedMatrix(rows: 2 * blockCount * capacity, columns: keyValueSize)
  }

  /// Makes room for `count` more rows in this pass.
  func keys(block: Int, adding count: Int) -> MatrixView { rows(2 * block, adding: count) }
  func values(block: Int, adding count: Int) -> MatrixView { rows(2 * block + 1, adding: count) }

  private func rows(_ index: Int, adding count: Int) -> MatrixView {
    precondition(length + count <= capacity, "\(length + count) rows in a cache of \(capacity)")
    return storage.view.rows((index * capacity)..<(index * capacity + length + count))
  }

  /// Where a pass of `count` queries stands: offsets of its queries and of all keys, [0, n].
  func spans(adding count: Int) -> (queries: IndexView, keys: IndexView) {
    offsets.all[1] = count
    offsets.all[3] = length + count
    return (offsets.all.slice(0..<2), offsets.all.slice(2..<4))
  }

  /// Counts the rows of a finished pass as filled.
  func advance(by count: Int) { length += count }

  /// Forgets everything.
  public func clear() { length = 0 }
}
