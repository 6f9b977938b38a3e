import Kernels
import Model
import Tensors

/// DoRA's magnitudes at one projection or the token table: arXiv:2402.09353 (Liu and others, 2024).
///
///     f = m / c        c_o = ‖W_o + s·(B A)_o‖₂      over the inputs of output o
///
/// c follows A and B but is a constant in backward. Its square is
/// `‖W_o‖² + 2s·B_o·(W Aᵀ)_o + s²·B_o (A Aᵀ) B_oᵀ`, so B A is never formed; it is made once a step.
final class DoRAMagnitude {
  private let tensors: LoRATensors
  private let magnitude: TrainedMatrix  // m [out]
  private let weight: WeightMatrix
  private let path: String
  private let scaling: Double
  private var weightSquares: [Double]  // ‖W_o‖²
  private let factorBuffer: OwnedMatrix  // f [1, out]
  private let inverseBuffer: OwnedMatrix  // 1/c [1, out]
  private let sums: OwnedMatrix  // [1, out]
  private let weightProduct: OwnedMatrix  // (W Aᵀ)ᵀ [R, out]
  private let gram: OwnedMatrix  // A Aᵀ [R, R]
  private let gramProduct: OwnedMatrix  // B A Aᵀ [out, R]

  /// - Parameters:
  ///   - weight: W, which maps inputs to outputs: of a token table, tokens to hidden features.
  ///   - path: module path, for messages.
  init(
    _ magnitude: TrainedMatrix, tensors: LoRATensors, scaling: Double, weight: WeightMatrix,
    path: String
  ) {
    self.magnitude = magnitude
    self.tensors = tensors
    self.scaling = scaling
    self.weight = weight
    self.path = path
    let (rank, out) = (tensors.a.values.rows, weight.outputSize)
    let isPlanned = tensors.a.values.isPlanned
    weightSquares =
      isPlanned
      ? Array(repeating: 0, count: out)
      : MagnitudeScaling.squaredNorms(of: weight, on: Compute(threads: 1))
    factorBuffer = OwnedMatrix(rows: 1, columns: out)
    inverseBuffer = OwnedMatrix(rows: 1, columns: out)
    sums = OwnedMatrix(rows: 1, columns: out)
    weightProduct = OwnedMatrix(rows: rank, columns: out, isPlanned: isPlanned)
    gram = OwnedMatrix(rows: rank, columns: rank)
    gramProduct = OwnedMatrix(rows: out, columns: rank, isPlanned: isPlanned)
  }

  /// Takes the norms of a weight whose values have changed.
  func readWeight() {
    weightSquares = MagnitudeScaling.squaredNorms(of: weight, on: Compute(threads: 1))
  }

  /// Bytes of the factors and of what they are made with.
  var byteCount: Int {
    [factorBuffer, inverseBuffer, sums, weightProduct, gram, gramProduct]
      .reduce(weightSquares.count * 8) { $0 + $1.byteCount }
  }

  /// f, [1, out].
  var factor: MatrixView { factorBuffer.view }

  /// What forward and backward read besides the arena.
  var replicas: [(name: String, values: MatrixView)] {
    [
      ("DoRA's factor of \(path)", factorBuffer.view),
      ("DoRA's inverse norm of \(path)", inverseBuffer.view),
    ]
  }

  /// Makes c and f of the present values.
  ///
  /// - Parameter startsThere: sets m to c, so that f is exactly 1.
  func update(startsThere: Bool = false, on compute: Compute) {
    let (a, b) = (tensors.a.values, tensors.b.values)
    Linear.forward(
      a, weight: weight, bias: nil, into: weightProduct.view, arithmetic: .float32,
      on: compute)
    Product.multiply(a, by: a, transposed: true, into: gram.view, on: compute)
    Product.multiply(b, by: gram.view, into: gramProduct.view, on: compute)
    let m = magnitude.values
    for o in 0..<b.rows {
      var linear = 0.0
      var square = 0.0
      for r in 0..<b.columns {
        linear += Double(b[o, r]) * Double(weightProduct.view[r, o])
        square += Double(b[o, r]) * Double(gramProduct.view[o, r])
      }
      let squared = weightSquares[o] + 2 * scaling * linear + scaling * scaling * square
      let c = Float(max(squared, Double(Float.leastNormalMagnitude)).squareRoot())
      if startsThere { m[0, o] = c }
      inverseBuffer.view[0, o] = 1 / c
      factor[0, o] = m[0, o] / c
    }
  }

