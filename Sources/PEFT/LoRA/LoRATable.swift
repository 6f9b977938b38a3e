import Kernels
import Model
import Tensors

/// LoRA on the token table, as it is looked up.
///
///     u = A[:, tokens]ᵀ         [tokens, R]
///     x = f ⊙ (W[tokens] + s·u Bᵀ)        A [R, vocabulary], B [hidden, R]
///
/// and backwards, with `dx` the gradient of `x` and f, which is 1 without DoRA, held fixed,
///
///     dm += Σ dx ⊙ (W[tokens] + s·u Bᵀ) / c     dz = f ⊙ dx
///     du = s·dz B     dB += s·dzᵀ u     dA[:, tokens] += duᵀ
///
/// Nothing is kept: what backward needs is looked up again. Dropout has no input to drop here, and PEFT
/// drops nothing either. DoRA's f has one number for each hidden feature.
final class LoRATable: TableHook {
  private let tensors: LoRATensors
  private let magnitude: DoRAMagnitude?
  private let scaling: Float

  init(tensors: LoRATensors, magnitude: DoRAMagnitude?, scaling: Double) {
    self.tensors = tensors
    self.magnitude = magnitude
    self.scaling = Float(scaling)
  }

  private var rank: Int { tensors.a.values.rows }
  private var hidden: Int { tensors.b.values.rows }
  var scratchColumns: Int { 2 * rank + (magnitude == nil ? 0 : hidden) }

  var arithmetic: HookArithmetic {
    let product = rank * hidden
    return HookArithmetic(forward: product, backward: (magnitude == nil ? 2 : 3) * product)
  }

  func forward(_ x: MatrixView, tokens: IndexView, _ pass: TablePass) {
    addBranch(to: x, tokens, pass)
    if let magnitude {
      Elementwise.scaleColumns(x, by: magnitude.factor, into: x, on: pass.compute)
    }
  }

  func backward(_ dx: MatrixView, tokens: IndexView, _ pass: TablePass) {
    if let magnitude {
      let z = pass.scratchPart(after: 2 * rank, columns: hidden)
      Embedding.forward(tokens, table: pass.table.matrix, into: z, on: pass.compute)
      addBranch(to: z, tokens, pass)
      magnitude.addGradient(dx, z: z, on: pass.compute)
      Elementwise.scaleColumns(dx, by: magnitude.factor, into: dx, on: pass.compute)
    }
    let (u, du) = (pass.scratchPart(columns: rank), pass.scratchPart(after: rank, columns: rank))
    TokenColumns.forward(tokens, of: tensors.a.values, into: u, on: pass.compute)
    Product.multiply(dx, by: tensors.b.values, into: du, scale: scaling, on: pass.compute)
    Product.multiply(
      dx, transposed: true, by: u, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    TokenColumns.backward(du, tokens: tokens, addingTo: tensors.a.gradient, on: pass.compute)
  }

  /// `x += s·u Bᵀ`, with u in the scratch.
  private func addBranch(to x: MatrixView, _ tokens: IndexView, _ pass: TablePass) {
    let u = pass.scratchPart(columns: rank)
    TokenColumns.forward(tokens, of: tensors.a.values, into: u, on: pass.compute)
    Product.multiply(
      u, by: tensors.b.values, transposed: true, into: x, scale: scaling, adding: true,
      on: pass.compute)
  }
}
