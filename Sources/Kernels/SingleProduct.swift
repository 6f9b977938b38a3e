import CKernels
import COneDNN
import COpenBLAS
import Tensors

/// One f32 product on the calling thread, which all blocks of larger ones are made of.
///
/// `C (+)= scale · op(A) op(B)`, every matrix row-major with its own stride. On processors with
/// AVX-512 it is oneDNN's `dnnl_sgemm`, which reaches their peak there; Debian's OpenBLAS picks
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

  private let usesOneDNN: Bool

  /// - Parameter kernels: those of the processor, whose instruction set decides.
  init(_ kernels: UnsafePointer<ck_kernels>) {
    usesOneDNN = String(cString: kernels.pointee.name) == "avx512"
  }

  /// Computes `c (+)= scale · op(a) op(b)`.
  ///
  /// The corresponding C functions are `dnnl_sgemm` (oneDNN 2.6) and `cblas_sgemm`.
  ///
  /// - Parameters:
  ///   - a: [c.rows, depth] once transposed or not.
  ///   - b: [depth, c.columns] once transposed or not.
  func multiply(
    _ a: Operand, _ b: Operand, depth: Int, scale: Float = 1, into c: MatrixView, adding: Bool
  ) {
    let (strideA, strideB, strideC) = (max(a.stride, 1), max(b.stride, 1), max(c.rowStride, 1))
    guard usesOneDNN else {
      return cblas_sgemm(
        CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans,
        b.transposed ? CblasTrans : CblasNoTrans, CInt(c.rows), CInt(c.columns), CInt(depth), scale,
        a.base, CInt(strideA), b.base, CInt(strideB), adding ? 1 : 0, c.base, CInt(strideC))
    }
    ck_use_one_openmp_thread()
    let status = dnnl_sgemm(
      a.transposed ? SingleProduct.transposed : SingleProduct.asIs,
      b.transposed ? SingleProduct.transposed : SingleProduct.asIs, Int64(c.rows),
      Int64(c.columns), Int64(depth), scale, a.base, Int64(strideA), b.base, Int64(strideB),
      adding ? 1 : 0, c.base, Int64(strideC))
    // It fails only for arguments that make no sense, or without memory.
    precondition(
      status == dnnl_success,
      "dnnl_sgemm of [\(c.rows), \(depth)] times [\(depth), \(c.columns)]: \(status)")
  }

  private static let asIs = CChar(UInt8(ascii: "N"))
  private static let transposed = CChar(UInt8(ascii: "T"))
}
