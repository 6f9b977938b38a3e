import CKernels
import Tensors

/// The gated unit of Llama's feed-forward: `y = f(gate) ⊙ up`.
///
/// Shazeer, "GLU Variants Improve Transformer", 2020; with f = SiLU it is SwiGLU. It keeps nothing:
/// backward computes f again from `gate`, which costs less than reading it back.
public enum SwiGLU {
  /// `y = f(gate) ⊙ up`.
  ///
  /// - Parameters:
  ///   - gate: what goes through the function, [T, F].
  ///   - up: what it gates, [T, F].
  ///   - y: result, [T, F]; may be `gate` or `up`.
  ///   - kind: the function f.
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
}
