import CKernels
import Tensors

// T tokens, D features of a head that turn, the first ones; pair d is (x[d], x[d + D/2]).

/// Cosines and sines of rotary positions, computed in `Double` once and kept in f32.
public final class RotaryTable {
  /// Positions that the table covers: 0 ..< `maxPosition`.
  public let maxPosition: Int
  /// Half the features that turn: the number of frequencies.
  public let pairCount: Int
  private let buffer: FloatBuffer

  /// Tabulates every position.
  ///
  /// - Parameters:
  ///   - inverseFrequencies: angle per position of each pair, [D/2]; scaled variants of rotary
  ///     positions differ in these.
  ///   - attentionScaling: factor of cosines and sines (YaRN).
  ///   - maxPosition: number of positions.
  public init(inverseFrequencies: [Double], attentionScaling: Double = 1, maxPosition: Int) {
    self.maxPosition = maxPosition
    pairCount = inverseFrequencies.count
    buffer = FloatBuffer(count: 2 * maxPosition * inverseFrequencies.count)
    let (cosines, sines) = (self.cosines, self.sines)
    for position in 0..<maxPosition {
      for (pair, frequency) in inverseFrequencies.enumerated() {
        let angle = Double(position) * frequency
        cosines[position, pair] = Float(PortableMath.cos(angle) * attentionScaling)
        sines[position, pair] = Float(PortableMath.sin(angle) * attentionScaling)
      }
    }
  }

  /// Writes one row again, for frequencies that depend on a sequence's length.
  ///
  /// - Parameters:
  ///   - row: the row, below `maxPosition`.
  ///   - position: the position that it stands for.
  ///   - inverseFrequencies: angle per position of each pair, [D/2].
  ///   - attentionScaling: factor of cosines and sines.
  public func fill(
    row: Int, position: Int, inverseFrequencies: [Double], attentionScaling: Double
  ) {
    precondition(row >= 0 && row < maxPosition, "row \(row) of a table of \(maxPosition)")
    precondition(inverseFrequencies.count == pairCount, "\(inverseFrequencies.count) frequencies")
    let (cosines, sines) = (self.cosines, self.sines)
    for pair in 0..<pairCount {
      let angle = Double(position) * inverseFrequencies[pair]
      cosines[row, pair] = Float(PortableMath.cos(angle) * attentionScaling)
      sines[row, pair] = Float(PortableMath.sin(angle) * attentionScaling)
    }
  }

  /// Cosines, [maxPosition, D/2].
  public var cosines: MatrixView { buffer.view(rows: maxPosition, columns: pairCount) }
  /// Sines, [maxPosition, D/2].
  public var sines: MatrixView {
    buffer.view(offset: maxPosition * pairCount, rows: maxPosition, columns: pairCount)
  }
}

/// Rotary positions (Su et al., "RoFormer", 2021) in Hugging Face's layout, whose pairs are
/// (d, d + D/2), not the paper's (2d, 2d + 1).
///
/// A head's features behind the first D stay as they are.
public enum RotaryEmbedding {
  /// Turns every head of every row by its position, in place.
  ///
  /// - Parameters:
  ///   - x: queries or keys, [T, headCount · (D or more)], overwritten.
  ///   - headCount: heads in a row.
  ///   - positions: position of each row, T of them, below `table.maxPosition`.
  ///   - table: cosines and sines for D.
  ///   - compute: the threads that compute it.
  public static func apply(
    _ x: MatrixView, headCount: Int, positions: IndexView, table: RotaryTable,
    on compute: Compute
  ) {
    rotate(x, headCount: headCount, positions: positions, table: table, direction: 1, on: compute)
  }

  /// The backward of `apply`, in place: the transposed rotation (times the same scaling).
  ///
  /// - Parameters:
  ///   - dx: gradient of the turned rows, shaped like them; becomes that of the input.
  ///   - headCount: heads in a row.
  ///   - positions: position of each row.
  ///   - table: cosines and sines for D.
  ///   - compute: the threads that compute it.
  public static func applyInverse(
    _ dx: MatrixView, headCount: Int, positions: IndexView, table: RotaryTable,
    on compute: Compute
  ) {
    rotate(
      dx, headCount: headCount, positions: positions, table: table, direction: -1, on: compute)
  }

  private static func rotate(
    _ x: MatrixView, headCount: Int, positions: IndexView, table: RotaryTable, direction: Float,
    on compute: Compute
  ) {
    let dim = x.columns / headCount
    precondition(
      x.columns == headCount * dim && dim >= 2 * table.pairCount,
      "rows of \(x.columns) for \(headCount) heads, \(2 * table.pairCount) features of which turn")
    precondition(positions.count == x.rows, "\(positions.count) positions for \(x.rows) rows")
    let (cosines, sines) = (table.cosines.base, table.sines.base)
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      for row in rows {
        precondition(
          positions[row] >= 0 && positions[row] < table.maxPosition,
          "position \(positions[row]) in a table of \(table.maxPosition)")
      }
      compute.kernels.pointee.norm.rotate(
        x.from(t), positions.base + t, cosines, sines, direction, rows.count, headCount, dim,
        table.pairCount)
    }
  }
}
