import CKernels
import Tensors

/// The product of activations with a stored weight, in either direction: what `Linear` and the head
/// are made of.
///
/// `C (+)= A·op(S)`, where `S` is the weight as it lies in memory, in its stored type and at any
/// byte address. The result is cut into blocks of rows and columns. Of each block a worker widens
/// the tiles of `S` it needs into its scratch memory and multiplies them right there, so that a
/// weight never exists in f32 as a whole.
struct FrozenProduct {
  /// The weight's storage, as a row-major matrix.
  let storage: UnsafeRawPointer
  let elementType: ElementType
  /// Elements from one stored row's start to the next's.
  let storedStride: Int
  /// Whether `S` is used transposed.
  let transposed: Bool
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
    storage = weight.storage
    elementType = weight.elementType
    storedStride = weight.storedColumns
    self.transposed = transposed
    inner = transposed ? weight.storedColumns : weight.storedRows
    outer = transposed ? weight.storedRows : weight.storedColumns
    self.arithmetic = arithmetic
  }

  /// Up to this many rows the weight is read directly, since its way from memory is what counts.
  static let fewRows = 8

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
    var rest = term
    if let packed = compute.product.packed, isPacked(rows: a.rows, on: compute) {
      let fits = (term?.rank ?? 0) <= PackedProduct.highestRank
      multiply(
        packed, a, bias: bias, into: c, adding: adding, term: fits ? term : nil, on: compute)
      if fits { rest = nil }
    } else {
      multiplyUnpacked(a, bias: bias, into: c, adding: adding, on: compute)
    }
    rest?.add(to: c, on: compute)
  }

  /// Whether so many rows are multiplied by packed panels.
  private func isPacked(rows: Int, on compute: Compute) -> Bool {
    rows > FrozenProduct.fewRows && inner > 0
      && (arithmetic == .float32 || compute.packsBFloat16)
  }

  /// `C (+)= A·op(S) + bias` by other means.
  private func multiplyUnpacked(
    _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool, on compute: Compute
  ) {
    if a.rows <= FrozenProduct.fewRows {
      multiplyFewRows(a, bias: bias, into: c, adding: adding, on: compute)
      return
    }
    if arithmetic == .bfloat16, inner > 0, let engine = compute.bfloat16Engine {
      engine.multiply(self, a, bias: bias, into: c, adding: adding, on: compute)
      return
    }
    let shape = BlockShape(rows: a.rows, columns: outer)
    compute.forEachBlock(shape.rowBlocks * shape.columnBlocks) { block, worker in
      // Neighbouring blocks share the tile of the weight, which is then in the shared cache.
      let rows = blockRange(block % shape.rowBlocks, shape.rowStep, a.rows)
      let columns = blockRange(block / shape.rowBlocks, shape.columnStep, outer)
      multiplyBlock(
        a.rows(rows), columns: columns, bias: bias, into: c.rows(rows).columns(columns),
        adding: adding, scratch: compute.scratch(worker: worker).base, compute)
    }
  }

  /// The same by packed panels of the weight as it is stored.
  private func multiply(
    _ packed: PackedProduct, _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool,
    term: LowRankTerm?, on compute: Compute
  ) {
    let weight = PackedProduct.Stored(
      storage, elementType, stride: storedStride, transposed: transposed)
    let input = compute.roundedInput
    if arithmetic == .bfloat16 { input.take(a, on: compute) }
    let blocks = PackedProduct.Blocks(
      rows: a.rows, columns: outer, depth: inner, isTransposed: transposed,
      threads: compute.threadCount)
    compute.forEachBlock(blocks.count) { block, worker in
      let (rows, columns) = blocks[block]
      let target = c.rows(rows).columns(columns)
      if let bias {
        compute.kernels.pointee.linear.fill_rows(
          target.base, Int64(target.rowStride), bias.base + columns.lowerBound,
          Int64(target.rows), Int64(target.columns), adding ? 1 : 0)
      }
      let adds = adding || bias != nil
      let scratch = UnsafeMutableRawPointer(compute.scratch(worker: worker).base)
      if arithmetic == .bfloat16 {
        packed.multiplyBFloat16(
          input.row(rows.lowerBound), aStride: input.stride, by: weight.columns(columns),
          depth: inner, into: target, adding: adds, term: term?.part(rows: rows, columns: columns),
          scratch: scratch)
      } else {
        packed.multiply(
          .init(base: a.base + rows.lowerBound * a.rowStride, stride: a.rowStride),
          by: weight.columns(columns), depth: inner, into: target, adding: adds,
          term: term?.part(rows: rows, columns: columns), scratch: scratch)
      }
    }
  }

  /// One block of the result, on the calling thread alone.
  ///
  /// - Parameters:
  ///   - a: [at most `BlockShape.maxRows`, inner].
  ///   - columns: the block's columns, at most `BlockShape.maxColumns`.
  ///   - c: the block, [a.rows, columns.count].
  ///   - scratch: `Compute.scratchCount` floats.
  func multiplyBlock(
    _ a: MatrixView, columns: Range<Int>, bias: MatrixView?, into c: MatrixView, adding: Bool,
    scratch: UnsafeMutablePointer<Float>, _ compute: Compute
  ) {
    let linear = compute.kernels.pointee.linear
    if let bias {
      linear.fill_rows(
        c.base, Int64(c.rowStride), bias.base + columns.lowerBound, Int64(c.rows),
        Int64(c.columns), adding ? 1 : 0)
    }
    var accumulate = adding || bias != nil
    if inner == 0 && !accumulate { c.fill(0) }
    let direct = arithmetic == .float32 ? alignedFloats : nil
    let step = BlockShape.depthStep(inner)
    let roundedA = scratch + BlockShape.maxColumns * BlockShape.maxDepth
    let rest = UnsafeMutableRawPointer(roundedA + BlockShape.maxRows * BlockShape.maxDepth)
    for part in 0..<blockCount(inner, step) {
      let depth = blockRange(part, step, inner)
      if let direct {
        // In the same steps as a widened weight: the sums' order must not depend on the address.
        let first =
          transposed
          ? columns.lowerBound * storedStride + depth.lowerBound
          : depth.lowerBound * storedStride + columns.lowerBound
        gemm(
          a.columns(depth), direct + first, tileStride: storedStride, depth: depth.count, into: c,
          accumulate: accumulate, compute.product, scratch: rest)
        accumulate = true
        continue
      }
      let tileStride = transposed ? depth.count : columns.count
      expandTile(depth: depth, columns: columns, into: scratch, linear)
      var left = a.columns(depth)
      if arithmetic == .bfloat16 {
        let rounded = MatrixView(base: roundedA, rows: a.rows, columns: depth.count)
        for row in 0..<a.rows {
          linear.expand_rounded(
            rounded.base + row * depth.count, left.base + row * left.rowStride, ck_f32,
            Int64(depth.count))
        }
        left = rounded
      }
      gemm(
        left, scratch, tileStride: tileStride, depth: depth.count, into: c, accumulate: accumulate,
        compute.product, scratch: rest)
      accumulate = true
    }
  }

  /// The storage where it can be handed to BLAS as it is.
  private var alignedFloats: UnsafePointer<Float>? {
    guard elementType == .float32, Int(bitPattern: storage) % 4 == 0 else { return nil }
    return storage.assumingMemoryBound(to: Float.self)
  }

  private func gemm(
    _ a: MatrixView, _ tile: UnsafePointer<Float>, tileStride: Int, depth: Int, into c: MatrixView,
    accumulate: Bool, _ product: SingleProduct, scratch: UnsafeMutableRawPointer
  ) {
    product.multiply(
      .init(base: a.base, stride: a.rowStride),
      .init(base: tile, stride: tileStride, transposed: transposed), depth: depth, into: c,
      adding: accumulate, scratch: scratch)
  }

  /// Widens the part of `S` that carries `depth` to `columns`: [columns, depth] where it is used
  /// transposed, [depth, columns] where not.
  private func expandTile(
    depth: Range<Int>, columns: Range<Int>, into tile: UnsafeMutablePointer<Float>,
    _ linear: ck_linear_kernels
  ) {
    let rows = transposed ? columns : depth
    let width = transposed ? depth : columns
    let expand = arithmetic == .bfloat16 ? linear.expand_rounded : linear.expand
    for (index, row) in rows.enumerated() {
      let element = row * storedStride + width.lowerBound
      expand(
        tile + index * width.count, storage + element * elementType.byteCount, elementType.stored,
        Int64(width.count))
    }
  }

  private func multiplyFewRows(
    _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool, on compute: Compute
  ) {
    // About 128 KiB of a 16-bit weight a block: long enough to stream, short enough to share out.
    let step = transposed ? max(8, (64 * 1024 / max(inner, 1)) & ~7) : 256
    compute.forEachBlock(blockCount(outer, step)) { block, worker in
      let columns = blockRange(block, step, outer)
      let target = c.columns(columns)
      let linear = compute.kernels.pointee.linear
      if let bias {
        linear.fill_rows(
          target.base, Int64(target.rowStride), bias.base + columns.lowerBound,
          Int64(target.rows), Int64(target.columns), adding ? 1 : 0)
      } else if !adding {
        target.fill(0)
      }
      var left = a
      if arithmetic == .bfloat16 {
        let depth = min(inner, Compute.scratchCount / FrozenProduct.fewRows)
        precondition(depth == inner, "\(inner) features; at most \(depth) in bf16")
        left = MatrixView(
          base: compute.scratch(worker: worker).base, rows: a.rows, columns: inner)
        for row in 0..<a.rows {
          linear.expand_rounded(
            left.base + row * inner, a.base + row * a.rowStride, ck_f32, Int64(inner))
        }
      }
      let first = transposed ? columns.lowerBound * storedStride : columns.lowerBound
      let kernel = transposed ? linear.add_dots : linear.add_scaled_rows
      kernel(
        target.base, Int64(target.rowStride), left.base, Int64(left.rowStride), Int64(a.rows),
        storage + first * elementType.byteCount, elementType.stored, Int64(storedStride),
        Int64(inner), Int64(columns.count), arithmetic == .bfloat16 ? 1 : 0)
    }
  }
}

