import DataParallel
import Diagnostics
import Files
import Hashing
import Kernels
import Model

/// Opens a base on every rank, settles with which arithmetic, and compares what the ranks have
/// read.
public enum BaseModel {
  /// Reads a model directory on all ranks together.
  ///
  /// `auto` becomes bf16 where the base is stored so, or quantised, and every rank multiplies bf16
  /// natively. In bf16 all must do so by one definition. Every byte is read once a node, on all
  /// threads of its ranks: to find what is not a finite number and, where there are other ranks or
  /// `needsDigest`, to hash it.
  ///
  /// - Parameters:
  ///   - directory: a model directory, or a GGUF file.
  ///   - precision: arithmetic of the frozen base.
  ///   - communicator: the ranks that read.
  ///   - compute: who reads, and will compute with it.
  ///   - files: where the bytes of its weights come from.
  ///   - quantization: what its projections are kept as; nil for as they are stored.
  ///   - sharers: whose copies quantised projections are; the ranks of the node if not given.
  ///   - needsDigest: whether the base's fingerprint will be asked for.
  /// - Throws: on all ranks, `MPIError.rankFailed` where any cannot read it, `MPIError.ranksDiffer`
  ///   with the first tensor that is not the same everywhere, and `UnlikeBFloat16Products`.
  public static func open(
    _ directory: String, precision: PrecisionChoice, communicator: Communicator,
    on compute: Compute, files: FileMap = .disk, needsDigest: Bool = false,
    quantization: BaseQuantization? = nil, sharers: BaseSharers? = nil
  ) throws -> Decoder {
    func read(_ arithmetic: Arithmetic) throws -> Decoder {
      try communicator.together {
        try Decoder(
          directory: directory, files: files, arithmetic: arithmetic,
          finiteCheck: (part: 0, of: 0))
      }
    }
    var decoder = try read(precision == .bfloat16 ? .bfloat16 : .float32)
    if precision == .auto {
      let isStored = decoder.parameters.contains {
        $0.shape.count == 2
          && ($0.matrix.format.isQuantized || $0.matrix.elementType == .bfloat16)
      }
      let wanted: Int32 = (isStored || quantization != nil) && compute.hasNativeBFloat16 ? 1 : 0
      // Files are mapped, so reading them again costs nothing but the headers.
      if try communicator.allReduce(wanted, .minimum) == 1 { decoder = try read(.bfloat16) }
    }
    try communicator.requireOneBFloat16(decoder, on: compute)
    try scan(
      decoder, communicator, compute, needsDigest: needsDigest,
      releasing: decoder.tensorsToReplace(isQuantized: quantization != nil))
    if let quantization {
      if let sharers {
        try decoder.quantizeProjections(as: quantization, among: sharers, on: compute)
      } else {
        try decoder.quantizeProjections(as: quantization, among: communicator, on: compute)
      }
    }
    return decoder
  }

  /// Reads every byte of the base.
  ///
  /// Ranks of a node that mapped the same files (device, inode, size, times) look through one page
  /// cache and divide the blocks. Any other rank reads its own copy whole, since that copy is what
  /// it computes with. Digests are not kept from run to run: a file's times tell of writes, not of
  /// what disks, caches and memory do to its bytes, which is what this is there to find. Reading is
  /// no loss, for the first step needs every byte in memory.
  ///
  /// - Parameter replaced: tensors of which copies will be made, that need not stay in memory until then:
  ///   else the process would begin with more than it ever needs again.
  private static func scan(
    _ decoder: Decoder, _ communicator: Communicator, _ compute: Compute, needsDigest: Bool,
    releasing replaced: Set<String>
  ) throws {
    let contents = decoder.contents
    let places = try communicator.allGather("\(communicator.nodeLeader) \(contents.identity)")
    let sharers = places.indices.filter { places[$0] == places[communicator.rank] }
    let place = sharers.firstIndex(of: communicator.rank) ?? 0
    let own = Array(stride(from: place, to: contents.blockCount, by: sharers.count))
    let scans = compute.mapBlocks(own.count) { index in
      defer { if !replaced.isEmpty { contents.release([own[index]], of: replaced) } }
      return contents.scan(own[index])
    }
    // Reading one brings pages of its neighbours along.
    contents.release(own, of: replaced)
    try communicator.together {
      for (scan, block) in zip(scans, own) {
        if let error = contents.error(scan, block: block) { throw error }
      }
    }
    guard needsDigest || communicator.worldSize > 1 else { return }
    let all = try communicator.allGather(bytes: scans.flatMap { bytes(of: $0.hash) })
    var hashes = [UInt64](repeating: 0, count: contents.blockCount)
    for (place, rank) in sharers.enumerated() {
      for (index, block) in stride(from: place, to: hashes.count, by: sharers.count).enumerated() {
        hashes[block] = word(at: index, in: all[rank])
      }
    }
    decoder.adopt(
      contents.digest(hashes: hashes), own: own.map { (index: $0, hash: hashes[$0]) })
    try compare(decoder, communicator)
  }

  private static func compare(
    _ decoder: Decoder, _ communicator: Communicator
  ) throws(MPIError) {
    if communicator.worldSize == 1 { return }
    // What a GGUF file says of the model is in its header, which is compared as it was understood.
    let file = decoder.directory + "/config.json"
    let configuration =
      XXH64.hash(file: file) ?? XXH64.hash("\(decoder.configuration)")
    var facts = [SharedFact("config.json", "xxh64 \(XXH64.text(configuration))")]
    facts += decoder.digest.tensors.map {
      SharedFact("tensor '\($0.name)' in \($0.file)", "\($0.form) xxh64 \(XXH64.text($0.hash))")
    }
    try communicator.agree(
      on: facts, of: "the base \(decoder.directory)",
      remedy: "Copy its files anew to where they differ, and compare them there with sha256sum.",
      errorClass: .input)
  }

  private static func bytes(of word: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) }
  }

  private static func word(at index: Int, in bytes: [UInt8]) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[8 * index + $1]) << (8 * UInt64($1)) }
  }
}

/// The ranks of a node, as the model knows them.
extension Communicator: NodeMembers {}

extension Decoder {
  /// The arithmetic as `--precision` names it.
  public var precisionName: String {
    (arithmetic == .bfloat16 ? PrecisionChoice.bfloat16 : .float32).rawValue
  }
}
