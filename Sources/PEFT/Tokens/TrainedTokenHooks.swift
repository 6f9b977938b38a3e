import Kernels
import Model
import Tensors

/// Some rows of the token table that train: `x[t] = d[place(tokens[t])]` where the token has a place.
///
/// Backwards `dd[place(tokens[t])] += dx[t]`.
final class TrainedTokenRows: TableHook {
  private let rows: TrainedMatrix  // d [n, hidden]
  private let places: IndexBuffer  // [vocabulary]

  /// - Parameter ids: the token of each row.
  init(_ rows: TrainedMatrix, ids: [Int], vocabularySize: Int) {
    self.rows = rows
    places = IndexBuffer(Array(repeating: -1, count: vocabularySize))
    for (place, id) in ids.enumerated() { places.all[id] = place }
  }

  var scratchColumns: Int { 0 }
  var arithmetic: HookArithmetic { HookArithmetic() }

  func forward(_ x: MatrixView, tokens: IndexView, _ pass: TablePass) {
    TokenRows.forward(
      tokens, places: places.all, rows: rows.values, into: x, on: pass.compute)
  }

  func backward(_ dx: MatrixView, tokens: IndexView, _ pass: TablePass) {
    TokenRows.backward(
      dx, tokens: tokens, places: places.all, addingTo: rows.gradient, on: pass.compute)
  }
}

/// Some rows of the head that train: the logits of their tokens are `g = x dᵀ`, in place of the frozen
/// head's.
///
/// Backwards, with `dg` the gradient of these logits, `dd += dgᵀ x` and `dx += dg d`; the frozen head
/// sees none of it.
final class TrainedTokenLogits: LinearHook {
  private let rows: TrainedMatrix  // d [n, hidden]
  private let ids: IndexBuffer  // [n]

  /// - Parameter ids: the token of each row.
  init(_ rows: TrainedMatrix, ids: [Int]) {
    self.rows = rows
    self.ids = IndexBuffer(ids)
  }

  var savedColumns: Int { 0 }
  var scratchColumns: Int { ids.count }
  var readsInput: Bool { true }

  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic {
    let product = rows.values.count
    return HookArithmetic(
      forward: product, backward: product, inputTerm: isInputGradientNeeded ? product : 0)
  }

  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass) {
    let logits = pass.scratchPart(columns: ids.count)
    Product.multiply(x, by: rows.values, transposed: true, into: logits, on: pass.compute)
    Elementwise.scatterColumns(logits, columns: ids.all, into: y, on: pass.compute)
  }

  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass) {
    let dLogits = pass.scratchPart(columns: ids.count)
    Elementwise.gatherColumns(
      dy, columns: ids.all, into: dLogits, clearing: true, on: pass.compute)
    Product.multiply(
      dLogits, transposed: true, by: x, into: rows.gradient, adding: true, on: pass.compute)
  }

  func inputTerm(_ pass: LinearPass) -> LowRankTerm? {
    LowRankTerm(pass.scratchPart(columns: ids.count), by: rows.values)
  }
}
