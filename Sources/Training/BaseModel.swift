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
  ///   - scans: whether every byte is read. A plan needs shapes, and the pages that passes touch.
  ///   - arriving: what of the files comes from other nodes when it is asked for.
  ///   - isPlanned: whether only shapes are wanted: nothing large is allocated then.
  /// - Throws: on all ranks, `MPIError.rankFailed` where any cannot read it, `MPIError.ranksDiffer`
  ///   with the first tensor that is not the same everywhere, and `UnlikeBFloat16Products`.
  public static func open(
    _ directory: String, precision: PrecisionChoice, communicator: Communicator,
    on compute: Compute, files: FileMap = .disk, needsDigest: Bool = false,
    scans: Bool = true, quantization: BaseQuantization? = nil, sharers: BaseSharers? = nil,
    arriving: ArrivingTensors? = nil, isPlanned: Bool = false
  ) throws -> Decoder {
    let room = try MemoryRoom(communicator)
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
      let isOne = Set(try communicator.allGather(compute.bfloat16Definition)).count == 1
      let wanted: Int32 =
        (isStored || quantization != nil) && compute.hasNativeBFloat16 && isOne ? 1 : 0
      // Files are mapped, so reading them again costs nothing but the headers.
      if try communicator.allReduce(wanted, .minimum) == 1 { decoder = try read(.bfloat16) }
    }
    decoder.isPlanned = isPlanned
    room.guardPasses(of: decoder)
    try communicator.requireOneBFloat16(decoder, on: compute)
    var scan =
      scans || communicator.worldSize > 1
      ? try BaseScan(
        decoder, communicator, compute,
        releasing: decoder.tensorsToReplace(isQuantized: quantization != nil)) : nil
    let later = arriving?.names ?? []
    scan?.read { !later.contains($0) }
    func willRead(_ name: String) throws {
      try arriving?.receive(name)
      if later.contains(name) { scan?.read { $0 == name } }
    }
    if arriving == nil { try finish(scan, decoder, needsDigest: needsDigest) }
    if let quantization {
      let prepare = arriving == nil ? nil : willRead
      if let sharers {
        try decoder.quantizeProjections(
          as: quantization, among: sharers, on: compute, willRead: prepare)
      } else {
        try decoder.quantizeProjections(
          as: quantization, among: communicator, on: compute, willRead: prepare)
      }
    }
    if let arriving {
      arriving.seal()
      try finish(scan, decoder, needsDigest: needsDigest)
    }
    return decoder
  }

  /// Throws what was found, and compares what the ranks have read.
  private static func finish(
    _ scan: BaseScan?, _ decoder: Decoder, needsDigest: Bool
  ) throws {
    guard let scan else { return }
    let communicator = scan.communicator
    try communicator.together { try scan.check() }
    guard needsDigest || communicator.worldSize > 1 else { return }
    let hashes = try scan.hashes()
    decoder.adopt(
      decoder.contents.digest(hashes: hashes), own: scan.own.map { (index: $0, hash: hashes[$0]) })
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
}

/// The ranks of a node, as the model knows them.
extension Communicator: NodeMembers {}

extension Decoder {
  /// The arithmetic as `--precision` names it.
  public var precisionName: String {
    (arithmetic == .bfloat16 ? PrecisionChoice.bfloat16 : .float32).rawValue
  }
}
