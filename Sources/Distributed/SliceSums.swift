import Tensors

/// The gradients of this rank's micro-batches of a step, kept until the grid is known: as the sums
/// of their slices.
///
/// 16 bytes a parameter, however many micro-batches there are. `GradientReducer` tells what slices
/// are.
@safe
final class SliceSums {
  private let count: Int
  private let base: UnsafeMutablePointer<Int32>  // four planes of `count` elements, zero at first

  /// Allocates the slices of `count` parameters, all zero.
  init(count: Int) {
    self.count = count
    unsafe base = ZeroedMemory.allocate(byteCount: Self.byteCount(count: count))
      .bindMemory(to: Int32.self, capacity: max(4 * count, 1))
  }

  deinit { unsafe ZeroedMemory.giveBack(base) }

  /// Bytes held.
  var byteCount: Int { Self.byteCount(count: count) }

  /// Bytes of the slices of `count` parameters.
  static func byteCount(count: Int) -> Int { 4 * count * MemoryLayout<Int32>.stride }

  /// Adds the slices of a tensor's gradients, where those of the exponents before lie `rise` places
  /// higher.
  func add(
    _ gradients: UnsafePointer<Float>, to range: Range<Int>, exponent: Int32, rise: Int
  ) {
    ReductionKernels.lower(planes(range), by: rise, count: range.count)
    unsafe ReductionKernels.accumulate(
      gradients, count: range.count, scale: GradientReducer.scale(exponent), into: planes(range))
  }

  /// Moves the slices `rise` places down, puts each element's together and sets them to zero.
  func take(_ range: Range<Int>, rise: Int, into sums: UnsafeMutablePointer<Int64>) {
    ReductionKernels.lower(planes(range), by: rise, count: range.count)
    unsafe ReductionKernels.combine(planes(range), count: range.count, into: sums)
  }

  /// Sets the slices to zero.
  func clear(_ range: Range<Int>) {
    // Four places down is out.
    ReductionKernels.lower(planes(range), by: 4, count: range.count)
  }

  private func planes(_ range: Range<Int>) -> ReductionKernels.Planes {
    unsafe ReductionKernels.Planes(base: base, offset: range.lowerBound, stride: count)
  }
}
