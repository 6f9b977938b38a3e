/// Where a sublayer hook sits.
public struct SublayerSite: Sendable, Hashable {
  /// The block, from 0.
  public let block: Int
  /// Which half of it.
  public let sublayer: Sublayer

  /// Names a half of a block.
  public init(block: Int, sublayer: Sublayer) {
    self.block = block
    self.sublayer = sublayer
  }
}

/// The hooks of one method: at most one a site.
///
/// ```swift
/// var hooks = HookSet()
/// hooks.linear["model.layers.0.self_attn.q_proj"] = LoRALinear(…)
/// try decoder.attach(hooks)
/// ```
public struct HookSet {
  /// By module path: projections of the blocks, and the head.
  public var linear: [String: any LinearHook] = [:]
  /// By half of a block.
  public var sublayer: [SublayerSite: any SublayerHook] = [:]
  /// By block.
  public var attention: [Int: any AttentionHook] = [:]
  /// In front of the sequences.
  public var embedding: (any EmbeddingHook)?
  /// On the rows of the token table.
  public var table: (any TableHook)?
  /// Whether the hooks on the table and on the head make the same change to both, so that a table and
  /// a head that are one tensor stay one.
  public var changesHeadAsTable = false

  /// No hooks.
  public init() {}
}
