import Tensors

/// A 64-bit hash of values that must be equal on all ranks.
///
/// It tells a flipped bit or a missed update, nothing more: it is not made to withstand people. It is
/// computed anew in every process, unlike Swift's `Hasher`, whose seed differs between them.
public enum StateHash {
  /// Hash of a row-major matrix: its elements' bit patterns, in order.
  public static func of(_ view: MatrixView) -> UInt64 {
    var hash = seed
    for row in 0..<view.rows {
      let base = unsafe view.base + row * view.rowStride
      for column in 0..<view.columns {
        hash = unsafe mixed(hash, UInt64(base[column].bitPattern))
      }
    }
    return finished(hash)
  }

  /// Hash of all values of an arena.
  public static func of(_ arena: ParameterArena) -> UInt64 { of(arena.allValues) }

  /// Hash of bytes.
  public static func of(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash = seed
    for byte in bytes { hash = mixed(hash, UInt64(byte)) }
    return finished(hash)
  }

  // FNV-1a over words rather than bytes: offset basis and prime of the 64-bit variant. A product
  // only carries upwards, so the last step folds the upper half down.
  private static let seed: UInt64 = 0xcbf2_9ce4_8422_2325

  @inline(__always)
  private static func mixed(_ hash: UInt64, _ word: UInt64) -> UInt64 {
    (hash ^ word) &* 0x0000_0100_0000_01b3
  }

  private static func finished(_ hash: UInt64) -> UInt64 {
    let folded = (hash ^ (hash >> 32)) &* 0x9e37_79b9_7f4a_7c15
    return folded ^ (folded >> 29)
  }
}
