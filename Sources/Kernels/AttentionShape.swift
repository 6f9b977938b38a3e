import Tensors

/// Heads of an attention: N query heads, of which N / K share one key/value head each.
public struct AttentionShape: Sendable, Hashable {
  /// Query heads N.
  public let headCount: Int
  /// Key/value heads K; N is a multiple.
  public let keyValueHeadCount: Int
  /// Features of a head, D.
  public let headDim: Int
  /// Factor of the scores, usually 1 / √D.
  public let scale: Float
  /// Scores s become `softCap · tanh(s / softCap)`; 0: they stay.
  public let softCap: Float
  /// Keys that a query sees, its own among them; 0: all up to its own.
  public let window: Int

  /// Describes N heads of D features over K key/value heads.
  public init(
    headCount: Int, keyValueHeadCount: Int, headDim: Int, scale: Float, softCap: Float = 0,
    window: Int = 0
  ) {
    precondition(
      headCount > 0 && keyValueHeadCount > 0 && headCount % keyValueHeadCount == 0,
      "\(headCount) heads over \(keyValueHeadCount) key/value heads")
    precondition(
      headDim > 0 && window >= 0 && softCap >= 0,
      "heads of \(headDim), a window of \(window), a cap of \(softCap)")
    self.headCount = headCount
    self.keyValueHeadCount = keyValueHeadCount
    self.headDim = headDim
    self.scale = scale
    self.softCap = softCap
    self.window = window
  }

  /// Query heads that share a key/value head.
  public var groupSize: Int { headCount / keyValueHeadCount }
}

/// Where sequences lie that follow each other without padding.
///
/// Sequence s has the query rows `queryOffsets[s] ..< queryOffsets[s + 1]` and likewise its key
/// rows. Its queries belong to the last of its keys: query i of n stands at key `keys - n + i`, and
/// sees that key and those before. In training the two lists are the same.
public struct SequenceSpans {
  /// First query row of each sequence, and the end of the last: count + 1 numbers.
  public let queryOffsets: IndexView
  /// First key row of each sequence, and the end of the last: count + 1 numbers.
  public let keyOffsets: IndexView

  /// Spans by their offsets.
  public init(queryOffsets: IndexView, keyOffsets: IndexView) {
    precondition(
      queryOffsets.count == keyOffsets.count && queryOffsets.count >= 1,
      "\(queryOffsets.count) query offsets, \(keyOffsets.count) key offsets")
    self.queryOffsets = queryOffsets
    self.keyOffsets = keyOffsets
  }

  /// Number of sequences.
  public var count: Int { queryOffsets.count - 1 }
  /// Query rows of a sequence.
  public func queryCount(_ sequence: Int) -> Int {
    queryOffsets[sequence + 1] - queryOffsets[sequence]
  }
  /// Key rows of a sequence.
  public func keyCount(_ sequence: Int) -> Int { keyOffsets[sequence + 1] - keyOffsets[sequence] }
}

/// Keys and values in front of every sequence, seen by all its queries, never windowed.
public struct PrefixKeyValues {
  /// Keys, [P, K · D].
  public let keys: MatrixView
  /// Values, [P, K · D].
  public let values: MatrixView

  /// A prefix of as many rows as both have.
  public init(keys: MatrixView, values: MatrixView) {
    requireShape(values, keys.rows, keys.columns, "the prefix's values")
    self.keys = keys
    self.values = values
  }
}

/// The gradient of a prefix, summed over the sequences.
public struct PrefixGradients {
  /// Added to, [P, K · D].
  public let dKeys: MatrixView
  /// Added to, [P, K · D].
  public let dValues: MatrixView

  /// Gradients in the shape of the prefix.
  public init(dKeys: MatrixView, dValues: MatrixView) {
    self.dKeys = dKeys
    self.dValues = dValues
  }
}
