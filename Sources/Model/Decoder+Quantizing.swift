import Kernels

extension Decoder {
  /// Quantises the blocks' projections once, into memory that the node shares; embeddings, head, norms and
  /// biases stay as they are stored, as in QLoRA.
  ///
  /// Before hooks are attached; called by all members, each of which quantises its share. Rows are read,
  /// quantised and let go one by one: a weight never exists in f32 as a whole.
  ///
  /// - Throws: `ModelError.notQuantizable` where a projection is stored quantised already or its rows are
  ///   no whole blocks; what `members` throws.
  public func quantizeProjections(
    as format: BaseQuantization, among members: some NodeMembers, on compute: Compute
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
    let bytes = try members.allocateOnNode(byteCount: byteCount)
    let (rank, size) = (members.localRank, members.localSize)
    for (parameter, offset) in places {
      let count = parameter.matrix.storedRows
      WeightQuantization.quantize(
        parameter.matrix, as: format,
        rows: (count * rank / size)..<(count * (rank + 1) / size), into: bytes, at: offset,
        on: compute)
      parameter.matrix.releasePages()
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
}
