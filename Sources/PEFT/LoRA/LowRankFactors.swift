import JSON

/// What LoRA adds to a projection, by itself: `scaling · B A`.
public struct LowRankFactors: Sendable {
  /// The projection's path, as Hugging Face names it.
  public let path: String
  /// [R, in], row-major.
  public let a: [Float]
  /// [out, R], row-major.
  public let b: [Float]
  /// R.
  public let rank: Int
  /// The factor on the product.
  public let scaling: Double

  /// Features that come in.
  public var inputSize: Int { a.count / max(rank, 1) }
  /// Features that go out.
  public var outputSize: Int { b.count / max(rank, 1) }
}

extension LoRA {
  /// The factors of an adapter that is nothing but pairs of them on projections, for formats that can say
  /// nothing else; modules whose rank is 0 are left out.
  ///
  /// - Parameter export: what the adapter is saved as.
  /// - Parameter format: the format, for messages.
  /// - Throws: `PEFTError.cannotExport` with what else the adapter holds.
  public static func factors(
    of export: AdapterExport, for format: String
  ) throws(PEFTError) -> [LowRankFactors] {
    func refuse(_ what: String) -> PEFTError { .cannotExport(format: format, what: what) }
    let type = export.configuration["peft_type"]?.string
    guard type == "LORA" else { throw refuse("adapters of the kind \(type ?? "bottleneck")") }
    let configuration = try LoRAConfiguration(
      MethodOptions(
        MethodOptions(export.configuration.object ?? [:], source: "the adapter's configuration"),
        fields: fields, method: "lora"))
    if configuration.usesDoRA { throw refuse("DoRA's magnitudes (use_dora)") }
    if configuration.hasBias { throw refuse("biases of B (lora_bias)") }
    if configuration.bias != "none" { throw refuse("trained biases (bias)") }
    if let name = configuration.targetParameters.first {
      throw refuse("adapters of experts (target_parameters: \(name))")
    }
    if let module = configuration.modulesToSave.first {
      throw refuse("whole modules that were trained (modules_to_save: \(module))")
    }
    let tensors = Dictionary(export.tensors.map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
    var result: [LowRankFactors] = []
    for tensor in export.tensors.sorted(by: { $0.name < $1.name }) {
      let ending = ".lora_A.weight"
      guard tensor.name.hasSuffix(ending) else {
        guard tensor.name.hasSuffix(".lora_B.weight") else {
          throw refuse("the tensor '\(tensor.name)'")
        }
        continue
      }
      let stem = String(tensor.name.dropLast(ending.count))
      guard let b = tensors[stem + ".lora_B.weight"], tensor.shape.count == 2, b.shape.count == 2,
        b.shape[1] == tensor.shape[0]
      else {
        throw .missingTensor(name: stem + ".lora_B.weight", source: "the adapter")
      }
      let path =
        stem.hasPrefix(huggingFacePrefix) ? String(stem.dropFirst(huggingFacePrefix.count)) : stem
      let rank = tensor.shape[0]
      if rank == 0 { continue }
      result.append(
        LowRankFactors(
          path: path, a: tensor.values, b: b.values, rank: rank,
          scaling: try configuration.scaling(path)))
    }
    return result
  }
}
