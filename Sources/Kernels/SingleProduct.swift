import CKernels
import COpenBLAS
import Tensors

/// One f32 product on the calling thread, which all blocks of larger ones are made of.
///
/// `C (+)= scale · op(A) op(B)`, every matrix row-major with its own stride. On processors with
/// AVX-512 it is ours, which reaches their peak there (`product_avx512.c`); Debian's OpenBLAS picks
/// kernels by the processor's model, knows none younger than itself, and falls back to half of that
/// or less. Elsewhere it is OpenBLAS's `cblas_sgemm`.
struct SingleProduct {
  /// A matrix as BLAS wants it.
  struct Operand {
    let base: UnsafePointer<Float>
    /// Elements from one stored row to the next.
    let stride: Int
    /// Whether it is used transposed.
    var transposed = false
  }

  /// Our products, where this processor has them.
  let packed: PackedProduct?

  /// - Parameter kernels: those of the processor, whose instruction set decides.
  init(_ kernels: UnsafePointer<ck_kernels>) {
    packed = ck_products(kernels).map { PackedProduct(kernels: $0) }
  }

  /// Computes `c (+)= scale · op(a) op(b)`.
  ///
  /// The corresponding C function is `cblas_sgemm`.
  ///
  /// - Parameters:
  ///   - a: [c.rows, depth] once transposed or not.
  ///   - b: [depth, c.columns] once transposed or not.
  ///   - scratch: `PackedProduct.scratchBytes` at a multiple of 64.
  func multiply(
    _ a: Operand, _ b: Operand, depth: Int, scale: Float = 1, into c: MatrixView, adding: Bool,
    scratch: UnsafeMutableRawPointer
  ) {
    if let packed {
      return packed.multiply(
        a, by: .init(b.base, .float32, stride: b.stride, transposed: b.transposed), depth: depth,
        scale: scale, into: c, adding: adding, scratch: scratch)
    }
    cblas_sgemm(
      CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
      b.transposed ? CblasTrans : CblasNoTrans, CInt(c.rows), CInt(c.columns), CInt(depth), scale,
      a.base, CInt(max(a.stride, 1)), b.base, CInt(max(b.stride, 1)), adding ? 1 : 0, c.base,
      CInt(max(c.rowStride, 1)))
  }
}
