import Kernels
import Tensors

/// How extra keys and values enter attention.
public enum AttentionHookMode: Sendable, Hashable {
  /// In front of every sequence's own, in the same softmax; real tokens take positions from P on.
  case joint
  /// In a softmax of their own, whose result is scaled by a gate and added.
  case gated
}

/// The frozen key and value projections of one block, for hooks that use them.
public protocol KeyValueProjecting: AnyObject {
  /// Features of a key row: key/value heads times head dimension.
  var keyValueSize: Int { get }
  /// Projects rows [n, hidden] to keys and values [n, keyValueSize], without rotation; keys pass
  /// their norm where the block has one.
  func projectKeysAndValues(
    _ rows: MatrixView, keys: MatrixView, values: MatrixView, on compute: Compute)
  /// Adds the gradient of the rows, given those of the keys and the values that were projected last.
  func backwardKeysAndValues(
    dKeys: MatrixView, dValues: MatrixView, rows: MatrixView, addingTo dRows: MatrixView,
    on compute: Compute)
}

/// Extra keys and values for one block's attention: `prefixLength` rows, seen by every query.
///
/// The model gives the hook memory for keys and values and their gradients; it computes attention.
public protocol AttentionHook: AnyObject {
  /// How the rows enter.
  var mode: AttentionHookMode { get }
  /// Number of extra rows.
  var prefixLength: Int { get }
  /// The gate, read in `.gated` mode alone.
  var gate: Float { get }
  /// Writes keys and values, [prefixLength, keyValueSize], neither rotated nor normalised here.
  func fill(
    keys: MatrixView, values: MatrixView, block: any KeyValueProjecting, on compute: Compute)
  /// Adds to the hook's parameter gradients.
  ///
  /// - Parameters:
  ///   - dKeys: gradient of the keys, summed over the micro-batch.
  ///   - dValues: gradient of the values, likewise.
  ///   - dGate: gradient of the gate, [1, 1]; zero in `.joint` mode.
  ///   - block: the block whose attention it is, for the gradients of what it projected.
  ///   - compute: the threads that compute it.
  func backward(
    dKeys: MatrixView, dValues: MatrixView, dGate: MatrixView, block: any KeyValueProjecting,
    on compute: Compute)
}

extension AttentionHook {
  /// A joint prefix has no gate.
  public var gate: Float { 1 }
}
