import Kernels
import Tensors

/// A frozen linear layer forward, `y = x Wᵀ`, or the gradient of its input, `dx = dy W`.
final class LinearOperation: Operation {
  let name: String
  let precision: Precision
  let bound: Bound
  private let isForward: Bool
  private let weight: StoredWeight
  private let input: OperandMatrix
  private let output: OperandMatrix
  private let layer: String

  /// - Parameter format: how the weight is stored; as the precision's numbers where nil.
  init(
    _ layer: String, rows: Int, input: Int, output: Int, forward: Bool, precision: Precision,
    format: BlockFormat? = nil
  ) {
    self.layer = layer + (format.map { " in \($0.name)" } ?? "")
    self.precision = precision
    isForward = forward
    name = forward ? "linear forward" : "linear backward"
    let (depth, columns) = forward ? (input, output) : (output, input)
    bound = .products([
      ProductShape(rows: rows, depth: depth, columns: columns, bTransposed: forward)
    ])
    weight =
      format.map { StoredWeight(inputSize: input, outputSize: output, format: $0, seed: 11) }
      ?? StoredWeight(
        inputSize: input, outputSize: output, type: precision.elementType, seed: 11)
    self.input = OperandMatrix(rows, depth, seed: 12)
    // So that the reference need not round.
    if precision == .bf16 { self.input.view.roundToBFloat16() }
    self.output = OperandMatrix(rows: rows, columns: columns)
  }

  var size: String {
    "\(layer), \(input.view.rows) x \(input.view.columns) → \(output.view.columns)"
  }

  func run(on compute: Compute) {
    if isForward {
      Linear.forward(
        input.view, weight: weight.matrix, bias: nil, into: output.view,
        arithmetic: precision.arithmetic, on: compute)
    } else {
      Linear.backwardInput(
        input.view, weight: weight.matrix, into: output.view, arithmetic: precision.arithmetic,
        on: compute)
    }
  }

  func results() -> [CheckedResult] {
    let expected = Reference.product(
      input.view.doubles, weight.doubles, input.view.rows, input.view.columns, output.view.columns,
      bTransposed: isForward)
    return [CheckedResult("result", output.view, expected)]
  }
}

/// The products of LoRA at one layer, which are narrow: R = 16.
///
///     u = x Aᵀ    y += u Bᵀ    du = dy B    dB += dyᵀ u    dA += duᵀ x    dx += du A
final class LoRAOperation: Operation {
  /// Which of them.
  enum Part: String, CaseIterable {
    case down = "u = x Aᵀ"
    case up = "y += u Bᵀ"
    case downGradient = "du = dy B"
    case dB = "dB += dyᵀ u"
    case dA = "dA += duᵀ x"
    case upGradient = "dx += du A"
  }

  let name: String
  let bound: Bound
  private let left: OperandMatrix
  private let right: OwnedMatrix
  private let result: OperandMatrix
  private let leftTransposed: Bool
  private let rightTransposed: Bool
  private let isAdding: Bool
  private let sizes: (m: Int, k: Int, n: Int)

  init(_ part: Part, rows: Int, input: Int, output: Int, r: Int) {
    name = "LoRA \(part.rawValue)"
    switch part {
    case .down: sizes = (rows, input, r)
    case .up: sizes = (rows, r, output)
    case .downGradient: sizes = (rows, output, r)
    case .dB: sizes = (output, rows, r)
    case .dA: sizes = (r, rows, input)
    case .upGradient: sizes = (rows, r, input)
    }
    leftTransposed = part == .dA || part == .dB
    rightTransposed = part == .down || part == .up
    isAdding = part != .down && part != .downGradient
    let (m, k, n) = sizes
    left =
      leftTransposed ? OperandMatrix(k, m, seed: 21) : OperandMatrix(m, k, seed: 21)
    right = rightTransposed ? OwnedMatrix(n, k, seed: 22) : OwnedMatrix(k, n, seed: 22)
    result = OperandMatrix(rows: m, columns: n)
    let moved = m * k + k * n + m * n * (isAdding ? 2 : 1)
    bound = .roofline(operations: 2 * Double(m * k * n), bytes: Double(4 * moved))
  }

  var size: String { "\(sizes.m) x \(sizes.k) x \(sizes.n)" }

  func reset() { result.view.fill(isAdding ? 0.25 : 0) }

  func run(on compute: Compute) {
    Product.multiply(
      left.view, transposed: leftTransposed, by: right.view, transposed: rightTransposed,
      into: result.view, adding: isAdding, on: compute)
  }

  func results() -> [CheckedResult] {
    let product = Reference.product(
      left.view.doubles, right.doubles, sizes.m, sizes.k, sizes.n, aTransposed: leftTransposed,
      bTransposed: rightTransposed)
    return [CheckedResult("result", result.view, product.map { $0 + (isAdding ? 0.25 : 0) })]
  }
}

/// The head and the cross-entropy of every row, and the gradient of the rows.
final class HeadOperation: Operation {
  let name = "head and cross-entropy"
  let precision: Precision
  let bound: Bound
  private let weight: StoredWeight
  private let hidden: OperandMatrix
  private let gradient: OperandMatrix
  private let scratch: OwnedMatrix
  private let targets: IndexBuffer
  private var loss = 0.0

  init(rows: Int, hiddenSize: Int, vocabulary: Int, precision: Precision) {
    self.precision = precision
    weight = StoredWeight(
      inputSize: hiddenSize, outputSize: vocabulary, type: precision.elementType, seed: 31)
    hidden = OperandMatrix(rows, hiddenSize, seed: 32)
    if precision == .bf16 { hidden.view.roundToBFloat16() }
    gradient = OperandMatrix(rows: rows, columns: hiddenSize)
    scratch = OwnedMatrix(rows: 1, columns: HeadLoss.scratchCount(vocabularySize: vocabulary))
    let random = FastRandom(seed: 33)
    targets = IndexBuffer((0..<rows).map { Int(random[$0] % UInt64(vocabulary)) })
    bound = .products([
      ProductShape(rows: rows, depth: hiddenSize, columns: vocabulary, bTransposed: true),
      ProductShape(rows: rows, depth: vocabulary, columns: hiddenSize, bTransposed: false),
    ])
  }

  var size: String {
    "\(hidden.view.rows) x \(hidden.view.columns) → \(weight.matrix.outputSize)"
  }

  func run(on compute: Compute) {
    loss = HeadLoss.forward(
      hidden.view, targets: targets.all, weight: weight.matrix, bias: nil, dHidden: gradient.view,
      dWeight: nil, dBias: nil, scratch: scratch.view, arithmetic: precision.arithmetic,
      on: compute)
  }

  func results() -> [CheckedResult] {
    let (n, h, v) = (hidden.view.rows, hidden.view.columns, weight.matrix.outputSize)
    let w = weight.doubles
    var logits = Reference.product(hidden.view.doubles, w, n, h, v, bTransposed: true)
    var expected = 0.0
    for row in 0..<n {
      let range = row * v..<(row + 1) * v
      let total = logits[range].reduce(0) { $0 + Reference.exponential($1) }
      expected += Reference.logarithm(total) - logits[row * v + targets.all[row]]
      for place in range { logits[place] = Reference.exponential(logits[place]) / total }
      logits[row * v + targets.all[row]] -= 1
    }
    var slope = CheckedResult(
      "gradient", gradient.view, Reference.product(logits, w, n, v, h))
    // In bf16 the logits' gradient is rounded to 8 bits before the second product.
    if precision == .bf16 { slope.tolerance = 0x1p-8 }
    return [CheckedResult("loss", value: loss, expected), slope]
  }
}
