/// Random numbers as a function of (key, counter): nothing to carry along, nothing to save.
///
/// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011). Because a draw depends on its coordinates alone, dropout masks and shuffles
/// do not depend on ranks, threads or order, and recomputation draws the same mask again.
public struct CounterRandom: Sendable {
  /// Low word of the key, which is the seed.
  public let key0: UInt32
  /// High word of the key.
  public let key1: UInt32
  /// The upper half of every counter.
  public let stream: UInt64

  /// A generator for `seed` and a stream number that tells uses apart.
  public init(seed: UInt64, stream: UInt64 = 0) {
    key0 = UInt32(truncatingIfNeeded: seed)
    key1 = UInt32(truncatingIfNeeded: seed >> 32)
    self.stream = stream
  }

  /// The generator for a named purpose: its stream is a hash (64-bit FNV-1a) of the name.
  public init(seed: UInt64, purpose name: String) {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    self.init(seed: seed, stream: hash)
  }

  /// The generator for a part of this one's purpose: a block, a site, a micro-batch.
  ///
  /// Chaining them hashes the words in order, without allocating.
  public func substream(_ word: UInt64) -> CounterRandom {
    var hash = stream
    for shift in stride(from: 0, to: 64, by: 8) {
      hash = (hash ^ ((word >> UInt64(shift)) & 0xff)) &* 0x0000_0100_0000_01b3
    }
    return CounterRandom(key0: key0, key1: key1, stream: hash)
  }

  private init(key0: UInt32, key1: UInt32, stream: UInt64) {
    self.key0 = key0
    self.key1 = key1
    self.stream = stream
  }

  /// Four random words for a counter.
  @inlinable
  public func words(_ counter: UInt64) -> SIMD4<UInt32> { block(counter) }

  @usableFromInline
  func block(_ counter: UInt64) -> SIMD4<UInt32> {
    var c0 = UInt32(truncatingIfNeeded: counter)
    var c1 = UInt32(truncatingIfNeeded: counter >> 32)
    var c2 = UInt32(truncatingIfNeeded: stream)
    var c3 = UInt32(truncatingIfNeeded: stream >> 32)
    var k0 = key0
    var k1 = key1
    for _ in 0..<10 {
      let p0 = UInt64(c0) &* 0xD251_1F53
      let p1 = UInt64(c2) &* 0xCD9E_8D57
      (c0, c1, c2, c3) = (
        UInt32(truncatingIfNeeded: p1 >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: p1),
        UInt32(truncatingIfNeeded: p0 >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: p0)
      )
      k0 &+= 0x9E37_79B9
      k1 &+= 0xBB67_AE85
    }
    return SIMD4(c0, c1, c2, c3)
  }

  /// 64 random bits for a counter.
  public func bits(_ counter: UInt64) -> UInt64 {
    let w = block(counter)
    return UInt64(w[0]) | (UInt64(w[1]) << 32)
  }

  /// A uniform number in [0, 1) with 53 random bits.
  public func uniform(_ counter: UInt64) -> Double { Double(bits(counter) >> 11) * 0x1p-53 }

  /// A whole number in 0 ..< bound, without bias worth mentioning (Lemire's multiplication).
  public func integer(_ counter: UInt64, below bound: UInt64) -> UInt64 {
    bits(counter).multipliedFullWidth(by: bound).high
  }
}
