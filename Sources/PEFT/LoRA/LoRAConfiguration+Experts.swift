import Model

/// `target_modules` on a base with experts, as PEFT 0.21 reads it with transformers 5.
///
/// There the projections of experts are no modules: names that once were theirs stand for the tensors
/// that all experts have in one piece, wherever else modules of that name are. Where two became one, its
/// rank and alpha are the sums of both.
extension LoRAConfiguration {
  /// What a name stands for.
  private static let moved = [
    "gate": "gate.weight", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj",
    "down_proj": "down_proj",
  ]
  private static let fused = ["gate_proj", "up_proj"]

  /// The configuration with such names among the `target_parameters`; the same on other bases.
  ///
  /// - Throws: `unsupportedField` for what PEFT does not take there.
  func forExperts(of decoder: Decoder) throws(PEFTError) -> LoRAConfiguration {
    guard !decoder.stackedParameters.isEmpty else { return self }
    var result = self
    var names: [String] = []
    switch targeting.targets {
    case .list(let list): names = list
    case .allLinear:
      names = Set(decoder.linearLayers.map { lastComponent($0.path) }).union(Self.moved.keys)
        .sorted()
    case .expression(let expression):
      for layer in decoder.linearLayers
      where try ModuleTargeting.wholeMatch(layer.path, expression) { names.append(layer.path) }
      if names.contains(where: { Self.moved[lastComponent($0)] != nil }) {
        throw .unsupportedField(
          name: "target_modules", value: expression,
          expected: "a list of names on a base with experts, where "
            + "\(Self.moved.keys.sorted().joined(separator: ", ")) stand for experts",
          source: "lora")
      }
    case nil: break
    }
    let moving = names.filter { Self.moved[lastComponent($0)] != nil }
    if targeting.targets != nil {
      result.targeting.targets = .list(names.filter { Self.moved[lastComponent($0)] == nil })
    }
    var parameters = Set(targetParameters)
    for name in moving {
      if let parameter = Self.moved[lastComponent(name)] { parameters.insert(parameter) }
    }
    result.targetParameters = parameters.sorted()
    let halves = Set(moving.map(lastComponent)).intersection(Self.fused)
    if halves.count == 1 {
      throw .unsupportedField(
        name: "target_modules", value: "\(names)",
        expected: "gate_proj and up_proj together, which experts have in one piece", source: "lora")
    }
    if halves.count == 2 {
      result.rankPattern[#".*\.gate_up_proj"#] = Double(2 * r)
      result.alphaPattern[#".*\.gate_up_proj"#] = 2 * alpha
    }
    try result.checkParameters()
    return result
  }

  /// Refuses what PEFT does not do with `target_parameters`.
  func checkParameters() throws(PEFTError) {
    guard !targetParameters.isEmpty else { return }
    let reason =
      "and adapters on experts (target_parameters) have none: leave it out, or name other "
      + "target_modules than all-linear, gate, gate_proj, up_proj and down_proj"
    for (name, isSet) in [
      ("lora_dropout", dropout != 0), ("use_dora", usesDoRA), ("lora_bias", hasBias),
      ("fan_in_fan_out", isTransposed), ("init_lora_weights in the base", startsInBase),
    ] where isSet {
      throw .inconsistentFields("\(name) is set, \(reason)", source: "lora")
    }
  }
}
