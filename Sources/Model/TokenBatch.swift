import Kernels
import Tensors

/// A micro-batch: sequences laid end to end, without padding.
///
/// ```swift
/// let batch = TokenBatch(maximumTokens: 64, maximumSequences: 4, virtualTokenCount: 0)
/// batch.clear()
/// batch.beginSequence()
/// batch.append(token: 17, isTarget: false)
/// batch.append(token: 4, isTarget: true)
/// batch.endSequence()
/// ```
///
/// It is made once for the largest micro-batch and filled again for each; filling allocates nothing.
/// The first token of a sequence is never a target: nothing in front of it is scored.
public final class TokenBatch {
  /// Rows in front of every sequence that stand for no token.
  public let virtualTokenCount: Int
  /// What is added to every position (a joint prefix takes the first ones).
  public let positionOffset: Int
  /// Most real tokens.
  public let maximumTokens: Int
  /// Most sequences.
  public let maximumSequences: Int

  /// Real tokens so far.
  public private(set) var tokenCount = 0
  /// Sequences so far.
  public private(set) var sequenceCount = 0
  /// Rows of the activations so far: real and virtual tokens.
  public private(set) var rowCount = 0
  /// Rows that are scored.
  public private(set) var targetCount = 0

  private let tokenBuffer: IndexBuffer
  private let tokenOffsetBuffer: IndexBuffer
  private let rowOffsetBuffer: IndexBuffer
  private let positionBuffer: IndexBuffer
  private let scoredRowBuffer: IndexBuffer
  private let targetBuffer: IndexBuffer

  /// A batch with room for so many tokens and sequences.
  public init(
    maximumTokens: Int, maximumSequences: Int, virtualTokenCount: Int = 0, positionOffset: Int = 0
  ) {
    self.maximumTokens = maximumTokens
    self.maximumSequences = maximumSequences
    self.virtualTokenCount = virtualTokenCount
    self.positionOffset = positionOffset
    let rows = maximumTokens + maximumSequences * virtualTokenCount
    tokenBuffer = IndexBuffer(count: maximumTokens)
    tokenOffsetBuffer = IndexBuffer(count: maximumSequences + 1)
    rowOffsetBuffer = IndexBuffer(count: maximumSequences + 1)
    positionBuffer = IndexBuffer(count: rows)
    scoredRowBuffer = IndexBuffer(count: maximumTokens)
    targetBuffer = IndexBuffer(count: maximumTokens)
  }

  /// Token ids, [tokens].
  public var tokens: IndexView { tokenBuffer.all.prefix(tokenCount) }
  /// Where sequences start among the tokens, [sequences + 1].
  public var tokenOffsets: IndexView { tokenOffsetBuffer.all.prefix(sequenceCount + 1) }
  /// Where sequences start among the rows, [sequences + 1].
  public var rowOffsets: IndexView { rowOffsetBuffer.all.prefix(sequenceCount + 1) }
  /// Position of each row in its sequence, [rows].
  public var positions: IndexView { positionBuffer.all.prefix(rowCount) }
  /// Rows whose next token is scored, [targets].
  public var scoredRows: IndexView { scoredRowBuffer.all.prefix(targetCount) }
  /// The tokens they should predict, [targets].
  public var targets: IndexView { targetBuffer.all.prefix(targetCount) }
  /// Queries and keys of the same sequences.
  public var spans: SequenceSpans {
    SequenceSpans(queryOffsets: rowOffsets, keyOffsets: rowOffsets)
  }

  /// Empties the batch.
  public func clear() {
    tokenCount = 0
    sequenceCount = 0
    rowCount = 0
    targetCount = 0
    tokenOffsetBuffer.all[0] = 0
    rowOffsetBuffer.all[0] = 0
  }

  /// Starts a sequence, at a later position when it continues a cached one.
  ///
  /// - Parameter startPosition: tokens already cached; virtual rows are written only at 0.
  public func beginSequence(startPosition: Int = 0) {
    precondition(sequenceCount < maximumSequences, "more than \(maximumSequences) sequences")
    nextPosition = startPosition + positionOffset
    if startPosition == 0 {
      for _ in 0..<virtualTokenCount { appendRow() }
    } else {
      nextPosition += virtualTokenCount
    }
  }

  /// Appends a token to the sequence that was begun.
  ///
  /// - Parameter token: an id below the vocabulary size.
  /// - Parameter isTarget: whether it counts in the loss; the first of a sequence never does.
  public func append(token: Int, isTarget: Bool) {
    precondition(tokenCount < maximumTokens, "more than \(maximumTokens) tokens")
    let isFirst = tokenCount == tokenOffsetBuffer.all[sequenceCount]
    if isTarget && !isFirst {
      scoredRowBuffer.all[targetCount] = rowCount - 1
      targetBuffer.all[targetCount] = token
      targetCount += 1
    }
    tokenBuffer.all[tokenCount] = token
    tokenCount += 1
    appendRow()
  }

  /// Ends the sequence that was begun.
  public func endSequence() {
    sequenceCount += 1
    tokenOffsetBuffer.all[sequenceCount] = tokenCount
    rowOffsetBuffer.all[sequenceCount] = rowCount
  }

  private var nextPosition = 0

  private func appendRow() {
    positionBuffer.all[rowCount] = nextPosition
    nextPosition += 1
    rowCount += 1
  }
}
