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

  var code: ck_activation {
    switch self {
    case .silu: ck_silu
    case .gelu: ck_gelu
    case .geluTanh: ck_gelu_tanh
    case .relu: ck_relu
    case .tanh: ck_tanh
    }
  }
}

/// An activation function, element by element.
public enum Activation {
  /// `y = f(x)`.
  ///
  /// - Parameters:
  ///   - kind: the function.
  ///   - x: input, [T, F].
  ///   - y: result, [T, F]; may be `x`.
  public static func forward(
    _ kind: ActivationFunction, _ x: MatrixView, into y: MatrixView, on compute: Compute
  ) {
    requireShape(y, x.rows, x.columns, "y")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.activation(
        kind.code, x.from(t), y.from(t), rows.count, x.columns)
    }
  }

  /// `dx = dy ⊙ f'(x)`.
  ///
  /// - Parameters:
  ///   - kind: the function.
  ///   - dy: gradient of the result, [T, F].
  ///   - x: input of forward, [T, F].
  ///   - dx: gradient of the input, [T, F]; may be `dy` or `x`.
  public static func backward(
    _ kind: ActivationFunction, _ dy: MatrixView, input x: MatrixView, into dx: MatrixView,
    on compute: Compute
  ) {
    requireShape(dy, x.rows, x.columns, "dy")
    requireShape(dx, x.rows, x.columns, "dx")
    compute.forEachRows(x.rows, columns: x.columns) { rows in
      let t = rows.lowerBound
      compute.kernels.pointee.elementwise.activation_backward(
        kind.code, dy.from(t), x.from(t), dx.from(t), rows.count, x.columns)
    }
  }
}
