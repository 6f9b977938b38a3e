import Kernels
import Model
import Tensors

/// The tensors of one adapted projection, with their gradients.
struct LoRATensors {
  let a: TrainedMatrix  // [R, in]
  let b: TrainedMatrix  // [out, R]
  let bias: TrainedMatrix?  // [1, out]
}

/// A trainable matrix: its values and where its gradient is summed.
struct TrainedMatrix {
  let values: MatrixView
  let gradient: MatrixView

  init(_ slot: ParameterSlot, in arena: ParameterArena) {
    self.init(values: arena.values(slot), gradient: arena.gradients(slot))
  }

  init(values: MatrixView, gradient: MatrixView) {
    self.values = values
    self.gradient = gradient
  }
}

/// LoRA at one projection.
///
///     u = dropout(x) Aᵀ          [tokens, R], kept
///     y = base(x) + s·(u Bᵀ + b)
///
/// and backwards, with `dy` the gradient of `y`,
///
///     du = s·dy B     dB += s·dyᵀ u     db += s·Σ dy     dA += duᵀ dropout(x)
///     dx += dropout'(du A)
///
/// Where A and B start as factors A₀, B₀ of the weight (PiSSA, OLoRA), the weight is less by s·B₀A₀. It
/// stays as it lies in its file, mapped and shared by the ranks of a node; what it would be less by is
/// taken off the products,
///
///     y −= s·(x A₀ᵀ) B₀ᵀ      dx −= s·(dy B₀) A₀
///
/// which costs R·(in + out) multiply-adds a token each way, and no copy of the base.
final class LoRALinear: LinearHook {
  private let tensors: LoRATensors
  private let initial: InitialFactors?
  private let scaling: Float
  private let branch: LowRankBranch

  init(
    tensors: LoRATensors, initial: InitialFactors? = nil, scaling: Double, dropout: Double
  ) {
    self.tensors = tensors
    self.initial = initial
    self.scaling = Float(scaling)
    branch = LowRankBranch(tensors.a, dropout: dropout)
  }

  private var rank: Int { branch.rank }
  var savedColumns: Int { rank }
  var scratchColumns: Int { branch.scratchColumns + (initial == nil ? 0 : rank) }
  var readsInput: Bool { true }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    let residual = initial == nil ? 0 : rank * (layer.inputSize + layer.outputSize)
    return branch.arithmetic(
      of: layer, isInputGradientNeeded: isInputGradientNeeded, moreForward: residual,
      moreBackward: isInputGradientNeeded ? residual : 0)
  }

  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? {
    let u = pass.saved
    Product.multiply(
      branch.dropout.dropped(x, pass), by: tensors.a.values, transposed: true, into: u,
      on: pass.compute)
    return LowRankTerm(u, by: tensors.b.values, transposed: true, scale: scaling)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    if let bias = tensors.bias {
      RowBias.forward(bias.values, scale: scaling, addingTo: y, on: pass.compute)
    }
    guard let initial else { return }
    let u = initialScratch(pass)
    Product.multiply(x, by: initial.a, transposed: true, into: u, on: pass.compute)
    Product.multiply(
      u, by: initial.b, transposed: true, into: y, scale: -scaling, adding: true,
      on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, du) = (pass.saved, branch.gradient(pass))
    Product.multiply(dy, by: tensors.b.values, into: du, scale: scaling, on: pass.compute)
    Product.multiply(
      dy, transposed: true, by: u, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    if let bias = tensors.bias {
      RowBias.backward(dy, scale: scaling, addingTo: bias.gradient, on: pass.compute)
    }
    branch.addGradient(of: tensors.a, input: x, pass)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? { branch.inputTerm(pass) }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx else { return }
    branch.backwardInput(addingTo: dx, pass)
    guard let initial else { return }
    let du = initialScratch(pass)
    Product.multiply(dy, by: initial.b, into: du, on: pass.compute)
    Product.multiply(
      du, by: initial.a, into: dx, scale: -scaling, adding: true, on: pass.compute)
  }

  /// What the initial factors make of a row, [tokens, R], behind the branch's scratch.
  private func initialScratch(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: branch.scratchColumns, columns: rank)
  }
}

/// The factors that A and B started as, which never move.
struct InitialFactors {
  let a: MatrixView  // A₀ [R, in]
  let b: MatrixView  // B₀ [out, R]
}
