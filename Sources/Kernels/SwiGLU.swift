import CKernels
import Tensors

/// The gated unit of Llama's feed-forward: `y = f(gate) ⊙ up`.
///
/// Shazeer, "GLU Variants Improve Transformer", 2020; with f = SiLU it is SwiGLU. f(gate) is not kept:
/// backward computes it again from `gate`, which costs less than reading it back. The operands may
/// be kept rounded (``Kept``).
public enum SwiGLU {
  /// `y = f(gate) ⊙ up`.
  ///
  /// - Parameters:
  ///   - gate: what goes through the function, [T, F].
  ///   - up: what it gates, [T, F].
  ///   - y: result, [T, F]; may be `gate` or `up`.
  ///   - kind: the function f.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ gate: MatrixView, up: MatrixView, into y: MatrixView, kind: ActivationFunction = .silu,
    on compute: Compute
  ) {
    requireShape(up, gate.rows, gate.columns, "up")
    requireShape(y, gate.rows, gate.columns, "y")
    compute.forEachRows(gate.rows, columns: gate.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated(
        kind.code, gate.from(t), up.from(t), y.from(t), rows.count, gate.columns)
    }
  }

  /// `dGate = dy ⊙ up ⊙ f'(gate)` and `dUp = dy ⊙ f(gate)`.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [T, F].
  ///   - gate: input of forward, [T, F].
  ///   - up: input of forward, [T, F].
  ///   - dGate: gradient of `gate`, [T, F]; may be `dy`, `gate` or `up`.
  ///   - dUp: gradient of `up`, [T, F]; may be `dy`, `gate` or `up`, not `dGate`.
  ///   - kind: the function f.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, gate: MatrixView, up: MatrixView, into dGate: MatrixView,
    _ dUp: MatrixView, kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(up, gate.rows, gate.columns, "up")
    requireShape(dy, gate.rows, gate.columns, "dy")
    requireShape(dGate, gate.rows, gate.columns, "dGate")
    requireShape(dUp, gate.rows, gate.columns, "dUp")
    compute.forEachRows(gate.rows, columns: gate.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated_backward(
        kind.code, dy.from(t), gate.from(t), up.from(t), dGate.from(t), dUp.from(t), rows.count,
        gate.columns)
    }
  }

  /// `gate` and `up` rounded to bf16, in half the memory, for backward.
  public struct Kept {
    /// What goes through the function, [T, F].
    public let gate: RoundedView
    /// What it gates, [T, F].
    public let up: RoundedView

    /// Both operands.
    public init(gate: RoundedView, up: RoundedView) {
      self.gate = gate
      self.up = up
    }
  }

  /// `y = f(gate) ⊙ up` of the operands as they are, which are then kept rounded.
  ///
  /// - Parameters:
  ///   - gate: the operand that f takes, [T, F].
  ///   - up: the other one, [T, F].
  ///   - y: result, [T, F]; may be `gate` or `up`.
  ///   - kept: where the rounded operands go.
  ///   - kind: which f.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ gate: MatrixView, up: MatrixView, into y: MatrixView, keeping kept: Kept,
    kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(up, gate.rows, gate.columns, "up")
    requireShape(y, gate.rows, gate.columns, "y")
    requireShape(kept.gate, gate.rows, gate.columns, "kept gate")
    requireShape(kept.up, gate.rows, gate.columns, "kept up")
    compute.forEachRows(gate.rows, columns: gate.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated_keeping(
        kind.code, gate.from(t), up.from(t), kept.gate.from(t), kept.up.from(t), y.from(t),
        rows.count, gate.columns)
    }
  }

  /// `y = f(gate) ⊙ up` of the rounded operands.
  public static func forward(
    _ kept: Kept, into y: MatrixView, kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(kept.gate, y.rows, y.columns, "kept gate")
    requireShape(kept.up, y.rows, y.columns, "kept up")
    compute.forEachRows(y.rows, columns: y.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated_kept(
        kind.code, kept.gate.from(t), kept.up.from(t), y.from(t), rows.count, y.columns)
    }
  }

  /// `dGate = dy ⊙ up ⊙ f'(gate)` and `dUp = dy ⊙ f(gate)` at the rounded operands.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [T, F].
  ///   - kept: what `forward` kept.
  ///   - dGate: gradient of `gate`, [T, F]; may be `dy`.
  ///   - dUp: gradient of `up`, [T, F]; may be `dy`, not `dGate`.
  ///   - kind: which f.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dy: MatrixView, _ kept: Kept, into dGate: MatrixView, _ dUp: MatrixView,
    kind: ActivationFunction = .silu, on compute: Compute
  ) {
    requireShape(kept.gate, dy.rows, dy.columns, "kept gate")
    requireShape(kept.up, dy.rows, dy.columns, "kept up")
    requireShape(dGate, dy.rows, dy.columns, "dGate")
    requireShape(dUp, dy.rows, dy.columns, "dUp")
    compute.forEachRows(dy.rows, columns: dy.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.gated_backward_kept(
        kind.code, dy.from(t), kept.gate.from(t), kept.up.from(t), dGate.from(t), dUp.from(t),
        rows.count, dy.columns)
    }
  }
}
