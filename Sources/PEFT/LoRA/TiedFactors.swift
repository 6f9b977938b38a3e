import Kernels
import Tensors

/// The factors of a token table and of the head that it is tied to, where `ensure_weight_tying` ties
/// them too: A and B of the one are B and A of the other, transposed.
///
///     W + s·(B A)ᵀ  of the table          W + s·B' A'  of the head          A' = Bᵀ, B' = Aᵀ
///
/// As in PEFT, whose parameters share their memory, each of the four has a gradient and moments of its
/// own, and an update moves both of a pair: by its own step and by its twin's.
struct TiedFactors {
  private let pairs: [(table: MatrixView, head: MatrixView)]
  private let before: [OwnedMatrix]

  /// - Parameters:
  ///   - a, b: the table's, [R, vocabulary] and [hidden, R].
  ///   - headA, headB: the head's, [R, hidden] and [vocabulary, R].
  init(a: MatrixView, b: MatrixView, headA: MatrixView, headB: MatrixView) {
    pairs = [(a, headB), (b, headA)]
    before = pairs.map {
      OwnedMatrix(
        rows: $0.table.rows, columns: $0.table.columns, isPlanned: $0.table.isPlanned)
    }
  }

  /// Bytes of the values before the next update.
  var byteCount: Int { before.reduce(0) { $0 + $1.byteCount } }

  /// Gives the table the head's values, or the head the table's.
  func copy(fromHead: Bool) {
    for (pair, before) in zip(pairs, before) {
      for row in 0..<pair.table.rows {
        for column in 0..<pair.table.columns {
          if fromHead {
            pair.table[row, column] = pair.head[column, row]
          } else {
            pair.head[column, row] = pair.table[row, column]
          }
        }
      }
      before.view.copy(from: pair.table)
    }
  }

  /// Makes of two updates of the same values the second upon the first.
  ///
  /// - Parameter decay: the share of a value that each takes off.
  func didStep(decay: Float) {
    for index in pairs.indices {
      let (table, head) = pairs[index]
      let old = before[index].view
      for row in 0..<table.rows {
        for column in 0..<table.columns {
          let first = table[row, column] - old[row, column]
          let value = head[column, row] + (1 - decay) * first
          table[row, column] = value
          head[column, row] = value
          old[row, column] = value
        }
      }
    }
  }
}
