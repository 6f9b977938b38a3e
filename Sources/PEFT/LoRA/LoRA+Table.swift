import JSON
import Model
import Tensors

extension LoRA {
  /// Declares A and B of the token table, under PEFT's own names.
  ///
  /// - Throws: `PEFTError` for what PEFT cannot do with a table, or does otherwise than by its fields.
  func site(
    ofTable decoder: Decoder, in plan: inout ParameterArenaPlan
  ) throws(PEFTError) -> Site {
    let path = decoder.tablePath
    if let field = configuration.fieldWithoutTable {
      throw .inconsistentFields(
        "\(field) does not go with \(path) among target_modules: \(path) is a table and no "
          + "projection", source: name)
    }
    let rank = try configuration.rank(path)
    let weight = decoder.table.matrix.turned
    let key = huggingFacePrefix + path
    return Site(
      path: path, layer: nil, scaling: try configuration.scaling(path), rank: rank,
      a: plan.declare("\(key).lora_embedding_A", shape: [rank, weight.inputSize]),
      b: plan.declare("\(key).lora_embedding_B", shape: [weight.outputSize, rank]),
      magnitude: configuration.usesDoRA
        ? plan.declare("\(key).lora_magnitude_vector", shape: [weight.outputSize]) : nil)
  }

  /// The tensors with a tied head's as PEFT writes it, a second time under its own name.
  ///
  /// The configuration says so: it ensures tying, and `modules_to_save` has the table's whole path.
  static func withTiedHead(
    _ tensors: [NamedTensor], configuration: JSONValue
  ) -> [NamedTensor] {
    guard configuration["ensure_weight_tying"]?.bool == true else { return tensors }
    let modules = (configuration["modules_to_save"]?.array ?? []).compactMap(\.string)
    let head = "\(huggingFacePrefix)lm_head.weight"
    let tables = tensors.filter { tensor in
      modules.contains { tensor.name == "\(huggingFacePrefix)\($0).weight" }
        && DecoderConfiguration.tableNames.contains(lastComponent(modulePath(tensor.name)))
    }
    guard let table = tables.first, !tensors.contains(where: { $0.name == head }) else {
      return tensors
    }
    return tensors + [table.named(head)]
  }
}
