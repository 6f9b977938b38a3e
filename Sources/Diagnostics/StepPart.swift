/// The parts of a step that a profile and the count of its arithmetic tell apart.
///
/// Parts nest: an adapter's products lie in a projection, which lies in a block. Time is that of the
/// innermost part.
public enum StepPart: Int, Sendable, Hashable, CaseIterable {
  /// The whole step; by itself what no other part claims.
  case step
  /// One block; by itself its residual additions and copies.
  case block
  /// Reading examples and laying them end to end.
  case dataLoading
  /// Token and position embeddings, virtual rows.
  case embedding
  /// Normalisations.
  case norm
  /// The projections of attention, with rotation and biases.
  case projection
  /// Scores, softmax and values.
  case attention
  /// The feed-forward network.
  case feedForward
  /// What a method adds to projections, halves of blocks, attention and embeddings.
  case adapter
  /// Dropout.
  case dropout
  /// The head and the cross-entropy.
  case head
  /// Adding up a micro-batch's gradients, and the reduction over ranks.
  case reduction
  /// Waiting for ranks that are not as far.
  case waiting
  /// What a method does once a step (encoders, regularisers, schedules).
  case method
  /// Clipping and the update.
  case optimizer
  /// An evaluation, between steps.
  case evaluation
  /// Saving a checkpoint, between steps.
  case checkpoint

  /// The name that tables and traces show.
  public var name: String {
    switch self {
    case .step: "other"
    case .block: "residual stream"
    case .dataLoading: "data loading"
    case .embedding: "embedding"
    case .norm: "norms"
    case .projection: "attention projections"
    case .attention: "attention"
    case .feedForward: "feed-forward"
    case .adapter: "adapter"
    case .dropout: "dropout"
    case .head: "head, cross-entropy"
    case .reduction: "reduction"
    case .waiting: "waiting for ranks"
    case .method: "method"
    case .optimizer: "optimizer"
    case .evaluation: "evaluation"
    case .checkpoint: "checkpoint"
    }
  }
}

/// Which way a part goes through the model.
public enum StepDirection: Int, Sendable, Hashable, CaseIterable {
  /// Outside of the model.
  case none
  /// From tokens to the loss.
  case forward
  /// From the loss to gradients.
  case backward
  /// Forward again, for backward (`--gradient-checkpointing`).
  case recomputation

  /// The name that tables and traces show; empty outside of the model.
  public var name: String {
    switch self {
    case .none: ""
    case .forward: "forward"
    case .backward: "backward"
    case .recomputation: "forward again"
    }
  }
}
