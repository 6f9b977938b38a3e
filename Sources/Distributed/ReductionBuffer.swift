import CMPI

/// The one owner of a stretch of integers that are summed over ranks, zero at first.
///
/// It is a class, not a noncopyable struct as the float buffers are, since a reduction in flight
/// shares it: MPI must never write to memory that its owner has freed.
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

  /// Starts to sum a range of integers over all ranks; `wait()` ends it.
  ///
  /// Until then nobody reads or writes the range. All ranks start their reductions in the same
  /// order. The corresponding C function is `MPI_Iallreduce` (MPI 3.1, §5.12.6).
  /// - Throws: where the range passes the buffer's end or one message's count, besides the failures
  ///   of MPI.
  public func startSum(
    _ buffer: ReductionBuffer, _ range: Range<Int>
  ) throws(MPIError) -> PendingReduction {
    try checkRange("startSum", buffer, range)
    try checkCount("startSum", range.count)
    var request: MPI_Request?
    if let world = world() {
      try MPICall.check("MPI_Iallreduce") {
        unsafe MPI_Iallreduce(
          cmpi_in_place(), buffer.base + range.lowerBound, CInt(range.count), cmpi_int64(),
          cmpi_sum(), world.handle, &request)
      }
      reducedBytes += range.count * MemoryLayout<Int64>.stride
    }
    return unsafe PendingReduction(request: request, buffer: buffer, communicator: self)
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

/// A reduction in flight.
///
/// It keeps its buffer alive, and whoever drops it waits for it.
@safe
public struct PendingReduction: ~Copyable {
  private var request: MPI_Request?
  private let buffer: ReductionBuffer
  private let communicator: Communicator

  init(request: MPI_Request?, buffer: ReductionBuffer, communicator: Communicator) {
    unsafe self.request = request
    self.buffer = buffer
    self.communicator = communicator
  }

  /// Returns once the sums are in the buffer.
  ///
  /// The corresponding C function is `MPI_Wait` (MPI 3.1, §3.7.3).
  public consuming func wait() throws(MPIError) { try complete() }

  private mutating func complete() throws(MPIError) {
    guard unsafe request != nil else { return }
    // Taken first: a request that failed is not waited for again by deinit.
    var pending = unsafe request
    unsafe request = nil
    try MPICall.check("MPI_Wait") { unsafe cmpi_wait(&pending) }
  }

  deinit {
    // Nobody is left to hear of a failure here; the next collective meets it again.
    guard unsafe request != nil else { return }
    var pending = unsafe request
    _ = unsafe cmpi_wait(&pending)
  }
}
