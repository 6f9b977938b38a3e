import Kernels
import Tensors

/// What the forward and the backward of one micro-batch share.
///
/// Randomness is a function of the step, the micro-batch and the place in the model, so backward and
/// recomputation draw what forward drew, whatever rank or thread they run on.
public struct Pass {
  /// The sequences, end to end.
  public let batch: TokenBatch
  /// Threads and kernels.
  public let compute: Compute
  /// Random numbers of this (seed, step, micro-batch); blocks and sites take substreams.
  public let random: CounterRandom
  /// Whether dropout applies.
  public let isTraining: Bool
  /// Cached keys and values to continue from, when text is generated.
  public let cache: KeyValueCache?

  /// Describes a pass over `batch`.
  public init(
    batch: TokenBatch, compute: Compute, random: CounterRandom = CounterRandom(seed: 0),
    isTraining: Bool, cache: KeyValueCache? = nil
  ) {
    self.batch = batch
    self.compute = compute
    self.random = random
    self.isTraining = isTraining
    self.cache = cache
  }

  /// Rows of every activation matrix: real and virtual tokens.
  public var rowCount: Int { batch.rowCount }
}
