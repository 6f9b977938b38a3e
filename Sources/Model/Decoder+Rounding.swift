import Kernels
import Tensors

/// The processes that share a node's memory, as far as a model must know them.
public protocol NodeMembers {
  /// This process's number among them, from 0.
  var localRank: Int { get }
  /// How many they are.
  var localSize: Int { get }
  /// Memory that all of them share, all zero; called by all of them.
  func allocateOnNode(byteCount: Int) throws -> SharedBytes
  /// Returns once all of them have come here.
  func barrier() throws
}

extension Decoder {
  /// Bytes of the base that passes read where they are stored or quantised.
  ///
  /// Of a weight of which they read a rounded copy, nothing, unless it is a table too.
  public var residentBaseBytes: Int {
    parameters.reduce(0) { sum, parameter in
      let isTable = parameter === parts.embedding || parameter === parts.positions
      let isRounded = parameter.rounded != nil || parameter.willBeRounded
      return sum + (!isRounded || isTable ? parameter.storedBytes : 0)
    }
  }

  /// Names of the stored tensors in whose place copies will be read: all projections' where they are
  /// quantised, and what is rounded to bf16.
  public func tensorsToReplace(isQuantized: Bool) -> Set<String> {
    let projections = products.filter { !$0.isExact }.map(\.weight)
    if isQuantized { return Set(projections.map(\.storedName)) }
    guard arithmetic == .bfloat16 else { return [] }
    return Set(
      (projections + [head.weight]).filter { WeightRounding.isUseful(for: $0.matrix) }
        .map(\.storedName))
  }

  /// Rounds frozen weights that are not stored in bf16 once, into memory that the node shares.
  ///
  /// For a decoder in bf16 alone, after hooks and trained parameters are attached; called by all
  /// members, each of which rounds its share. Products then read half the bytes and round nothing;
  /// their results are the same to the last bit. What is not a product (embeddings, merging, norms
  /// of columns) goes on reading the files.
  ///
  /// - Returns: bytes of the copy, one for all members; 0 where none is needed.
  @discardableResult
  public func roundFrozenWeights(
    among members: some NodeMembers, on compute: Compute
  ) throws -> Int {
    guard arithmetic == .bfloat16 else { return 0 }
    var places: [(parameter: Parameter, offset: Int)] = []
    var byteCount = 0
    var seen: Set<ObjectIdentifier> = []
    for parameter in (products.filter { !$0.isExact } + [head]).map(\.weight)
    where !parameter.isTrainable && parameter.rounded == nil
      && !parameter.storedFormat.isQuantized
      && WeightRounding.isUseful(for: parameter.matrix)
      && seen.insert(ObjectIdentifier(parameter)).inserted
    {
      places.append((parameter, byteCount))
      // Each starts on a cache line.
      byteCount += (2 * parameter.matrix.count + 63) & ~63
    }
    guard byteCount > 0 else { return 0 }
    if isPlanned {
      for (parameter, _) in places { parameter.willBeRounded = true }
      return byteCount
    }
    let bytes = try members.allocateOnNode(byteCount: byteCount)
    for (parameter, offset) in places {
      let count = parameter.matrix.storedRows
      let (rank, size) = (members.localRank, members.localSize)
      WeightRounding.round(
        parameter.matrix, rows: (count * rank / size)..<(count * (rank + 1) / size),
        into: bytes, at: offset, on: compute)
      parameter.matrix.releasePages()
    }
    try members.barrier()
    bytes.seal()
    // Reading one brings pages of its neighbours back, 2 MiB at a time.
    for (parameter, _) in places { parameter.matrix.releasePages() }
    for (parameter, offset) in places {
      parameter.rounded = WeightRounding.rounded(parameter.matrix, in: bytes, at: offset)
    }
    copies.append((bytes, "bf16"))
    return byteCount
  }
}
