import Tensors

/// The gradients of this rank's micro-batches of a step, kept until the grid is known: as they are.
///
/// Four bytes a parameter for each micro-batch but the last, whose gradients stay in the arena.
/// For a handful of micro-batches that is less than their ``SliceSums`` take, and less work.
@safe
final class KeptGradients {
  /// More than so many micro-batches take no less memory than their slices.
  static let mostMicroBatches = 4

  private let microBatchLimit: Int
  private let floatCount: Int
  private let copies: FloatBuffer

  /// Makes room for the gradients of `microBatches` micro-batches, each of `floatCount` floats.
  init(microBatches: Int, floatCount: Int) {
    microBatchLimit = microBatches
    self.floatCount = floatCount
    copies = FloatBuffer(count: max(microBatches - 1, 0) * floatCount)
  }

  /// Bytes held.
  var byteCount: Int { copies.count * MemoryLayout<Float>.stride }

  /// Bytes that are held of so many micro-batches a step.
  static func byteCount(microBatches: Int, floatCount: Int) -> Int {
    max(microBatches - 1, 0) * floatCount * MemoryLayout<Float>.stride
  }

  /// Takes the gradients of a step's micro-batch `number`, from 1.
  func keep(_ gradients: MatrixView, number: Int) {
    precondition(
      number <= microBatchLimit,
      "micro-batch \(number) of a step; the reducer was made for \(microBatchLimit)")
    if number < microBatchLimit {
      copies.view(offset: (number - 1) * floatCount, rows: 1, columns: floatCount).copy(
        from: gradients)
    }
  }

  /// Writes the sums of rounded gradients.
  ///
  /// - Parameters:
  ///   - range: which floats of the arena.
  ///   - microBatches: how many were kept in this step.
  ///   - gradients: the arena's, where the last one's may still lie.
  ///   - exponent: the grid's `J`.
  func sum(
    _ range: Range<Int>, microBatches: Int, last gradients: MatrixView, exponent: Int32,
    into sums: UnsafeMutablePointer<Int64>
  ) {
    let scale = 1 / GradientReducer.unit(exponent)
    unsafe sums.update(repeating: 0, count: range.count)
    for number in 0..<microBatches {
      let values =
        unsafe number == microBatchLimit - 1 ? gradients.base : copies.base + number * floatCount
      unsafe ReductionKernels.add(
        values + range.lowerBound, count: range.count, scale: scale, to: sums)
    }
  }
}
