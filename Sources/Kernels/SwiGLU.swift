import CKernels
import Tensors

/// The gated unit of Llama's feed-forward: `y = f(gate) ⊙ up`.
///
/// Shazeer, "GLU Variants Improve Transformer", 2020; with f = SiLU it is SwiGLU. f(gate) is not kept:
/// backward computes it again from `gate`, which costs less than reading it back. The operands may
/// be kept rounded (``Kept``).
public enum SwiGLU {
  /// Both operands, [T, F] each, as backward reads them again.
  public enum Kept {
    /// As they are.
    case exact(gate: MatrixView, up: MatrixView)
    /// Rounded to bf16, in half the memory.
    case rounded(gate: RoundedView, up: RoundedView)
  }

  /// `y = f(gate) ⊙ up` of the operands as they are, which are then kept for backward.
  ///
  /// - Parameters:
  ///   - gate: what goes through the function, [T, F].
  ///   - up: what it gates, [T, F].
  ///   - y: result, [T, F]; may be `gate` or `up`.
  ///   - kept: where the rounded operands go; as they are they are kept by whoever has their memory.
  ///   - kind: the function f.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ gate: MatrixView, up: MatrixView, into y: MatrixView, keeping kept: Kept? = nil,
    kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(up, gate.rows, gate.columns, "up")
    requireShape(y, gate.rows, gate.columns, "y")
    guard case .rounded(let keptGate, let keptUp)? = kept else {
      return compute.forEachRows(gate.rows, columns: gate.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.gated(
          kind.code, gate.from(t), up.from(t), y.from(t), rows.count, gate.columns)
      }
    }
    requireShape(keptGate, gate.rows, gate.columns, "kept gate")
    requireShape(keptUp, gate.rows, gate.columns, "kept up")
    compute.forEachRows(gate.rows, columns: gate.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated_keeping(
        kind.code, gate.from(t), up.from(t), keptGate.from(t), keptUp.from(t), y.from(t),
        rows.count, gate.columns)
    }
  }

  /// `y = f(gate) ⊙ up` of the operands as they were kept.
  ///
  /// - Parameters:
  ///   - kept: what forward kept.
  ///   - y: result, [T, F]; may be an operand that was kept as it is.
  ///   - kind: the function f.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ kept: Kept, into y: MatrixView, kind: ActivationFunction = .silu, on compute: Compute
  ) {
    switch kept {
    case .exact(let gate, let up): forward(gate, up: up, into: y, kind: kind, on: compute)
    case .rounded(let gate, let up):
      requireShape(gate, y.rows, y.columns, "kept gate")
      requireShape(up, y.rows, y.columns, "kept up")
      compute.forEachRows(y.rows, columns: y.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.gated_kept(
          kind.code, gate.from(t), up.from(t), y.from(t), rows.count, y.columns)
      }
    }
  }

  /// `dGate = dy ⊙ up ⊙ f'(gate)` and `dUp = dy ⊙ f(gate)` at the operands as they were kept.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [T, F].
  ///   - kept: what forward kept.
  ///   - dGate: gradient of `gate`, [T, F]; may be `dy`, or an operand that was kept as it is.
  ///   - dUp: gradient of `up`, [T, F]; may be the same, not `dGate`.
  ///   - kind: the function f.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, _ kept: Kept, into dGate: MatrixView, _ dUp: MatrixView,
    kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(dGate, dy.rows, dy.columns, "dGate")
    requireShape(dUp, dy.rows, dy.columns, "dUp")
    switch kept {
    case .exact(let gate, let up):
      requireShape(gate, dy.rows, dy.columns, "gate")
      requireShape(up, dy.rows, dy.columns, "up")
      compute.forEachRows(dy.rows, columns: dy.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.gated_backward(
          kind.code, dy.from(t), gate.from(t), up.from(t), dGate.from(t), dUp.from(t), rows.count,
          dy.columns)
      }
    case .rounded(let gate, let up):
      requireShape(gate, dy.rows, dy.columns, "kept gate")
      requireShape(up, dy.rows, dy.columns, "kept up")
      compute.forEachRows(dy.rows, columns: dy.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.gated_backward_kept(
          kind.code, dy.from(t), gate.from(t), up.from(t), dGate.from(t), dUp.from(t), rows.count,
          dy.columns)
      }
    }
  }
}
