import Kernels
import Model
import Tensors

/// Dropout in front of a branch: `x̃ = dropout(x)`.
///
/// The dropped input is not kept: its mask is a function of the place and is drawn again. Where
/// nothing drops, x̃ is x itself and no memory is used.
struct BranchDropout {
  private let probability: Float
  private let columns: Int
  private let offset: Int

  /// - Parameters:
  ///   - columns: features of the input.
  ///   - offset: scratch columns that the branch uses in front of this one's.
  init(_ probability: Double, columns: Int, after offset: Int) {
    self.probability = Float(probability)
    self.columns = columns
    self.offset = offset
  }

  /// Whether some passes drop.
  var isUsed: Bool { probability > 0 }
  /// Floats a token of scratch.
  var scratchColumns: Int { isUsed ? columns : 0 }
  /// Whether this pass drops.
  func isDropping(_ pass: LinearPass) -> Bool { isUsed && pass.isTraining }
  /// Memory of the input's size, [tokens, columns].
  func scratch(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: offset, columns: columns)
  }

  /// x̃, [tokens, columns].
  func dropped(_ x: MatrixView, _ pass: LinearPass) -> MatrixView {
    guard isDropping(pass) else { return x }
    drop(x, into: scratch(pass), pass)
    return scratch(pass)
  }

  /// Adds to `dx` the gradient of x that follows from that of x̃, which lies in `scratch`.
  func backward(addingTo dx: MatrixView, _ pass: LinearPass) {
    drop(scratch(pass), into: scratch(pass), pass)
    Elementwise.add(scratch(pass), addingTo: dx, on: pass.compute)
  }

  private func drop(_ x: MatrixView, into y: MatrixView, _ pass: LinearPass) {
    Elementwise.dropout(
      x, into: y, probability: probability, random: pass.random, on: pass.compute)
  }
}
