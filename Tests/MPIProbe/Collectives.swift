import DataParallel

/// Each collective in place, out of place, and with a buffer that is too small.
enum Collectives {
  private static func isTooMany(_ error: MPIError) -> Bool {
    if case .countTooLarge = error { true } else { false }
  }

  private static func isShort(_ error: MPIError) -> Bool {
    if case .bufferTooSmall = error { true } else { false }
  }

  private static func isNoRank(_ error: MPIError) -> Bool {
    if case .noSuchRank = error { true } else { false }
  }

  static func check(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    // Whole messages, then cut into pieces of three elements.
    for largest in [Int(Int32.max), 3] {
      communicator.largestCount = largest
      try checkReductions(communicator, Int64.self)
      try checkReductions(communicator, Int32.self)
      try checkReductions(communicator, UInt64.self)
      try checkReductions(communicator, Double.self)
      try checkReductions(communicator, Float.self)
      try checkBroadcast(communicator)
      try communicator.barrier()
    }
    communicator.largestCount = Int(Int32.max)

    var gathered = [Int64](repeating: -1, count: 2 * size + 1)
    try communicator.allGather([Int64(rank), Int64(10 * rank)], into: &gathered)
    let pairs: [[Int64]] = (0..<size).map { [Int64($0), Int64(10 * $0)] }
    let expected = Array(pairs.joined()) + [-1]
    try expect(gathered, expected, "allGather of integers")
    var short = [Int64](repeating: 0, count: 2 * size - 1)
    try expectError("allGather into a short buffer", isShort) {
      try communicator.allGather([Int64(rank), 0], into: &short)
    }
    communicator.largestCount = 1
    try expectError("more bytes than one message counts", isTooMany) {
      if size == 1 { throw MPIError.countTooLarge(operation: "none", count: 1, limit: 1) }
      _ = try communicator.allGather(bytes: [1, 2])
    }
    communicator.largestCount = Int(Int32.max)

    // Texts of different lengths, an empty one among them.
    let texts = try communicator.allGather(String(repeating: "é", count: rank))
    try expect(texts, (0..<size).map { String(repeating: "é", count: $0) }, "allGather of texts")

    // The last rank gets rows of different lengths, the first one none of them.
    let rows = try communicator.gather(
      (0..<rank).map { Int64(100 * rank + $0) }, to: size - 1)
    try expect(
      rows,
      rank == size - 1 ? (0..<size).map { row in (0..<row).map { Int64(100 * row + $0) } } : [],
      "gather of integers")
    try expectError("gather to nobody", isNoRank) { _ = try communicator.gather([1], to: size) }
    if rank == 0 { print("collectives of \(size) ranks are right") }
  }

  private static func checkReductions<E: MessageElement & Numeric & Comparable>(
    _ communicator: Communicator, _ type: E.Type
  ) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    func of(_ number: Int) throws -> E {
      guard let value = E(exactly: number) else { throw ProbeError(what: "no \(number)") }
      return value
    }
    let values = try (0..<7).map { try of($0 + rank) }
    let sums = try (0..<7).map { try of($0 * size + size * (size - 1) / 2) }
    let largest = try (0..<7).map { try of($0 + size - 1) }
    let smallest = try (0..<7).map { try of($0) }
    for (operation, expected) in [
      (ReductionOperation.sum, sums), (.maximum, largest), (.minimum, smallest),
    ] {
      var inPlace = values
      try communicator.allReduce(&inPlace, operation)
      try expect(inPlace, expected, "\(operation) of \(type) in place")

      var result = [E](repeating: try of(99), count: 9)
      try communicator.allReduce(values, operation, into: &result)
      try expect(Array(result.prefix(7)), expected, "\(operation) of \(type) out of place")
      try expect(Array(result.suffix(2)), [try of(99), try of(99)], "behind the result")

      let one = try communicator.allReduce(values[3], operation)
      try expect(one, expected[3], "\(operation) of one \(type)")

      var short = [E](repeating: try of(0), count: 6)
      let error = MPIError.bufferTooSmall(operation: "allReduce", needed: 7, found: 6)
      try expectError("allReduce into a short buffer", { $0 == error }) {
        try communicator.allReduce(values, operation, into: &short)
      }
    }
    var nothing: [E] = []
    try communicator.allReduce(&nothing, .sum)
  }

  private static func checkBroadcast(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    for root in 0..<size {
      var values = (0..<8).map { Float($0) + Float(100 * rank) }
      try communicator.broadcast(&values, from: root)
      try expect(values, (0..<8).map { Float($0) + Float(100 * root) }, "broadcast from \(root)")
      try expect(try communicator.broadcast(Int64(rank), from: root), Int64(root), "one number")
      let text = try communicator.broadcast(String(repeating: "ü", count: rank), from: root)
      try expect(text, String(repeating: "ü", count: root), "text from \(root)")
    }
    try expectError("broadcast from a rank that is not there", isNoRank) {
      _ = try communicator.broadcast(Int64(0), from: size)
    }
  }

  /// Sums of ranges of a buffer, in place.
  static func checkSums(_ communicator: Communicator) throws {
    let (rank, size) = (communicator.rank, communicator.worldSize)
    // Whole messages, then cut into pieces of ten integers.
    for largest in [Int(Int32.max), 10] {
      communicator.largestCount = largest
      let buffer = ReductionBuffer(count: 100)
      for index in 0..<100 { buffer[index] = Int64(index * (rank + 1)) }
      try communicator.sum(buffer, 0..<40)
      try communicator.sum(buffer, 40..<100)
      let factor = size * (size + 1) / 2
      for index in 0..<100 { try expect(buffer[index], Int64(index * factor), "sum \(index)") }
      try communicator.sum(buffer, 1..<2)
      try expect(buffer[1], Int64(factor * size), "sum of one")
      try expectError("a range past the end", isShort) {
        try communicator.sum(buffer, 50..<101)
      }
    }
    communicator.largestCount = Int(Int32.max)
    if rank == 0 { print("sums of \(size) ranks are right") }
  }
}
