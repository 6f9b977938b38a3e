import CMPI
import Tensors

// Collectives on arrays, for set-up and for small messages. What a step moves lies in a
// `ReductionBuffer`, which is reduced without a copy.
extension Communicator {
  /// Returns once every rank has come here.
  ///
  /// The corresponding C function is `MPI_Barrier` (MPI 3.1, §5.3).
  public func barrier() throws(MPIError) {
    guard let world = world() else { return }
    try MPICall.check("MPI_Barrier") { cmpi_barrier(world) }
  }

  /// Replaces every rank's `values` by those of `root`; all ranks give equally many.
  ///
  /// The corresponding C function is `MPI_Bcast` (MPI 3.1, §5.4).
  public func broadcast<E: MessageElement>(_ values: inout [E], from root: Int) throws(MPIError) {
    let count = values.count
    try unsafe values.withUnsafeMutableBufferPointer { buffer throws(MPIError) in
      try unsafe broadcast(buffer.baseAddress, count: count, from: root)
    }
  }

  /// Replaces every rank's floats by those of `root`, where they lie.
  ///
  /// - Parameter view: of the same shape on all ranks, without gaps between its rows.
  /// - Parameter root: the rank whose floats all get.
  public func broadcast(_ view: MatrixView, from root: Int) throws(MPIError) {
    precondition(view.isContiguous, "a broadcast of a matrix with gaps")
    try unsafe broadcast(view.base, count: view.count, from: root)
  }

  /// The value that `root` gives.
  public func broadcast<E: MessageElement>(_ value: E, from root: Int) throws(MPIError) -> E {
    var value = value
    try unsafe broadcast(&value, count: 1, from: root)
    return value
  }

  /// The bytes that `root` gives, as many as they are; what the others give is ignored.
  public func broadcast(bytes: [UInt8], from root: Int) throws(MPIError) -> [UInt8] {
    let count = try broadcast(Int64(bytes.count), from: root)
    var message = rank == root ? bytes : [UInt8](repeating: 0, count: Int(count))
    try broadcast(&message, from: root)
    return message
  }

  /// The text that `root` gives.
  public func broadcast(_ text: String, from root: Int) throws(MPIError) -> String {
    String(decoding: try broadcast(bytes: Array(text.utf8), from: root), as: UTF8.self)
  }

  /// Reduces each element over all ranks, in place; all ranks give equally many.
  ///
  /// The corresponding C function is `MPI_Allreduce` (MPI 3.1, §5.9.6).
  public func allReduce<E: MessageElement>(
    _ values: inout [E], _ operation: ReductionOperation
  ) throws(MPIError) {
    let count = values.count
    try unsafe values.withUnsafeMutableBufferPointer { buffer throws(MPIError) in
      try unsafe allReduce(nil, into: buffer.baseAddress, count: count, operation)
    }
  }

  /// Reduces each element over all ranks into the front of `result`, and leaves `values` alone.
  ///
  /// - Throws: where `result` is shorter than `values`, besides the failures of MPI.
  public func allReduce<E: MessageElement>(
    _ values: [E], _ operation: ReductionOperation, into result: inout [E]
  ) throws(MPIError) {
    let (count, found) = (values.count, result.count)
    guard found >= count else {
      throw .bufferTooSmall(operation: "allReduce", needed: count, found: found)
    }
    try unsafe values.withUnsafeBufferPointer { source throws(MPIError) in
      try unsafe result.withUnsafeMutableBufferPointer { target throws(MPIError) in
        try unsafe allReduce(
          source.baseAddress, into: target.baseAddress, count: count, operation)
      }
    }
  }

  /// One number, reduced over all ranks.
  public func allReduce<E: MessageElement>(
    _ value: E, _ operation: ReductionOperation
  ) throws(MPIError) -> E {
    var value = value
    try unsafe allReduce(nil, into: &value, count: 1, operation)
    return value
  }

  /// Puts every rank's `values` into the front of `result`, by rank; all ranks give equally many.
  ///
  /// The corresponding C function is `MPI_Allgather` (MPI 3.1, §5.7).
  /// - Throws: where `result` is too short for all of them, besides the failures of MPI.
  public func allGather<E: MessageElement>(
    _ values: [E], into result: inout [E]
  ) throws(MPIError) {
    let count = values.count
    let (needed, found) = (count * worldSize, result.count)
    guard found >= needed else {
      throw .bufferTooSmall(operation: "allGather", needed: needed, found: found)
    }
    guard let world = world() else {
      result.replaceSubrange(0..<count, with: values)
      return
    }
    try checkCount("allGather", needed)
    let type = E.messageType
    try unsafe values.withUnsafeBufferPointer { source throws(MPIError) in
      try unsafe result.withUnsafeMutableBufferPointer { target throws(MPIError) in
        try MPICall.check("MPI_Allgather") {
          unsafe cmpi_allgather(
            source.baseAddress, target.baseAddress, CInt(count), type.handle, world)
        }
      }
    }
  }

