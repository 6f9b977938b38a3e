/// The examples of a split that have passed, by their hashes.
///
/// Many small sets instead of a large one: a set that grows holds its old and new tables at once.
struct SeenExamples {
  private var shards = [Set<ExampleHash>](repeating: [], count: 256)

  /// Adds an example; whether it is new.
  mutating func insert(_ hash: ExampleHash) -> Bool {
    shards[Int(hash.high >> 56)].insert(hash).inserted
  }

  /// Whether an example has passed.
  func contains(_ hash: ExampleHash) -> Bool { shards[Int(hash.high >> 56)].contains(hash) }
}

/// 16 bytes that stand for an example's tokens and mask.
struct ExampleHash: Hashable, Sendable {
  let high: UInt64
  let low: UInt64

  /// Two independent multiply-and-mix hashes: among a billion examples the odds of one false
  /// duplicate are 10⁻²¹.
  init(tokens: [UInt32], mask: [UInt8]) {
    var (a, b): (UInt64, UInt64) = (0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f)
    for (token, flag) in zip(tokens, mask) {
      let word = UInt64(token) << 1 | UInt64(flag)
      a = Self.mix(a ^ word)
      b = Self.mix(b &+ word &* 0xd6e8_feb8_6659_fd93)
    }
    high = Self.mix(a ^ UInt64(tokens.count))
    low = b
  }

  /// The finisher of SplitMix64.
  private static func mix(_ value: UInt64) -> UInt64 {
    var x = value &+ 0x9e37_79b9_7f4a_7c15
    x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return x ^ (x >> 31)
  }
}
