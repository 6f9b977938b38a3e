import CKernels
import Tensors

/// Rows of a table by token id, and their gradients.
///
/// V vocabulary, H hidden, T tokens. The table is a `WeightMatrix` of layout `.outputMajor` with
/// `outputSize` V and `inputSize` H, in its stored format, which also serves as a tied head.
public enum Embedding {
  /// Computes `x[t] (+)= table[tokens[t]]`.
  ///
  /// - Parameters:
  ///   - tokens: T ids below V.
  ///   - table: [V, H].
  ///   - x: [T, H].
  ///   - adding: whether to add to x instead of overwriting it (position embeddings).
  ///   - compute: the threads that compute it.
  public static func forward(
    _ tokens: IndexView, table: WeightMatrix, into x: MatrixView, adding: Bool = false,
    on compute: Compute
  ) {
    precondition(
      table.layout == .outputMajor && table.inputSize == x.columns && tokens.count == x.rows,
      """
      \(tokens.count) tokens of [\(table.storedRows), \(table.storedColumns)] into \
      [\(x.rows), \(x.columns)]
      """)
    precondition(
      !adding || x.columns <= Compute.scratchCount, "rows of \(x.columns) exceed the scratch memory"
    )
    let hidden = x.columns
    compute.forEachBlock(blockCount(tokens.count, rowStep)) { block, worker in
      let linear = compute.kernels.pointee.linear
      let row = compute.scratch(worker: worker).base
      for t in blockRange(block, rowStep, tokens.count) {
        let token = tokens[t]
        precondition(
          token >= 0 && token < table.outputSize, "token \(token) of \(table.outputSize)")
        var stored = table.part(row: token)
        let target = x.base + t * x.rowStride
        linear.read(adding ? row : target, &stored, 0, Int64(hidden))
        if adding { linear.add_scaled(target, row, 1, Int64(hidden)) }
      }
    }
  }

  /// Computes `dTable[tokens[t]] += dx[t]`, in the order of t.
  ///
  /// Workers take columns, not tokens, since a token may come more than once.
  ///
  /// - Parameters:
  ///   - dx: [T, H].
  ///   - tokens: T ids below V.
  ///   - dTable: [V, H].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dx: MatrixView, tokens: IndexView, addingTo dTable: MatrixView, on compute: Compute
  ) {
    precondition(
      dx.columns == dTable.columns && tokens.count == dx.rows,
      """
      \(tokens.count) rows of [\(dx.rows), \(dx.columns)] into \
      [\(dTable.rows), \(dTable.columns)]
      """)
    compute.forEachBlock(blockCount(dx.columns, columnStep)) { block, _ in
      let columns = blockRange(block, columnStep, dx.columns)
      let linear = compute.kernels.pointee.linear
      for t in 0..<tokens.count {
        let token = tokens[t]
        precondition(token >= 0 && token < dTable.rows, "token \(token) of \(dTable.rows)")
        linear.add_scaled(
          dTable.base + token * dTable.rowStride + columns.lowerBound,
          dx.base + t * dx.rowStride + columns.lowerBound, 1, Int64(columns.count))
      }
    }
  }

  /// Tokens of a block: some hundred kilobytes of the table.
  private static let rowStep = 64
  /// Columns of a block: eight cache lines.
  private static let columnStep = 128
}
