import Tensors

/// The two halves of a block.
public enum Sublayer: Sendable, Hashable, CaseIterable {
  /// Attention and its output projection.
  case attention
  /// The feed-forward network.
  case feedForward
}

/// What a sublayer hook is given with each call.
public struct SublayerPass: HookPass {
  /// What forward keeps for backward, [tokens, savedColumns].
  public let saved: MatrixView
  /// Memory that is dead after the call, [tokens, scratchColumns].
  public let scratch: MatrixView
  /// Random numbers of this site in this pass.
  public let random: CounterRandom
  /// The pass over the micro-batch.
  public let pass: Pass

  /// Rows of this call: of the whole micro-batch.
  public var rowCount: Int { pass.rowCount }
}

/// A change to what a sublayer gives, before the block adds it to the residual stream.
public protocol SublayerHook: AnyObject {
  /// Floats a token that forward keeps for backward.
  var savedColumns: Int { get }
  /// Floats a token that a call needs while it runs.
  var scratchColumns: Int { get }
  /// Multiply-adds a token.
  var arithmetic: HookArithmetic { get }
  /// Changes the sublayer's result, [tokens, hidden], in place.
  func forward(_ h: MatrixView, _ pass: SublayerPass)
  /// Turns the gradient of the changed result in place into that of the sublayer's own, and adds to
  /// the hook's parameter gradients.
  func backward(_ dh: MatrixView, _ pass: SublayerPass)
}
