import Diagnostics
import Hashing
import Tensors

/// A hash of stretches of memory that stay where they are, made anew as often as it is asked for.
///
/// ```swift
/// let digest = MemoryDigest([arena.allValues])
/// let before = digest.value(on: compute)
/// ```
///
/// Blocks of 256 KiB are hashed on all threads (`XXH64`), then their hashes are. Where
/// blocks begin depends on the stretches alone, so the value does not depend on the number of threads.
/// Nothing is allocated. Whoever made the stretches keeps them as long as this.
public final class MemoryDigest {
  /// Floats in a block: 256 KiB, which a core hashes in some 20 microseconds.
  static let blockCount = 1 << 16

  private let blocks: [MatrixView]
  private let hashes: UnsafeMutableBufferPointer<UInt64>
  /// Bytes that each value is made of.
  public let byteCount: Int

  /// Plans the blocks.
  ///
  /// - Parameter stretches: each a matrix without gaps between its rows.
  public init(_ stretches: [MatrixView]) {
    blocks = stretches.flatMap { stretch in
      precondition(
        stretch.isContiguous, "a matrix with gaps")
      let row = stretch.reshaped(rows: 1, columns: stretch.count)
      return stride(from: 0, to: row.columns, by: Self.blockCount).map {
        row.columns($0..<min($0 + Self.blockCount, row.columns))
      }
    }
    byteCount = blocks.reduce(0) { $0 + $1.count } * MemoryLayout<Float>.stride
    hashes = .allocate(capacity: max(blocks.count, 1))
    hashes.initialize(repeating: 0)
  }

  deinit { hashes.deallocate() }

  /// The hash of what the memory holds now.
  public func value(on compute: Compute) -> UInt64 {
    compute.forEachBlock(blocks.count) { block, _ in hashes[block] = XXH64.hash(blocks[block]) }
    return XXH64.hash(UnsafeRawBufferPointer(hashes), seed: UInt64(byteCount))
  }
}

extension Compute {
  /// What `body` makes of each block in `0 ..< count`, in order, computed on all threads.
  public func mapBlocks<Result: Sendable>(
    _ count: Int, _ body: (_ block: Int) -> Result
  ) -> [Result] {
    [Result](unsafeUninitializedCapacity: count) { buffer, initializedCount in
      if let results = buffer.baseAddress {
        // Each block has a place of its own.
        forEachBlock(count) { block, _ in
          (results + block).initialize(to: body(block))
          RunProgress.tick()
        }
      }
      initializedCount = count
    }
  }
}