  /// Adds the gradient of m: `dm += Σ dy ⊙ z / c`.
  func addGradient(_ dy: MatrixView, z: MatrixView, on compute: Compute) {
    sums.view.fill(0)
    Elementwise.addColumnSums(of: dy, times: z, addingTo: sums.view, on: compute)
    Elementwise.scaleColumns(sums.view, by: inverseBuffer.view, into: sums.view, on: compute)
    Elementwise.add(sums.view, addingTo: magnitude.gradient, on: compute)
  }
}

/// DoRA at one projection: LoRA with a trained length for every output.
///
///     u = x̃ Aᵀ    z = x̃ Wᵀ + s·u Bᵀ                       both kept
///     y = base(x) + s·u Bᵀ + (f − 1) ⊙ z                    f = m/c
///
/// where x̃ is the dropped input; without dropout y = f ⊙ z + b, and with it PEFT leaves the base's
/// own term undropped. Backwards, with `dy` the gradient of `y` and c held fixed,
///
///     dm += Σ dy ⊙ z / c     dz = f ⊙ dy     du = s·dz B     dB += s·dzᵀ u     dA += duᵀ x̃
///     dx += dz W + du A                                      without dropout
///     dx += dy W + dropout'((dz − dy) W + du A)              with
final class DoRALinear: LinearHook {
  private let tensors: LoRATensors
  private let magnitude: DoRAMagnitude
  private let scaling: Float
  private let branch: LowRankBranch
  private let outputSize: Int

  init(tensors: LoRATensors, magnitude: DoRAMagnitude, scaling: Double, dropout: Double) {
    self.tensors = tensors
    self.magnitude = magnitude
    self.scaling = Float(scaling)
    branch = LowRankBranch(tensors.a, dropout: dropout)
    outputSize = tensors.b.values.rows
  }

  private var rank: Int { branch.rank }
  private var dropout: BranchDropout { branch.dropout }
  var savedColumns: Int { rank + outputSize }
  var scratchColumns: Int { branch.scratchColumns + (dropout.isUsed ? outputSize : 0) }
  var readsInput: Bool { true }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    let (a, b) = (rank * layer.inputSize, rank * outputSize)
    // With dropout the frozen weight meets the dropped input too.
    let frozen = dropout.isUsed ? layer.inputSize * outputSize : 0
    let input = isInputGradientNeeded ? a + frozen : 0
    return HookArithmetic(
      forward: a + b + frozen, backward: 2 * b + a + (dropout.isUsed ? input : 0),
      inputTerm: dropout.isUsed ? 0 : input)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    let (u, z) = saved(pass)
    let input = dropout.dropped(x, pass)
    Product.multiply(input, by: tensors.a.values, transposed: true, into: u, on: pass.compute)
    Product.multiply(
      u, by: tensors.b.values, transposed: true, into: z, scale: scaling, on: pass.compute)
    var product: MatrixView?
    if dropout.isDropping(pass) {
      let w = outputScratch(pass)
      Linear.forward(
        input, weight: pass.layer.weight.operand, bias: nil, into: w,
        arithmetic: pass.layer.arithmetic, on: pass.compute)
      product = w
    }
    MagnitudeScaling.forward(
      y, product: product, bias: pass.layer.bias?.vector, branch: z, factor: magnitude.factor,
      on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let (u, z) = saved(pass)
    let du = branch.gradient(pass)
    magnitude.addGradient(dy, z: z, on: pass.compute)
    // Without dropout the frozen product gets the scaled gradient; with it, its own.
    let dz = dropout.isDropping(pass) ? outputScratch(pass) : dy
    Elementwise.scaleColumns(dy, by: magnitude.factor, into: dz, on: pass.compute)
    Product.multiply(dz, by: tensors.b.values, into: du, scale: scaling, on: pass.compute)
    Product.multiply(
      dz, transposed: true, by: u, into: tensors.b.gradient, scale: scaling, adding: true,
      on: pass.compute)
    branch.addGradient(of: tensors.a, input: x, pass)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? { branch.inputTerm(pass) }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx, dropout.isDropping(pass) else { return }
    let du = branch.gradient(pass)
    let (dInput, dz) = (dropout.scratch(pass), outputScratch(pass))
    Elementwise.add(dy, addingTo: dz, scale: -1, on: pass.compute)
    pass.layer.baseBackward(dz, into: dInput, adding: false, on: pass.compute)
    Product.multiply(du, by: tensors.a.values, into: dInput, adding: true, on: pass.compute)
    dropout.backward(addingTo: dx, pass)
  }

  /// u [tokens, R] and z [tokens, out].
  private func saved(_ pass: LinearPass) -> (u: MatrixView, z: MatrixView) {
    (
      pass.part(of: pass.saved, columns: rank),
      pass.part(of: pass.saved, after: rank, columns: outputSize)
    )
  }

  private func outputScratch(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: branch.scratchColumns, columns: outputSize)
  }
}
