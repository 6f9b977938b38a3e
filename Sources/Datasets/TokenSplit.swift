import HDF5

/// One split of a dataset file: examples by number, cut to the length that the file was opened with.
///
/// Offsets and the number of counted tokens of each example are in memory (12 bytes an example);
/// tokens are where `TokenDataset.init` put them. Token p+1 of an example counts when its mask is 1;
/// its first token never does.
public final class TokenSplit {
  /// Which split it is.
  public let name: SplitName
  /// The file.
  public let path: String
  /// Examples longer than this are cut; nil when none is.
  public let maxLength: Int?
  /// Tokens of all examples, after cutting.
  public let tokenCount: Int
  /// Targets that count, after cutting.
  public let countedTokenCount: Int
  /// Examples that are cut.
  public let cutExampleCount: Int
  /// Examples in which no token counts, after cutting.
  public let uncountedExampleCount: Int
  /// A hash of the stored tokens, masks and offsets.
  public let contentHash: UInt64
  /// Hashes of its three parts.
  let tokenHash, maskHash, offsetHash: UInt64

  private let offsets: [Int]
  private let countedTokens: [Int32]
  private let store: TokenStore

  init(scanned: ScannedSplit, name: SplitName, path: String, maxLength: Int?) {
    self.name = name
    self.path = path
    self.maxLength = maxLength
    offsets = scanned.offsets
    countedTokens = scanned.countedTokens
    store = scanned.store
    contentHash = scanned.contentHash
    (tokenHash, maskHash, offsetHash) = (scanned.tokenHash, scanned.maskHash, scanned.offsetHash)
    var tokens = 0
    var cut = 0
    for example in 0..<(offsets.count - 1) {
      let length = offsets[example + 1] - offsets[example]
      let kept = min(length, maxLength ?? length)
      tokens += kept
      if kept < length { cut += 1 }
    }
    tokenCount = tokens
    cutExampleCount = cut
    countedTokenCount = countedTokens.reduce(0) { $0 + Int($1) }
    uncountedExampleCount = countedTokens.count { $0 == 0 }
  }

  /// Number of examples.
  public var exampleCount: Int { offsets.count - 1 }

  /// Whether tokens are in memory, so that loading reads no file.
  package var isInMemory: Bool {
    if case .memory = store { return true }
    return false
  }

  /// Tokens of an example, after cutting.
  public func tokenCount(of example: Int) -> Int {
    let length = offsets[example + 1] - offsets[example]
    return min(length, maxLength ?? length)
  }

  /// Targets of an example that count, after cutting.
  public func countedTokenCount(of example: Int) -> Int { Int(countedTokens[example]) }

  /// The most tokens that any `exampleCount` examples have together: the size of a buffer or
  /// workspace in which every micro-batch of that many examples fits.
  public func maximumTokenCount(ofExamples count: Int) -> Int {
    if count >= exampleCount { return tokenCount }
    return sumOfLargest(count) { tokenCount(of: $0) }
  }

  /// The most examples that have `tokens` tokens together, or fewer; at least one.
  public func mostExamples(ofTokens tokens: Int) -> Int {
    let lengths = (0..<exampleCount).map { tokenCount(of: $0) }.sorted()
    var (sum, count) = (0, 0)
    for length in lengths {
      sum += length
      if sum > tokens { break }
      count += 1
    }
    return max(count, 1)
  }

  /// Replaces what is in `buffer` by these examples, in this order.
  ///
  /// Throws `DatasetError.storage` where the file can no longer be read.
  public func load(
    _ examples: ArraySlice<Int>, into buffer: ExampleBuffer
  ) throws(DatasetError) {
    buffer.removeAll()
    for example in examples { try append(example, to: buffer) }
  }

  /// Adds one example behind those in `buffer`.
  public func append(_ example: Int, to buffer: ExampleBuffer) throws(DatasetError) {
    precondition(
      example >= 0 && example < exampleCount,
      "example \(example) of \(exampleCount) in \(name)")
    let start = offsets[example]
    let rows = start..<(start + tokenCount(of: example))
    // Unsafe: both buffers have exactly `rows.count` places.
    try unsafe buffer.append(count: rows.count) { tokens, mask throws(DatasetError) in
      switch store {
      case .memory(let allTokens, let allMask):
        for place in 0..<rows.count {
          unsafe tokens[place] = allTokens[start + place]
          unsafe mask[place] = allMask[start + place]
        }
      case .file(let allTokens, let allMask):
        do throws(HDF5Error) {
          try unsafe allTokens.read(rows: rows, into: tokens)
          try unsafe allMask.read(rows: rows, into: mask)
        } catch { throw .storage(error) }
      }
    }
  }

  /// The sum of the `count` largest values over all examples.
  private func sumOfLargest(_ count: Int, _ value: (Int) -> Int) -> Int {
    precondition(count >= 0, "\(count) examples")
    // The largest so far, smallest first; `count` is a micro-batch, a handful.
    var largest: [Int] = []
    for example in 0..<exampleCount {
      let candidate = value(example)
      if largest.count == count {
        guard let least = largest.first, candidate > least else { continue }
        largest.removeFirst()
      }
      let place = largest.firstIndex { $0 >= candidate } ?? largest.endIndex
      largest.insert(candidate, at: place)
    }
    return largest.reduce(0, +)
  }
}

/// Where a split's tokens are.
enum TokenStore {
  /// Read once: token ids and masks of the whole split.
  case memory(tokens: [UInt32], lossMask: [UInt8])
  /// Left in the file.
  case file(tokens: HDF5Dataset, lossMask: HDF5Dataset)
}
