import Kernels
import Tensors

/// Rows in front of every sequence that stand for no token.
///
/// They take the positions 0 ..< `virtualTokenCount`; the first real token follows at
/// `virtualTokenCount`. Their logits are never scored.
public protocol EmbeddingHook: AnyObject {
  /// Rows in front of every sequence.
  var virtualTokenCount: Int { get }
  /// Their values, [virtualTokenCount, hidden]: the same for every sequence.
  var rows: MatrixView { get }
  /// Adds the gradient of one sequence's virtual rows, [virtualTokenCount, hidden].
  func addGradient(_ dRows: MatrixView, on compute: Compute)
}
