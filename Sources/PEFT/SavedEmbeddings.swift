import Model
import Tensors

/// The token table and the head that an adapter's file holds besides what was trained.
///
/// PEFT writes them where they are adapted, or with `save_embedding_layers`: `embed_tokens.weight`,
/// `embed_tokens.base_layer.weight`. Where they are the base's own they say nothing; others take the
/// base's place, as they do in PEFT, and stay with the adapter.
struct SavedEmbeddings {
  private var found: [(tensor: NamedTensor, parameter: String)] = []
  private var slots: [(slot: ParameterSlot, parameter: String)] = []
  private var repeated: Set<String> = []

  /// No embeddings.
  init() {}

  /// Finds them among a file's tensors.
  init(_ tensors: [NamedTensor]) {
    for tensor in tensors where tensor.name.hasPrefix(huggingFacePrefix) {
      let name = tensor.name.dropFirst(huggingFacePrefix.count)
        .replacing(".base_layer.weight", with: ".weight")
      let isEmbedding = DecoderConfiguration.tableNames.union(["lm_head"]).contains {
        name.hasSuffix("\($0).weight")
      }
      if isEmbedding { found.append((tensor, String(name))) }
    }
    // A head that is tied to the table comes after it.
    found.sort { $0.parameter > $1.parameter }
  }

  /// Declares those that differ from the base's.
  ///
  /// - Parameter trained: names that train, whose tensors are their start and no others.
  /// - Throws: `PEFTError.misshapenTensor` where the vocabulary is another.
  mutating func declare(
    in plan: inout ParameterArenaPlan, decoder: Decoder, trained: Set<String>
  ) throws(PEFTError) {
    var table: NamedTensor?
    for (tensor, name) in found where !trained.contains(tensor.name) {
      guard let parameter = decoder.trainableBaseParameters.first(where: { $0.name == name }) else {
        continue
      }
      guard tensor.shape == parameter.shape else {
        throw .misshapenTensor(
          name: tensor.name, found: tensor.shape, expected: parameter.shape)
      }
      let isTied = decoder.isHeadTied && modulePath(name) == decoder.head.path
      let values = tensor.values
      let isSame =
        if isTied, let table { values == table.values } else {
          parameter.matrix.holds(values)
        }
      if isSame {
        repeated.insert(tensor.name)
      } else {
        slots.append((plan.declare(tensor.name, shape: tensor.shape, role: .fixed), name))
        if modulePath(name) == decoder.tablePath { table = tensor }
      }
    }
    found = []
  }

  /// Whether any differ.
  var isUsed: Bool { !slots.isEmpty }

  /// Puts them in the base's place.
  func attach(to decoder: Decoder, arena: ParameterArena) throws(ModelError) {
    for (slot, parameter) in slots {
      try decoder.replace(parameter: parameter, values: arena.values(slot))
    }
  }

  /// Whether a tensor of the file only repeats the base's.
  func repeatsBase(_ name: String) -> Bool { repeated.contains(name) }

  /// Where a tensor of the base is kept.
  func slot(of parameter: String) -> ParameterSlot? {
    slots.first { $0.parameter == parameter }?.slot
  }
}
