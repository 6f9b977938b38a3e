import COpenBLAS
import Kernels
import Tensors

/// The sizes of a product `C = A·op(B)`: A [rows, depth], C [rows, columns].
struct ProductShape: Hashable, Sendable {
  let rows: Int
  let depth: Int
  let columns: Int
  /// Whether B is stored [columns, depth], as a weight is that maps `depth` to `columns`.
  let bTransposed: Bool

  /// Floating-point operations.
  var operations: Double { 2 * Double(rows) * Double(depth) * Double(columns) }
}

/// What OpenBLAS makes of an f32 product when nothing hinders it: a baseline that is not ours.
///
/// Each thread multiplies matrices of its own, with the library's own single-threaded call, operands
/// end to end: no widening, no sharing out, nobody to wait for. Only B, the frozen weight, is the same
/// for all threads, as it is in training.
final class PlainProduct {
  let shape: ProductShape
  private let weight: OwnedMatrix
  private let inputs: [OwnedMatrix]
  private let results: [OwnedMatrix]

  /// Fills operands for `threads` products at a time.
  init(_ shape: ProductShape, threads: Int) {
    self.shape = shape
    openblas_set_num_threads(1)
    weight = OwnedMatrix(
      shape.bTransposed ? shape.columns : shape.depth,
      shape.bTransposed ? shape.depth : shape.columns, seed: 1)
    inputs = (0..<threads).map { OwnedMatrix(shape.rows, shape.depth, seed: UInt64($0 + 2)) }
    results = (0..<threads).map { _ in OwnedMatrix(rows: shape.rows, columns: shape.columns) }
  }

  /// Floating-point operations a second of all threads together, over at least `leastSeconds`.
  func operationsPerSecond(leastSeconds: Double, on compute: Compute) -> Double {
    let threads = inputs.count
    // Enough of them in a row that waking threads does not show: some 5 milliseconds.
    let once = Stopwatch.seconds { run(0) }
    let inRow = max(1, Int((0.005 / max(once, 1e-9)).rounded(.up)))
    let seconds = Stopwatch.secondsPerCall(leastSeconds: leastSeconds) {
      compute.forEachBlock(threads) { block, _ in
        for _ in 0..<inRow { self.run(block) }
      }
    }
    return Double(threads * inRow) * shape.operations / seconds
  }

  /// One product on the calling thread.
  func run(_ block: Int) {
    let (a, b, c) = (inputs[block].view, weight.view, results[block].view)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, shape.bTransposed ? CblasTrans : CblasNoTrans,
      CInt(shape.rows), CInt(shape.columns), CInt(shape.depth), 1, a.base, CInt(a.rowStride),
      b.base, CInt(b.rowStride), 0, c.base, CInt(c.rowStride))
  }

  /// What the last product of a block came to.
  func result(_ block: Int) -> MatrixView { results[block].view }

  /// An operand's values, for checking.
  func operands(_ block: Int) -> (a: [Double], b: [Double]) {
    (inputs[block].doubles, weight.doubles)
  }
}
