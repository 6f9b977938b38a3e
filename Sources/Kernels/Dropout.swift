import CKernels
import Tensors

extension Elementwise {
  /// Inverted dropout: `y = x / (1 - p)` where the element is kept, else 0.
  ///
  /// Element (t, c) is kept if and only if its draw is at least p · 2³². The draw is word c mod 4 of
  /// `random.words(key(t) · ⌈F/4⌉ + ⌊c/4⌋)`, a function of the coordinates alone: the same call with
  /// the gradient is the backward, and recomputation draws the same mask again.
  ///
  /// - Parameters:
  ///   - x: input, [T, F].
  ///   - y: result, [T, F]; may be `x`.
  ///   - probability: p, at least 0 and below 1; with 0 it copies.
  ///   - random: whose draws decide.
  ///   - rowKeys: the key of each row, T of them; `nil`: its number.
  ///   - compute: the threads that compute it.
  public static func dropout(
    _ x: MatrixView, into y: MatrixView, probability: Float, random: CounterRandom,
    rowKeys: IndexView? = nil, on compute: Compute
  ) {
    requireShape(y, x.rows, x.columns, "y")
    precondition(probability >= 0 && probability < 1, "dropout with probability \(probability)")
    if let rowKeys {
      precondition(rowKeys.count == x.rows, "\(rowKeys.count) row keys for \(x.rows) rows")
    }
    let threshold = UInt32(Double(probability) * 0x1p32)
    let scale = 1 / (1 - probability)
    let key = UInt64(random.key1) << 32 | UInt64(random.key0)
    compute.part(.dropout) {
      compute.forEachRows(x.rows, columns: x.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.dropout(
          x.from(t), y.from(t), key, random.stream, (rowKeys?.base).map { UnsafePointer($0 + t) },
          UInt64(t), threshold, scale, rows.count, x.columns)
      }
    }
  }
}
