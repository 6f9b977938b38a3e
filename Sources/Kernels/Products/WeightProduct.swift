import CKernels
import Tensors

/// The product of activations with a stored weight, in either direction: what `Linear` and the head
/// are made of.
///
/// `C (+)= A·op(S)`, where `S` is the weight as it lies in memory, in its stored format and at any
/// byte address. The result is cut into blocks of rows and columns. Of each block a worker packs
/// the part of `S` it needs, widened, into its scratch memory and multiplies it right there, so
/// that a weight never exists in f32 as a whole. An element has the same bits for any number of
/// rows.
struct WeightProduct {
  /// The weight's storage, as a row-major matrix.
  let stored: PackedProduct.Stored
  /// Length of the sums.
  let inner: Int
  /// Columns of the result.
  let outer: Int
  let arithmetic: Arithmetic

  /// The product that carries a layer's input to its output.
  init(forward weight: WeightMatrix, arithmetic: Arithmetic) {
    self.init(weight, transposed: weight.layout == .outputMajor, arithmetic)
  }

  /// The product that carries an output's gradient to the input.
  init(backward weight: WeightMatrix, arithmetic: Arithmetic) {
    self.init(weight, transposed: weight.layout == .inputMajor, arithmetic)
  }

  private init(_ weight: WeightMatrix, transposed: Bool, _ arithmetic: Arithmetic) {
    stored = PackedProduct.Stored(weight.part(), transposed: transposed)
    inner = transposed ? weight.storedColumns : weight.storedRows
    outer = transposed ? weight.storedRows : weight.storedColumns
    self.arithmetic = arithmetic
  }

  /// Computes `C (+)= A·op(S) + bias + term`.
  ///
  /// - Parameters:
  ///   - a: [rows, inner].
  ///   - bias: [1, outer].
  ///   - c: [rows, outer].
  ///   - term: of the shape of `c`.
  func multiply(
    _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool, term: LowRankTerm? = nil,
    on compute: Compute
  ) {
    guard a.rows > 0 && outer > 0 else { return }
    term?.requireShape(rows: a.rows, columns: outer)
    let fits = (term?.rank ?? 0) <= PackedProduct.highestRank
    multiply(a, bias: bias, into: c, adding: adding, fusing: fits ? term : nil, on: compute)
    if !fits { term?.add(to: c, on: compute) }
  }

  private func multiply(
    _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool, fusing term: LowRankTerm?,
    on compute: Compute
  ) {
    let packed = compute.product
    let engine = compute.engine(arithmetic)
    let input = compute.roundedInput
    if engine != .float32 { input.take(a, on: compute) }
    let blocks = ProductBlocks(
      rows: a.rows, columns: outer, depth: inner, isTransposed: stored.transposed,
      decodes: stored.isDecoded, panelColumns: packed.blockColumns, threads: compute.threadCount)
    compute.forEachBlock(blocks.count) { block, worker in
      let (rows, columns) = blocks[block]
      let target = c.rows(rows).columns(columns)
      if let bias {
        compute.kernels.pointee.linear.fill_rows(
          target.base, Int64(target.rowStride), bias.base + columns.lowerBound,
          Int64(target.rows), Int64(target.columns), adding ? 1 : 0)
      }
      let adds = adding || bias != nil
      let part = term?.part(rows: rows, columns: columns)
      let scratch = UnsafeMutableRawPointer(compute.scratch(worker: worker).base)
      switch engine {
      case .float32:
        packed.multiply(
          .init(base: a.base + rows.lowerBound * a.rowStride, stride: a.rowStride),
          by: stored.columns(columns), depth: inner, into: target, adding: adds, term: part,
          scratch: scratch)
      case .roundedFloat32:
        packed.multiply(
          .init(base: input.floats(row: rows.lowerBound), stride: input.stride),
          by: stored.columns(columns), rounded: true, depth: inner, into: target, adding: adds,
          term: part, scratch: scratch)
      case .bfloat16:
        packed.multiplyBFloat16(
          input.row(rows.lowerBound), aStride: input.stride, by: stored.columns(columns),
          depth: inner, into: target, adding: adds, term: part, scratch: scratch)
      }
    }
  }
}
