import Kernels
import Model
import Tensors

/// MiSS at one projection.
///
///     s = Σ_j x̃_j                [tokens, r], kept; x̃_j shard j of dropout(x)
///     y = base(x) + s M           M [r, out], or [m m … m] with m [r, mini_r]
///
/// and backwards, with `dy` the gradient of `y`,
///
///     dM += sᵀ dy     ds = dy Mᵀ     dx̃_j += ds
///
/// for `mini` with the sum of dy over the repeats in place of dy, and m in place of M.
final class MiSSLinear: LinearHook {
  private let matrix: TrainedMatrix  // [r, out], or [r, mini_r]
  private let dropout: BranchDropout
  private let r: Int
  private let width: Int
  private let isRepeated: Bool

  init(_ matrix: TrainedMatrix, layer: LinearLayer, dropout: Double) {
    self.matrix = matrix
    r = matrix.values.rows
    width = matrix.values.columns
    isRepeated = width != layer.outputSize
    // In front of it, ds [tokens, r] and for `mini` the repeats' sum [tokens, mini_r].
    self.dropout = BranchDropout(
      dropout, columns: layer.inputSize, after: r + (isRepeated ? width : 0))
  }

  var savedColumns: Int { r }
  var scratchColumns: Int { r + (isRepeated ? width : 0) + dropout.scratchColumns }
  var readsInput: Bool { false }
  var changesOutputGradient: Bool { false }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    let product = r * width
    return HookArithmetic(
      forward: isRepeated ? product : 0,
      backward: product + (isInputGradientNeeded ? product : 0),
      outputTerm: isRepeated ? 0 : product)
  }

  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? {
    sumShards(of: dropout.dropped(x, pass), into: pass.saved, on: pass.compute)
    return isRepeated ? nil : LowRankTerm(pass.saved, by: matrix.values)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    guard isRepeated else { return }
    let part = repeatedPart(pass)
    Product.multiply(pass.saved, by: matrix.values, into: part, on: pass.compute)
    for start in stride(from: 0, to: y.columns, by: width) {
      Elementwise.add(part, addingTo: y.columns(start..<(start + width)), on: pass.compute)
    }
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    var dPart = dy
    if isRepeated {
      dPart = repeatedPart(pass)
      dPart.copy(from: dy.columns(0..<width))
      for start in stride(from: width, to: dy.columns, by: width) {
        Elementwise.add(dy.columns(start..<(start + width)), addingTo: dPart, on: pass.compute)
      }
    }
    Product.multiply(
      pass.saved, transposed: true, by: dPart, into: matrix.gradient, adding: true,
      on: pass.compute)
  }

  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {
    guard let dx else { return }
    let ds = pass.scratchPart(columns: r)
    Product.multiply(
      isRepeated ? repeatedPart(pass) : dy, by: matrix.values, transposed: true, into: ds,
      on: pass.compute)
    guard dropout.isDropping(pass) else {
      return addShards(ds, to: dx, on: pass.compute)
    }
    dropout.scratch(pass).fill(0)
    addShards(ds, to: dropout.scratch(pass), on: pass.compute)
    dropout.backward(addingTo: dx, pass)
  }

  /// s of x̃, [tokens, in]; the last shard may be narrower.
  private func sumShards(of x: MatrixView, into s: MatrixView, on compute: Compute) {
    s.copy(from: x.columns(0..<r))
    for start in stride(from: r, to: x.columns, by: r) {
      let end = min(start + r, x.columns)
      Elementwise.add(
        x.columns(start..<end), addingTo: s.columns(0..<(end - start)), on: compute)
    }
  }

  private func addShards(_ ds: MatrixView, to dx: MatrixView, on compute: Compute) {
    for start in stride(from: 0, to: dx.columns, by: r) {
      let end = min(start + r, dx.columns)
      Elementwise.add(
        ds.columns(0..<(end - start)), addingTo: dx.columns(start..<end), on: compute)
    }
  }

  /// s m, or the gradient's sum over the repeats, [tokens, mini_r].
  private func repeatedPart(_ pass: LinearPass) -> MatrixView {
    pass.scratchPart(after: r, columns: width)
  }
}