/// How a product is cut into blocks: a function of its shape alone.
struct BlockShape {
  /// OpenBLAS reaches nine tenths of its peak from about this size on (measured on Zen 3; larger
  /// blocks gain little and leave fewer to share out).
  static let maxRows = 256
  static let maxColumns = 192
  /// Twice the depth of OpenBLAS's own panels on AVX2 processors, so that its loop is not cut short.
  static let maxDepth = 640

  let rowStep: Int
  let columnStep: Int
  let rowBlocks: Int
  let columnBlocks: Int

  init(rows: Int, columns: Int) {
    var rowLimit = BlockShape.maxRows
    var columnLimit = BlockShape.maxColumns
    // Few blocks cannot be shared out evenly; smaller ones repeat more of the widening.
    while blockCount(rows, rowLimit) * blockCount(columns, columnLimit) < 6 {
      if rowLimit > 64 && rows > rowLimit / 2 {
        rowLimit /= 2
      } else if columnLimit > 48 && columns > columnLimit / 2 {
        columnLimit /= 2
      } else {
        break
      }
    }
    rowStep = evenStep(rows, rowLimit)
    columnStep = evenStep(columns, columnLimit)
    rowBlocks = blockCount(rows, rowStep)
    columnBlocks = blockCount(columns, columnStep)
  }

  /// How far a partial sum goes.
  static func depthStep(_ inner: Int) -> Int { evenStep(inner, maxDepth) }
}

/// Steps of about the same size that cover `count`, none above `limit` but for rounding up to a
/// multiple of 16.
func evenStep(_ count: Int, _ limit: Int) -> Int {
  let steps = max(1, blockCount(count, limit))
  return (blockCount(count, steps) + 15) & ~15
}

extension ElementType {
  /// The kernels' name for it.
  var stored: ck_type {
    switch self {
    case .float32: ck_f32
    case .float16: ck_f16
    case .bfloat16: ck_bf16
    }
  }
}
