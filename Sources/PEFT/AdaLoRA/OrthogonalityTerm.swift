import Kernels
import Tensors

/// AdaLoRA's regulariser, which keeps A's rows and B's columns orthogonal.
///
///     γ/n · Σ ( ‖A Aᵀ − I‖_F + ‖Bᵀ B − I‖_F )       n matrices A and B together
///
/// With M = A Aᵀ − I the gradient of A's term is 2 M A / ‖M‖_F, and of B's, with M = Bᵀ B − I,
/// 2 B M / ‖M‖_F; nothing at M = 0. The norm is not squared, as in PEFT; the paper squares it.
final class OrthogonalityTerm {
  private let memory: OwnedMatrix

  /// - Parameter rank: R₀.
  init(rank: Int) { memory = OwnedMatrix(rows: rank, columns: rank) }

  /// Bytes of M.
  var byteCount: Int { memory.byteCount }

  /// Adds the gradient of `weight · ‖A Aᵀ − I‖_F` for `a` [R, in].
  func addGradient(rows a: TrainedMatrix, weight: Double, on compute: Compute) {
    let m = memory.view
    Product.multiply(a.values, by: a.values, transposed: true, into: m, on: compute)
    guard let scale = scale(m, weight, compute) else { return }
    Product.multiply(m, by: a.values, into: a.gradient, scale: scale, adding: true, on: compute)
  }

  /// Adds the gradient of `weight · ‖Bᵀ B − I‖_F` for `b` [out, R].
  func addGradient(columns b: TrainedMatrix, weight: Double, on compute: Compute) {
    let m = memory.view
    Product.multiply(b.values, transposed: true, by: b.values, into: m, on: compute)
    guard let scale = scale(m, weight, compute) else { return }
    Product.multiply(b.values, by: m, into: b.gradient, scale: scale, adding: true, on: compute)
  }

  /// Takes the identity off `m`; 2·weight/‖m‖, or nil where m is zero.
  private func scale(_ m: MatrixView, _ weight: Double, _ compute: Compute) -> Float? {
    for i in 0..<m.rows { m[i, i] -= 1 }
    let norm = Reduction.sumOfSquares(m, on: compute).squareRoot()
    return norm > 0 ? Float(2 * weight / norm) : nil
  }
}
