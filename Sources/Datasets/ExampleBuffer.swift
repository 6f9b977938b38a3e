/// Examples laid end to end, without padding, in memory that is used again and again.
///
/// ```swift
/// let buffer = ExampleBuffer(tokenCapacity: 4096, sequenceCapacity: 4)
/// try split.load(batch.microBatch(0), into: buffer)
/// for token in buffer.sequence(0) { … buffer.tokens[token] … }
/// ```
///
/// The arrays are as long as the capacities say; what counts of them is the first `tokenCount`
/// tokens, the first `tokenCount` flags and the first `sequenceCount + 1` offsets.
public final class ExampleBuffer {
  /// Room for tokens.
  public let tokenCapacity: Int
  /// Room for examples.
  public let sequenceCapacity: Int
  /// Tokens in use.
  public private(set) var tokenCount = 0
  /// Examples in use.
  public private(set) var sequenceCount = 0
  /// Targets among the tokens that count in the loss.
  public private(set) var countedTokenCount = 0
  /// Token ids, [tokenCapacity].
  public private(set) var tokens: [UInt32]
  /// 1 where the token at this place counts as a target, [tokenCapacity].
  ///
  /// Such a token is to be predicted from those before it; so the first of each example is 0,
  /// whatever the file says.
  public private(set) var counts: [UInt8]
  /// Where each example starts, and after the last where it ends, [sequenceCapacity + 1].
  public private(set) var offsets: [Int]

  /// Allocates room; nothing is allocated later.
  public init(tokenCapacity: Int, sequenceCapacity: Int) {
    precondition(
      tokenCapacity >= 0 && sequenceCapacity >= 0,
      "room for \(tokenCapacity) tokens in \(sequenceCapacity) examples")
    self.tokenCapacity = tokenCapacity
    self.sequenceCapacity = sequenceCapacity
    tokens = Array(repeating: 0, count: tokenCapacity)
    counts = Array(repeating: 0, count: tokenCapacity)
    offsets = Array(repeating: 0, count: sequenceCapacity + 1)
  }

  /// Where example `index` of the buffer lies in `tokens` and `counts`.
  public func sequence(_ index: Int) -> Range<Int> {
    precondition(index < sequenceCount, "sequence \(index) of \(sequenceCount)")
    return offsets[index]..<offsets[index + 1]
  }

  /// Forgets the examples and keeps the room.
  public func removeAll() {
    tokenCount = 0
    sequenceCount = 0
    countedTokenCount = 0
  }

  /// Adds one example of `count` tokens, which `fill` writes along with the mask as stored.
  func append<Failure: Error>(
    count: Int,
    fill: (
      _ tokens: UnsafeMutableBufferPointer<UInt32>, _ mask: UnsafeMutableBufferPointer<UInt8>
    ) throws(Failure) -> Void
  ) throws(Failure) {
    precondition(
      sequenceCount < sequenceCapacity && tokenCount + count <= tokenCapacity,
      "\(tokenCount) + \(count) tokens in \(sequenceCount + 1) examples exceed the room for "
        + "\(tokenCapacity) in \(sequenceCapacity)")
    let range = tokenCount..<(tokenCount + count)
    // Unsafe: `fill` gets exactly the new example's places in both arrays.
    try unsafe tokens.withUnsafeMutableBufferPointer { tokens throws(Failure) in
      try unsafe counts.withUnsafeMutableBufferPointer { counts throws(Failure) in
        try unsafe fill(
          UnsafeMutableBufferPointer(rebasing: tokens[range]),
          UnsafeMutableBufferPointer(rebasing: counts[range]))
      }
    }
    if count > 0 { counts[range.lowerBound] = 0 }
    for place in range { countedTokenCount += Int(counts[place]) }
    tokenCount = range.upperBound
    sequenceCount += 1
    offsets[sequenceCount] = tokenCount
  }
}
