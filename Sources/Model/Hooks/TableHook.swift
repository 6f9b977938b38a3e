import Kernels
import Tensors

/// What a table hook is given with each call.
public struct TablePass {
  /// The token table, whose rows were looked up.
  public let table: Parameter
  /// Memory that is dead after the call, of `scratchColumns` floats a token.
  let scratch: MatrixView
  /// Tokens of this call.
  public let tokenCount: Int
  /// The pass over the micro-batch.
  public let pass: Pass

  /// Threads and kernels.
  public var compute: Compute { pass.compute }

  /// A part of the scratch without gaps between its rows, [tokens, columns].
  ///
  /// - Parameter after: columns of the parts before it.
  /// - Parameter columns: columns of this part.
  public func scratchPart(after: Int = 0, columns: Int) -> MatrixView {
    let flat = scratch.reshaped(rows: 1, columns: scratch.count)
    return flat.columns((tokenCount * after)..<(tokenCount * (after + columns)))
      .reshaped(rows: tokenCount, columns: columns)
  }
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
