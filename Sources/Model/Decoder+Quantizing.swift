import Files
import Kernels

extension Decoder {
  /// Quantises the blocks' projections once, into memory that the node shares; embeddings, head, norms and
  /// biases stay as they are stored, as in QLoRA.
  ///
  /// Before hooks are attached; called by all members, each of which quantises its share. Rows are read,
  /// quantised and let go one by one: a weight never exists in f32 as a whole.
  ///
  /// - Parameters:
  ///   - format: what the projections are kept as.
  ///   - members: the processes of the node that share the base.
  ///   - compute: this member's threads.
  ///   - willRead: called by all members before a stored tensor is read, by its name. Where it is given
  ///     tensors come one by one, and what was received from another node is given up at once.
  /// - Throws: `ModelError.notQuantizable` where a projection is stored quantised already or its rows are
  ///   no whole blocks; what `members` throws.
  public func quantizeProjections(
    as format: BaseQuantization, among members: some NodeMembers, on compute: Compute,
    willRead: ((_ storedName: String) throws -> Void)? = nil
  ) throws {
    var places: [(parameter: Parameter, offset: Int)] = []
    var byteCount = 0
    for parameter in products.filter({ !$0.isExact }).map(\.weight) {
      let weight = parameter.matrix
      guard !weight.format.isQuantized else {
        throw ModelError.notQuantizable(
          name: parameter.name,
          reason: "it is stored as \(weight.format.name) already: leave --quantize-base out")
      }
      guard weight.storedColumns % format.blockSize == 0 else {
        throw ModelError.notQuantizable(
          name: parameter.name,
          reason: "its rows of \(weight.storedColumns) numbers are no whole blocks of "
            + "\(format.blockSize)")
      }
      places.append((parameter, byteCount))
      byteCount += WeightQuantization.byteCount(weight, as: format)
    }
    if isPlanned {
      for (parameter, _) in places {
        let size = WeightQuantization.byteCount(parameter.matrix, as: format)
        parameter.planQuantized(
          format == .nf4 ? .codes(name: "NF4") : .blocks(.q8_0), byteCount: size)
      }
      quantization = format
      return
    }
    let bytes = try members.allocateOnNode(byteCount: byteCount)
    let (rank, size) = (members.localRank, members.localSize)
    // What is stored once may be read as several.
    let lastUse = Dictionary(
      places.enumerated().map { ($1.parameter.storedName, $0) }, uniquingKeysWith: max)
    var read: Set<String> = []
    for (index, (parameter, offset)) in places.enumerated() {
      let name = parameter.storedName
      if let willRead, read.insert(name).inserted { try willRead(name) }
      let count = parameter.matrix.storedRows
      WeightQuantization.quantize(
        parameter.matrix, as: format,
        rows: (count * rank / size)..<(count * (rank + 1) / size), into: bytes, at: offset,
        on: compute)
      parameter.matrix.releasePages()
      if willRead != nil, lastUse[name] == index {
        try members.barrier()
        if rank == 0 { contents.discard([name]) }
      }
    }
    try members.barrier()
    bytes.seal()
    // Reading one brings pages of its neighbours back, 2 MiB at a time.
    for (parameter, _) in places { parameter.matrix.releasePages() }
    if rank == 0 { contents.discard(Set(places.map(\.parameter.storedName))) }
    for (parameter, offset) in places {
      let (weight, table) = WeightQuantization.quantized(
        parameter.matrix, as: format, in: bytes, at: offset)
      if let table { retain(table) }
      parameter.keepQuantized(
        weight, byteCount: WeightQuantization.byteCount(parameter.matrix, as: format))
    }
    copies.append((bytes, format.rawValue))
    quantization = format
  }

  /// Where the stored projections lie that ``quantizeProjections(as:among:on:willRead:)`` reads, in its
  /// order; without those that do not lie in a file as they are read.
  public var placesOfProjections: [StoredPlace] {
    var seen: Set<String> = []
    return products.filter { !$0.isExact }.map(\.weight).compactMap { parameter in
      guard seen.insert(parameter.storedName).inserted else { return nil }
      for (index, file) in source.mappedFiles.enumerated() {
        if let range = file.range(at: parameter.matrix.address, count: parameter.matrix.byteCount) {
          return StoredPlace(name: parameter.storedName, file: index, range: range)
        }
      }
      return nil
    }
  }
}

/// Where a stored tensor lies.
public struct StoredPlace: Sendable, Hashable {
  /// Its name in the file.
  public let name: String
  /// The number of the file among the source's.
  public let file: Int
  /// Its bytes there.
  public let range: Range<Int>

  /// Describes one.
  public init(name: String, file: Int, range: Range<Int>) {
    (self.name, self.file, self.range) = (name, file, range)
  }
}
