import Tensors

/// What a table hook is given with each call.
public struct TablePass: HookPass {
  /// The token table, whose rows were looked up.
  public let table: Parameter
  /// Memory that is dead after the call, of `scratchColumns` floats a token.
  public let scratch: MatrixView
  /// Rows of this call: tokens of one sequence.
  public let rowCount: Int
  /// The pass over the micro-batch.
  public let pass: Pass
}

/// A change to the token table as tokens look their rows up: `x[t] = row(tokens[t])`.
///
/// It is called for one sequence at a time. A table with a hook is frozen itself. Nothing of it
/// reaches a tied head: what shall act there too hooks the head's projection besides.
public protocol TableHook: AnyObject {
  /// Floats a token that a call needs while it runs.
  var scratchColumns: Int { get }
  /// Multiply-adds a token.
  var arithmetic: HookArithmetic { get }
  /// Changes the rows `x`, [tokens, hidden], which are the table's, in place.
  func forward(_ x: MatrixView, tokens: IndexView, _ pass: TablePass)
  /// Adds to the hook's parameter gradients.
  ///
  /// - Parameters:
  ///   - dx: the gradient of the changed rows, [tokens, hidden]; may be left changed.
  ///   - tokens: the ids of the rows.
  ///   - pass: the micro-batch, with what forward kept.
  func backward(_ dx: MatrixView, tokens: IndexView, _ pass: TablePass)
}
