/// How products with a frozen weight are computed, chosen once for each arithmetic.
///
/// All are packed products (`ck_product.h`) by the kernels of the instruction set:
///
/// | instruction set | f32 | bf16 |
/// |---|---|---|
/// | `scalar` (any processor) | `float32` | `roundedFloat32` |
/// | `avx2` (Haswell to Broadwell, Zen 1 to 3) | `float32`, tiles of 6 by 16 | `roundedFloat32` |
/// | `avx512` (Skylake to Ice Lake) | `float32`, tiles of 8 by 48 | `roundedFloat32` |
/// | `avx512` with AVX512_BF16 (Zen 4 on, Cooper Lake, Sapphire Rapids on) | the same | `bfloat16` |
/// | `neon` (Arm) | `float32`, tiles of 8 by 12 | `roundedFloat32` |
/// | `neon` with BF16 (Neoverse V1, N2 on) | the same | `bfloat16` |
///
/// The same kernels multiply few rows, as when generating, and matrices that are all in f32: adapters
/// and gradients of weights (`MatrixProduct`). AMX's tiles are not used: processors with them run
/// AVX512_BF16, so that all x86 processors that multiply bf16 natively do it by one instruction. Arm's
/// rounds otherwise: a definition of its own.
enum ProductEngine {
  /// Operands in f32; a weight is widened while it is packed.
  case float32
  /// The left operand rounded to bf16 and widened again, a weight while it is packed; then as f32. In
  /// f32's time, with weights that stay in 16 bits.
  case roundedFloat32
  /// Both operands in bf16, by the processor's instruction.
  case bfloat16

  init(_ arithmetic: Arithmetic, _ product: PackedProduct, emulatesBFloat16: Bool) {
    switch arithmetic {
    case .float32: self = .float32
    case .bfloat16:
      self = product.multipliesBFloat16 && !emulatesBFloat16 ? .bfloat16 : .roundedFloat32
    }
  }
}
