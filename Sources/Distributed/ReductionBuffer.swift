/// The one owner of a stretch of integers that are summed over ranks, zero at first.
///
/// It is a class, not a noncopyable struct as the float buffers are, since what sums it keeps it as a
/// property and hands it on.
@safe
public final class ReductionBuffer {
  /// Number of integers.
  public let count: Int
  let base: UnsafeMutablePointer<Int64>

  /// Allocates `count` integers, all zero.
  public init(count: Int) {
    precondition(count >= 0, "a buffer of \(count) integers")
    self.count = count
    unsafe base = .allocate(capacity: max(count, 1))
    unsafe base.initialize(repeating: 0, count: max(count, 1))
  }

  deinit { unsafe base.deallocate() }

  /// One integer.
  public subscript(index: Int) -> Int64 {
    get {
      precondition(index >= 0 && index < count, "integer \(index) of \(count)")
      return unsafe base[index]
    }
    set {
      precondition(index >= 0 && index < count, "integer \(index) of \(count)")
      unsafe base[index] = newValue
    }
  }
}

extension Communicator {
  /// Sums a range of integers over all ranks, in place and without allocating.
  ///
  /// - Throws: where the range passes the buffer's end, besides the failures of MPI.
  public func sum(_ buffer: ReductionBuffer, _ range: Range<Int>) throws(MPIError) {
    try checkRange("sum", buffer, range)
    try unsafe allReduce(
      nil, into: buffer.base + range.lowerBound, count: range.count, .sum)
  }

  private func checkRange(
    _ operation: String, _ buffer: ReductionBuffer, _ range: Range<Int>
  ) throws(MPIError) {
    precondition(range.lowerBound >= 0, "\(operation) of \(range)")
    if range.upperBound > buffer.count {
      throw .bufferTooSmall(operation: operation, needed: range.upperBound, found: buffer.count)
    }
  }
}
