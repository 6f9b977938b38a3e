/// How the products with a frozen weight, and those of attention, are computed.
public enum Arithmetic: Sendable, Hashable {
  /// Operands and sums in f32; a weight stored in 16 bits is widened, which is exact.
  case float32
  /// Both operands rounded to bf16 (nearest, ties to even), products and sums in f32, result f32.
  case bfloat16
}
