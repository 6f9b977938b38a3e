import Kernels
import Tensors

/// What every hook is given with each call: the pass, and memory that is dead after the call.
public protocol HookPass {
  /// Memory that is dead after the call, [tokens, scratchColumns].
  var scratch: MatrixView { get }
  /// Rows of this call.
  var rowCount: Int { get }
  /// The pass over the micro-batch.
  var pass: Pass { get }
}

extension HookPass {
  /// Threads and kernels.
  public var compute: Compute { pass.compute }
  /// Whether dropout applies.
  public var isTraining: Bool { pass.isTraining }

  /// A part of the scratch without gaps between its rows, [tokens, columns].
  ///
  /// - Parameter after: columns of the parts before it.
  /// - Parameter columns: columns of this part.
  public func scratchPart(after: Int = 0, columns: Int) -> MatrixView {
    part(of: scratch, after: after, columns: columns)
  }

  /// A part of the call's memory without gaps between its rows, [tokens, columns].
  ///
  /// - Parameters:
  ///   - memory: `scratch`, or what forward keeps, [tokens, all columns].
  ///   - after: columns of the parts before it.
  ///   - columns: columns of this part.
  public func part(of memory: MatrixView, after: Int = 0, columns: Int) -> MatrixView {
    memory.reshaped(rows: 1, columns: memory.count)
      .columns((rowCount * after)..<(rowCount * (after + columns)))
      .reshaped(rows: rowCount, columns: columns)
  }
}
