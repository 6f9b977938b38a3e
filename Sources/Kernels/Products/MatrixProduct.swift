import CKernels
import Tensors

/// A product of f32 matrices by packed panels, `C (+)= scale · op(A) op(B)`.
///
/// Of two operands that both lie along the depth, the narrow one is packed: the wide one would be
/// copied for little use, so that C is computed transposed. Such are the sums over tokens that
/// gradients of weights are. They are made of sums over `partDepth` tokens, added in order, which
/// threads may compute apart: each those of the tokens it has in its caches.
struct MatrixProduct {
  /// Tokens that are summed before they are added to C.
  private static let partDepth = 256

  private let packed: PackedProduct
  private let left: PackedProduct.Operand
  private let right: PackedProduct.Stored
  private let depth: Int
  private let swaps: Bool
  private let sumsTokens: Bool

  /// - Parameters:
  ///   - a: [c.rows, depth] once transposed or not.
  ///   - b: [depth, c.columns] once transposed or not.
  init(
    _ packed: PackedProduct, _ a: PackedProduct.Operand, _ b: PackedProduct.Operand, depth: Int,
    shape c: MatrixView
  ) {
    self.packed = packed
    self.depth = depth
    sumsTokens = a.transposed && !b.transposed
    swaps = sumsTokens && c.rows <= 64 && c.rows < c.columns
    let (first, second) = swaps ? (b, a) : (a, b)
    left = PackedProduct.Operand(
      base: first.base, stride: first.stride, transposed: a.transposed)
    right = PackedProduct.Stored(
      second.base, stride: second.stride, transposed: b.transposed)
  }

  func multiply(into c: MatrixView, scale: Float, adding: Bool, on compute: Compute) {
    let parts = sumsTokens ? blockCount(depth, Self.partDepth) : 1
    if parts > 1 && adding && addParts(parts, to: c, scale: scale, on: compute) { return }
    let blocks = ProductBlocks(
      rows: swaps ? c.columns : c.rows, columns: swaps ? c.rows : c.columns, depth: depth,
      isTransposed: right.transposed, panelColumns: packed.blockColumns,
      threads: compute.threadCount)
    compute.forEachBlock(blocks.count) { block, worker in
      let (rows, columns) = blocks[block]
      for part in 0..<parts {
        multiply(
          parts == 1 ? 0..<depth : blockRange(part, Self.partDepth, depth), rows, columns,
          into: c, scale: scale, adding: adding || part > 0, worker: worker, compute)
      }
    }
  }

  /// Computes the parts side by side and then adds them to C; the same to the bit.
  ///
  /// Parts wait in the workers' scratch memories, behind what a product needs.
  ///
  /// - Returns: false, with nothing done, where there are too few parts to share out or no room.
  private func addParts(
    _ parts: Int, to c: MatrixView, scale: Float, on compute: Compute
  ) -> Bool {
    let threads = compute.threadCount
    let start = (PackedProduct.scratchBytes / 4 + 15) & ~15
    let size = (c.count + 15) & ~15
    let perWorker = blockCount(parts, threads)
    guard threads > 1, parts >= threads, start + perWorker * size <= Compute.scratchCount
    else { return false }
    func part(_ index: Int) -> MatrixView {
      let memory = compute.scratch(worker: index / perWorker)
      let first = start + index % perWorker * size
      return memory.columns(first..<(first + c.count)).reshaped(rows: c.rows, columns: c.columns)
    }
    compute.forEachBlock(parts) { index, worker in
      multiply(
        blockRange(index, Self.partDepth, depth), 0..<(swaps ? c.columns : c.rows),
        0..<(swaps ? c.rows : c.columns), into: part(index), scale: 1, adding: false,
        worker: worker, compute)
    }
    compute.forEachRows(c.rows, columns: c.columns) { rows in
      for index in 0..<parts {
        compute.kernels.pointee.elementwise.add(
          part(index).from(rows.lowerBound), c.from(rows.lowerBound), scale, rows.count, c.columns)
      }
    }
    return true
  }

  /// One block of the product, over a part of the depth.
  private func multiply(
    _ part: Range<Int>, _ rows: Range<Int>, _ columns: Range<Int>, into c: MatrixView,
    scale: Float, adding: Bool, worker: Int, _ compute: Compute
  ) {
    let (rowStep, partStep) = left.transposed ? (1, left.stride) : (left.stride, 1)
    packed.multiply(
      .init(
        base: left.base + rows.lowerBound * rowStep + part.lowerBound * partStep,
        stride: left.stride, transposed: left.transposed),
      by: right.depth(from: part.lowerBound).columns(columns), depth: part.count, scale: scale,
      into: swaps ? c.rows(columns).columns(rows) : c.rows(rows).columns(columns),
      cTransposed: swaps, adding: adding,
      scratch: UnsafeMutableRawPointer(compute.scratch(worker: worker).base))
  }
}
