import CKernels
import Tensors

/// A function of one number that networks put between products.
public enum ActivationFunction: String, Sendable, Hashable, CaseIterable {
  /// `x / (1 + e^-x)`, also called swish.
  case silu
  /// `x Φ(x)` by the error function.
  case gelu
  /// GELU by its tanh approximation (GPT-2's `gelu_new`).
  case geluTanh
  /// `max(x, 0)`; its slope at 0 is 0.
  case relu
  /// Hyperbolic tangent.
  case tanh
  /// `x / (1 + e^(-1.702 x))`, GELU by a sigmoid.
  case quickGELU
  /// `max(x, 0)²`.
  case reluSquared

  var code: ck_activation {
    switch self {
    case .silu: ck_silu
    case .gelu: ck_gelu
    case .geluTanh: ck_gelu_tanh
    case .relu: ck_relu
    case .tanh: ck_tanh
    case .quickGELU: ck_quick_gelu
    case .reluSquared: ck_relu_squared
    }
  }
}

/// An activation function, element by element.
public enum Activation {
  /// Its input, [T, F], as backward reads it again.
  public enum Kept {
    /// As it is.
    case exact(MatrixView)
    /// Rounded to bf16, in half the memory.
    case rounded(RoundedView)
  }

  /// `y = f(x)` of the input as it is, which is then kept for backward.
  ///
  /// - Parameters:
  ///   - kind: the function.
  ///   - x: input, [T, F].
  ///   - y: result, [T, F]; may be `x`.
  ///   - kept: where the rounded input goes, [T, F]; `x` is kept as it is by whoever has its memory.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ kind: ActivationFunction, _ x: MatrixView, into y: MatrixView, keeping kept: Kept? = nil,
    on compute: Compute
  ) {
    requireShape(y, x.rows, x.columns, "y")
    guard case .rounded(let kept)? = kept else {
      return compute.forEachRows(x.rows, columns: x.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.activation(
          kind.code, x.from(t), y.from(t), rows.count, x.columns)
      }
    }
    requireShape(kept, x.rows, x.columns, "kept x")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.activation_keeping(
        kind.code, x.from(t), kept.from(t), y.from(t), rows.count, x.columns)
    }
  }

  /// `y = f(x)` of the input as it was kept.
  ///
  /// - Parameters:
  ///   - kind: the function.
  ///   - kept: what forward kept, [T, F].
  ///   - y: result, [T, F]; may be `x`.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ kind: ActivationFunction, _ kept: Kept, into y: MatrixView, on compute: Compute
  ) {
    switch kept {
    case .exact(let x): forward(kind, x, into: y, on: compute)
    case .rounded(let kept):
      requireShape(kept, y.rows, y.columns, "kept x")
      compute.forEachRows(y.rows, columns: y.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.activation_kept(
          kind.code, kept.from(t), y.from(t), rows.count, y.columns)
      }
    }
  }

  /// `dx = dy ⊙ f'(x)` at the input as it was kept.
  ///
  /// - Parameters:
  ///   - kind: the function.
  ///   - dy: gradient of the result, [T, F].
  ///   - kept: what forward kept, [T, F].
  ///   - dx: gradient of the input, [T, F]; may be `dy` or `x`.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ kind: ActivationFunction, _ dy: MatrixView, input kept: Kept, into dx: MatrixView,
    on compute: Compute
  ) {
    requireShape(dx, dy.rows, dy.columns, "dx")
    switch kept {
    case .exact(let x):
      requireShape(x, dy.rows, dy.columns, "x")
      compute.forEachRows(dy.rows, columns: dy.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.activation_backward(
          kind.code, dy.from(t), x.from(t), dx.from(t), rows.count, dy.columns)
      }
    case .rounded(let x):
      requireShape(x, dy.rows, dy.columns, "kept x")
      compute.forEachRows(dy.rows, columns: dy.columns) { rows in
        let t = rows.lowerBound
        compute.kernels.pointee.elementwise.activation_backward_kept(
          kind.code, dy.from(t), x.from(t), dx.from(t), rows.count, dy.columns)
      }
    }
  }
}
