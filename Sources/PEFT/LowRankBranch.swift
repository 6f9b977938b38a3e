import Kernels
import Model
import Tensors

/// What low-rank branches beside a projection share: dropout in front of A, the branch's gradient, and
/// the way back to the input.
///
///     u = x̃ Aᵀ      dA += duᵀ x̃      dx += dropout'(du A)
struct LowRankBranch {
  /// Rows of A.
  let rank: Int
  /// In front of A.
  let dropout: BranchDropout
  private let a: MatrixView  // [R, in]

  init(_ a: TrainedMatrix, dropout: Double) {
    self.a = a.values
    rank = a.values.rows
    self.dropout = BranchDropout(dropout, columns: a.values.columns, after: rank)
  }

  /// Floats a token: du, then what dropout needs.
  var scratchColumns: Int { rank + dropout.scratchColumns }

  /// The multiply-adds of A and B and of their gradients, and what else a hook does.
  func arithmetic(
    of layer: LinearLayer, isInputGradientNeeded: Bool, moreForward: Int = 0,
    moreBackward: Int = 0
  ) -> HookArithmetic {
    let (a, b) = (rank * layer.inputSize, rank * layer.outputSize)
    let input = isInputGradientNeeded ? a : 0
    // Dropped out again, the input's gradient is no term.
    return HookArithmetic(
      forward: a + moreForward,
      backward: 2 * b + a + (dropout.isUsed ? input : 0) + moreBackward, outputTerm: b,
      inputTerm: dropout.isUsed ? 0 : input)
  }

  /// The branch's gradient du, [tokens, R], at the front of the scratch.
  func gradient(_ pass: LinearPass) -> MatrixView { pass.scratchPart(columns: rank) }

  /// `dA += duᵀ x̃`.
  func addGradient(of a: TrainedMatrix, input x: MatrixView, _ pass: LinearPass) {
    Product.multiply(
      gradient(pass), transposed: true, by: dropout.dropped(x, pass), into: a.gradient,
      adding: true, on: pass.compute)
  }

  /// `du A`, where nothing is dropped.
  func inputTerm(_ pass: LinearPass) -> LowRankTerm? {
    dropout.isDropping(pass) ? nil : LowRankTerm(gradient(pass), by: a)
  }

  /// `dx += dropout'(du A)`, where something is.
  func backwardInput(addingTo dx: MatrixView, _ pass: LinearPass) {
    guard dropout.isDropping(pass) else { return }
    Product.multiply(gradient(pass), by: a, into: dropout.scratch(pass), on: pass.compute)
    dropout.backward(addingTo: dx, pass)
  }
}