  /// The values that each rank gives, by rank, on `root`; elsewhere nothing.
  ///
  /// They may be differently many. The corresponding C function is `MPI_Gatherv` (MPI 3.1, §5.5).
  public func gather(_ values: [Int64], to root: Int) throws(MPIError) -> [[Int64]] {
    guard root >= 0 && root < worldSize else {
      throw .noSuchRank(operation: "gather", rank: root, worldSize: worldSize)
    }
    guard let world = world() else { return [values] }
    var counts = [Int64](repeating: 0, count: worldSize)
    try allGather([Int64(values.count)], into: &counts)
    let total = Int(counts.reduce(0, +))
    try checkCount("gather", total)
    let lengths = counts.map { CInt($0) }
    var starts = [CInt](repeating: 0, count: worldSize)
    for other in 1..<worldSize { starts[other] = starts[other - 1] + lengths[other - 1] }
    var all = [Int64](repeating: 0, count: rank == root ? total : 0)
    try unsafe all.withUnsafeMutableBufferPointer { target throws(MPIError) in
      try MPICall.check("MPI_Gatherv") {
        unsafe cmpi_gatherv(
          values, CInt(values.count), target.baseAddress, lengths, starts, cmpi_int64,
          CInt(root), world)
      }
    }
    guard rank == root else { return [] }
    return (0..<worldSize).map { Array(all[Int(starts[$0])..<Int(starts[$0] + lengths[$0])]) }
  }

  /// The bytes that each rank gives, by rank.
  ///
  /// For short messages, since every rank gets all of them. The corresponding C function is `MPI_Allgatherv` (MPI 3.1, §5.7).
  public func allGather(bytes: [UInt8]) throws(MPIError) -> [[UInt8]] {
    guard let world = world() else { return [bytes] }
    var counts = [Int64](repeating: 0, count: worldSize)
    try allGather([Int64(bytes.count)], into: &counts)
    let total = Int(counts.reduce(0, +))
    // Positions are counted in CInt too, so the sum is what must fit.
    try checkCount("allGather", total)
    let lengths = counts.map { CInt($0) }
    var starts = [CInt](repeating: 0, count: worldSize)
    for other in 1..<worldSize { starts[other] = starts[other - 1] + lengths[other - 1] }
    var all = [UInt8](repeating: 0, count: total)
    try unsafe all.withUnsafeMutableBufferPointer { target throws(MPIError) in
      try MPICall.check("MPI_Allgatherv") {
        unsafe cmpi_allgatherv(
          bytes, CInt(bytes.count), target.baseAddress, lengths, starts, cmpi_uint8, world)
      }
    }
    return (0..<worldSize).map { Array(all[Int(starts[$0])..<Int(starts[$0] + lengths[$0])]) }
  }

  /// The text that each rank gives, by rank.
  public func allGather(_ text: String) throws(MPIError) -> [String] {
    try allGather(bytes: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension Communicator {
  /// The handle, or nil in a world of one, where there is nothing to send even if MPI runs.
  func world() -> cmpi_comm? {
    if worldSize == 1 { return nil }
    guard let handle else {
      preconditionFailure("a collective after finalize()")
    }
    return handle
  }

  func checkCount(_ operation: String, _ count: Int) throws(MPIError) {
    if count > largestCount {
      throw .countTooLarge(operation: operation, count: count, limit: largestCount)
    }
  }

  /// Broadcasts `count` elements at `base`, in as many messages as their number asks for.
  func broadcast<E: MessageElement>(
    _ base: UnsafeMutablePointer<E>?, count: Int, from root: Int
  ) throws(MPIError) {
    guard root >= 0 && root < worldSize else {
      throw .noSuchRank(operation: "broadcast", rank: root, worldSize: worldSize)
    }
    guard let world = world(), let base = unsafe base else { return }
    var start = 0
    while start < count {
      let length = min(largestCount, count - start)
      try MPICall.check("MPI_Bcast") {
        unsafe cmpi_bcast(
          base + start, CInt(length), E.messageType.handle, CInt(root), world)
      }
      start += length
    }
  }

  /// Reduces `count` elements from `source` (nil: in place) into `target`, in as many messages as
  /// their number asks for.
  func allReduce<E: MessageElement>(
    _ source: UnsafePointer<E>?, into target: UnsafeMutablePointer<E>?, count: Int,
    _ operation: ReductionOperation
  ) throws(MPIError) {
    guard let target = unsafe target else { return }
    guard let world = world() else {
      if let source = unsafe source { unsafe target.update(from: source, count: count) }
      return
    }
    let type = E.messageType
    var start = 0
    while start < count {
      let length = min(largestCount, count - start)
      try MPICall.check("MPI_Allreduce") {
        unsafe cmpi_allreduce(
          source.map { unsafe $0 + start }, target + start, CInt(length), type.handle,
          operation.handle, world)
      }
      start += length
    }
    reducedBytes += count * MemoryLayout<E>.stride
  }
}
