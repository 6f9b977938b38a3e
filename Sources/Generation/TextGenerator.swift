import Kernels
import Model
import Tensors

/// Why an answer ended.
public enum FinishReason: String, Sendable {
  /// The model said its end token.
  case stop
  /// The asked number of tokens was reached.
  case length
}

/// An answer in tokens; the end token is left out.
public struct GeneratedTokens: Sendable {
  /// The new tokens.
  public let tokens: [Int]
  /// Why it ended.
  public let finishReason: FinishReason
}

/// Continues a prompt token by token, with cached keys and values.
///
/// ```swift
/// let generator = try TextGenerator(decoder: decoder, compute: compute, maximumLength: 512)
/// let answer = generator.generate(
///   prompt: [1, 17, 4], maximumNewTokens: 32, sampler: Sampler(), endTokens: [2])
/// ```
///
/// The prompt goes through the model in one pass, each new token in one of its own; all of them again
/// where the model turns keys anew (LongRoPE). Virtual tokens
/// and prefixes of an attached adapter enter with the prompt. The decoder must have its hooks; the
/// generator prepares it for inference, so it cannot be training at the same time.
public final class TextGenerator {
  private let decoder: Decoder
  private let compute: Compute
  private let batch: TokenBatch
  private let cache: KeyValueCache
  private let logits: OwnedMatrix
  private let lastRow = IndexBuffer(count: 1)

  /// Most tokens of prompt and answer together.
  public let maximumLength: Int

  /// Prepares `decoder` for inference.
  ///
  /// - Parameters:
  ///   - decoder: the base, with an adapter attached or without.
  ///   - compute: the threads that compute it.
  ///   - maximumLength: most tokens of prompt and answer together.
  /// - Throws: `ModelError.tooManyPositions` where the model has fewer positions.
  public init(decoder: Decoder, compute: Compute, maximumLength: Int) throws(ModelError) {
    try decoder.checkPositions(tokens: maximumLength)
    try decoder.prepare(
      for: .inference, maximumTokens: maximumLength, maximumSequences: 1,
      maximumLength: maximumLength)
    self.decoder = decoder
    self.compute = compute
    self.maximumLength = maximumLength
    batch = decoder.makeBatch(maximumTokens: maximumLength, maximumSequences: 1)
    let c = decoder.configuration
    cache = KeyValueCache(
      blockCount: c.blockCount, keyValueSize: c.keyValueSize,
      capacity: maximumLength + decoder.virtualTokenCount)
    logits = OwnedMatrix(rows: 1, columns: c.vocabularySize)
  }

  /// Bytes that a generator takes besides the decoder's workspace: cached keys and values, and logits.
  public static func byteCount(_ decoder: Decoder, maximumLength: Int) -> Int {
    let c = decoder.configuration
    return KeyValueCache.byteCount(
      blockCount: c.blockCount, keyValueSize: c.keyValueSize,
      capacity: maximumLength + decoder.virtualTokenCount)
      + c.vocabularySize * MemoryLayout<Float>.stride
  }

  /// Continues `prompt`, which must not be empty.
  ///
  /// - Parameters:
  ///   - prompt: tokens.
  ///   - maximumNewTokens: tokens of an answer that nothing ends before.
  ///   - sampler: chooses each token.
  ///   - endTokens: tokens that end the answer.
  ///   - onToken: called with each new token, the end token left out; says whether to go on.
  public func generate(
    prompt: [Int], maximumNewTokens: Int, sampler: Sampler, endTokens: Set<Int>,
    onToken: (Int) -> Bool = { _ in true }
  ) -> GeneratedTokens {
    precondition(!prompt.isEmpty, "a prompt without tokens")
    cache.clear()
    var tokens: [Int] = []
    var next = prompt
    let room = max(0, min(maximumNewTokens, maximumLength - prompt.count))
    for draw in 0..<room {
      run(next)
      let token = sampler.choose(from: logits.view, draw: draw)
      if endTokens.contains(token) {
        return GeneratedTokens(tokens: tokens, finishReason: .stop)
      }
      tokens.append(token)
      if !onToken(token) { break }
      next = [token]
      let length = cache.length + 1
      if decoder.forgetsKeys(growing: cache.length, to: length) {
        cache.clear()
        next = prompt + tokens
      }
    }
    return GeneratedTokens(tokens: tokens, finishReason: .length)
  }

  /// One pass over new tokens; leaves the logits behind the last of them.
  private func run(_ tokens: [Int]) {
    let isFirst = cache.length == 0
    batch.clear()
    batch.beginSequence(startPosition: isFirst ? 0 : cache.length - decoder.virtualTokenCount)
    for token in tokens { batch.append(token: token, isTarget: false) }
    batch.endSequence()
    lastRow.all[0] = batch.rowCount - 1
    let pass = Pass(batch: batch, compute: compute, isTraining: false, cache: cache)
    decoder.logits(pass, rows: lastRow.all, into: logits.view)
  }
}
