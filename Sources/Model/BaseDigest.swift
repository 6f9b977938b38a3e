import Hashing

/// What a base is, by all of its bytes: a hash for each tensor.
public struct BaseDigest: Sendable, Hashable {
  /// One tensor's.
  public struct Tensor: Sendable, Hashable {
    /// Its name in the file.
    public let name: String
    /// The file's name, without its directory.
    public let file: String
    /// Stored type and shape: `BF16 [576, 576]`.
    public let form: String
    /// XXH64 of the XXH64s of its blocks of ``BaseContents/blockBytes``.
    public let hash: UInt64
  }

  /// The tensors, by name.
  public let tensors: [Tensor]

  /// The base's fingerprint in checkpoints: `v2:` and 16 hexadecimal digits.
  ///
  /// Names, types, shapes and bytes of all tensors are in it, not in which file they lie.
  public var text: String {
    let lines = tensors.map { "\($0.name)\n\($0.form)\n\(XXH64.text($0.hash))\n" }
    return Self.prefix + XXH64.text(XXH64.hash(lines.joined()))
  }

  /// What distinguishes such a fingerprint from those of earlier versions, which have none.
  static let prefix = "v2:"

  /// Whether a stored fingerprint was made of samples alone, by an earlier version.
  public static func isSampled(_ fingerprint: String) -> Bool { !fingerprint.hasPrefix(prefix) }
}

/// The stored tensors of a base, for reading all of their bytes in blocks that threads and ranks
/// share out.
///
/// ```swift
/// let scans = compute.mapBlocks(contents.blockCount) { contents.scan($0) }
/// let digest = contents.digest(hashes: scans.map(\.hash))
/// ```
public struct BaseContents: Sendable {
  /// Bytes in a block: few enough to share out, enough that starting one costs nothing.
  public static let blockBytes = 4 << 20

  /// What one block holds.
  public struct Scan: Sendable {
    /// XXH64 of its bytes.
    public let hash: UInt64
    /// The first element of the tensor that is in this block and not a finite number.
    public let nonFinite: Int?
  }

  private struct Block: Sendable {
    let tensor: Int
    let bytes: Range<Int>
  }

  private let tensors: [any BaseTensor]  // by name
  private let inOrder: [any BaseTensor]  // as the architecture asked for them
  private let blocks: [Block]
  /// What is the same for two processes of one machine where they read the same files.
  public let identity: String

  init(_ tensors: [any BaseTensor], source: any WeightSource) {
    inOrder = tensors
    self.tensors = tensors.sorted { $0.name < $1.name }
    blocks = self.tensors.enumerated().flatMap { index, tensor in
      // Whole units, so that nothing that belongs together is cut.
      let step = Self.blockBytes / tensor.unitBytes * tensor.unitBytes
      return stride(from: 0, to: max(tensor.byteCount, 1), by: step).map {
        Block(tensor: index, bytes: $0..<min($0 + step, tensor.byteCount))
      }
    }
    identity = source.identity
  }

  /// Number of blocks.
  public var blockCount: Int { blocks.count }
  /// Bytes of all tensors.
  public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }

  /// Reads a block.
  public func scan(_ block: Int) -> Scan {
    let (tensor, bytes) = (tensors[blocks[block].tensor], blocks[block].bytes)
    return Scan(
      hash: tensor.hash(bytes: bytes), nonFinite: tensor.firstNonFinite(bytes: bytes))
  }

  /// Tells the system that blocks of some tensors will not be read soon.
  public func release(_ blocks: [Int], of names: Set<String>) {
    for block in blocks where names.contains(tensorName(block)) { release(block) }
  }

  /// XXH64 of a block's bytes, read now.
  func hash(_ block: Int) -> UInt64 {
    tensors[blocks[block].tensor].hash(bytes: blocks[block].bytes)
  }

  /// Tells the system that a block will not be read soon.
  func release(_ block: Int) {
    tensors[blocks[block].tensor].releasePages(bytes: blocks[block].bytes)
  }

  /// Gives up tensors that were received from another node, for good.
  func discard(_ names: Set<String>) {
    for tensor in tensors where names.contains(tensor.name) { tensor.discard() }
  }

  /// The name of the tensor that a block is part of.
  public func tensorName(_ block: Int) -> String { tensors[blocks[block].tensor].name }

  /// Bytes in a block.
  func byteCount(ofBlock block: Int) -> Int { blocks[block].bytes.count }

  /// What a block is part of, for messages.
  func place(_ block: Int) -> String {
    let tensor = tensors[blocks[block].tensor]
    return "tensor '\(tensor.name)' in \(tensor.path)"
  }

  /// The error for an element that is not finite.
  public func error(_ scan: Scan, block: Int) -> ModelError? {
    let tensor = tensors[blocks[block].tensor]
    return scan.nonFinite.map {
      .nonFiniteTensor(name: tensor.name, file: tensor.path, index: $0)
    }
  }

  /// The digest, from the hashes of all blocks in order.
  public func digest(hashes: [UInt64]) -> BaseDigest {
    precondition(hashes.count == blocks.count, "\(hashes.count) hashes of \(blocks.count) blocks")
    let ofTensor = Dictionary(grouping: blocks.indices) { blocks[$0].tensor }
    return BaseDigest(
      tensors: tensors.enumerated().map { index, tensor in
        BaseDigest.Tensor(
          name: tensor.name, file: String(tensor.path.split(separator: "/").last ?? ""),
          form: "\(tensor.formatName) \(tensor.shape)",
          hash: XXH64.hash((ofTensor[index] ?? []).map { hashes[$0] }))
      })
  }

  /// The fingerprint of earlier versions, of up to 1,024 words of each tensor.
  var sampledFingerprint: String {
    var hash = FingerprintHash()
    for tensor in inOrder {
      hash.add(tensor.name)
      hash.add("\(tensor.shape) \(tensor.formatName)")
      hash.add(tensor.sampledHash())
    }
    return hash.text
  }
}

extension Decoder {
  /// The fingerprint that earlier versions would give this base, for their checkpoints.
  public var sampledFingerprint: String { contents.sampledFingerprint }
}

/// A 64-bit FNV-1a hash over names and numbers, in the fingerprints of earlier versions.
private struct FingerprintHash {
  private var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ text: String) {
    for byte in text.utf8 { add(byte) }
    add(UInt8(0))
  }

  mutating func add(_ number: UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: number >> shift)) }
  }

  private mutating func add(_ byte: UInt8) {
    value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
  }

  var text: String { XXH64.text(value) }
}
