import Kernels
import Tensors

/// The arithmetic of the frozen base, by the name that `--precision` takes.
package enum Precision: String, Sendable, CaseIterable {
  /// Single precision.
  case f32
  /// Operands of frozen products in bf16.
  case bf16

  /// How kernels are told.
  var arithmetic: Arithmetic { self == .f32 ? .float32 : .bfloat16 }
  /// The type of a weight that such arithmetic takes where it lies.
  var elementType: ElementType { self == .f32 ? .float32 : .bfloat16 }
}
