import Model
import Tensors

/// What PEFT puts in front of a module's path in its weight files.
let huggingFacePrefix = "base_model.model."

/// A tensor's module: its name without the last component.
func modulePath(_ name: String) -> String {
  name.split(separator: ".").dropLast().joined(separator: ".")
}

extension PEFTMethod {
  /// Copies every tensor of `tensors` to the arena's slot of the same name.
  ///
  /// A fixed tensor that is not among them stays as the start left it.
  /// - Throws: `PEFTError` where one is missing, misshapen or has no place.
  func loadAll(_ tensors: [NamedTensor], into arena: ParameterArena, source: String)
    throws(PEFTError)
  {
    var missing = Set(arena.slots.filter { $0.role.isOptimized }.map(\.name))
    var unexpected: [String] = []
    let names = Set(tensors.map(\.name))
    for tensor in tensors {
      guard let slot = arena.slot(named: tensor.name) else {
        if !isRepeated(tensor.name, in: names) { unexpected.append(tensor.name) }
        continue
      }
      guard tensor.shape == slot.shape else {
        throw .misshapenTensor(name: tensor.name, found: tensor.shape, expected: slot.shape)
      }
      arena.values(slot).assign(tensor.values)
      missing.remove(tensor.name)
    }
    if let name = missing.sorted().first { throw .missingTensor(name: name, source: source) }
    let embeddings = unexpected.filter { name in
      DecoderConfiguration.tableNames.union(["lm_head", "wpe"]).contains {
        name.hasSuffix(".\($0).weight")
      }
    }
    if !embeddings.isEmpty {
      throw .savedEmbeddings(names: embeddings.sorted(), source: source)
    }
    if !unexpected.isEmpty {
      throw .unexpectedTensors(names: unexpected.sorted(), source: source)
    }
  }

  /// Whether PEFT wrote a tensor twice: with `bias` `all` and `modules_to_save` it adds the wrapper's
  /// biases, trained and original, to the module's own.
  private func isRepeated(_ name: String, in names: Set<String>) -> Bool {
    [".modules_to_save.", ".original_module."].contains { wrapper in
      name.contains(wrapper) && names.contains(name.replacing(wrapper, with: "."))
    }
  }

  /// Every tensor of the arena that is not computed from others, by name.
  func storedTensors(of arena: ParameterArena) -> [NamedTensor] {
    arena.slots.filter { $0.role != .computed }.map {
      NamedTensor($0, of: arena)
    }
  }
}
