import JSON
import Model
import Tensors

/// Tensors of the base that an adapter brings along: those that train with it (`modules_to_save`,
/// `bias`), and embeddings that its file carries in the place of the base's.
///
/// They lie in the arena under the names that PEFT saves them by. `modules_to_save` matches a module
/// path by plain *endswith*, without a dot, as PEFT does: `norm` also finds `input_layernorm`.
struct BaseTensors {
  /// `modules_to_save`.
  private(set) var modules: [String]
  private let bias: String
  private var slots: [(slot: ParameterSlot, parameter: String)] = []
  private var saved = SavedEmbeddings()
  /// Whether a tied head trains along with the token table.
  private var trainsTiedHead = false

  /// - Parameters:
  ///   - modules: `modules_to_save`.
  ///   - bias: `none`, `all`, or `lora_only`, `MiSS_only` …: those of adapted projections.
  init(modules: [String], bias: String = "none") {
    self.modules = modules
    self.bias = bias
  }

  /// Learns which tensors an adapter's file holds.
  mutating func prepareToLoad(_ tensors: [NamedTensor]) { saved = SavedEmbeddings(tensors) }

  /// Trains the token table and a head that is tied to it as one (`ensure_weight_tying`), where either
  /// is among the modules.
  mutating func tie(_ decoder: Decoder) throws(PEFTError) {
    modules = try WeightTying.tied(modules, of: decoder)
    trainsTiedHead = true
  }

  /// `modules_to_save` as PEFT writes it.
  var savedModules: JSONValue {
    modules.isEmpty ? nil : .array(modules.map(JSONValue.string))
  }

  /// Whether a module trains whole.
  func saves(_ path: String) -> Bool { modules.contains { path.hasSuffix($0) } }

  /// Declares what trains along.
  ///
  /// - Parameter adapted: paths of the adapted projections, whose biases PEFT names otherwise.
  mutating func declare(
    in plan: inout ParameterArenaPlan, decoder: Decoder, adapted: Set<String>
  ) throws(PEFTError) {
    // Parts of larger tensors have no module there, which could be saved.
    let parameters = decoder.trainableBaseParameters.filter { !$0.isPart }
    for module in modules {
      guard parameters.contains(where: { modulePath($0.name).hasSuffix(module) }) else {
        throw .nothingTargeted(
          selection: "modules_to_save [\"\(module)\"]",
          available: Set(parameters.map { lastComponent(modulePath($0.name)) }).sorted())
      }
    }
    for parameter in parameters {
      let path = modulePath(parameter.name)
      let isBias = parameter.name.hasSuffix(".bias")
      let isAdapted = isBias && adapted.contains(path)
      let trainsBias = isBias && (bias == "all" || (bias.hasSuffix("_only") && isAdapted))
      guard saves(path) || trainsBias else { continue }
      let key =
        isAdapted
        ? "\(huggingFacePrefix)\(path).base_layer.bias" : huggingFacePrefix + parameter.name
      slots.append((plan.declare(key, shape: parameter.shape), parameter.name))
    }
    var trained = Set(slots.map(\.slot.name))
    if trainsTiedHead { trained.insert("\(huggingFacePrefix)\(decoder.head.path).weight") }
    try saved.declare(in: &plan, decoder: decoder, trained: trained)
  }

  /// Whether the file holds embeddings that take the place of the base's.
  var replacesEmbeddings: Bool { saved.isUsed }

  /// Puts the file's embeddings in the base's place: before hooks that look at the base are made.
  func replaceEmbeddings(
    of decoder: Decoder, arena: ParameterArena, as method: String
  ) throws(PEFTError) {
    try asMethod(method) { () throws(ModelError) in try saved.attach(to: decoder, arena: arena) }
  }

  /// Moves them into the arena.
  func attach(to decoder: Decoder, arena: ParameterArena) throws(ModelError) {
    try saved.attach(to: decoder, arena: arena)
    for (slot, parameter) in slots {
      // PEFT trains copies: a tied head or table that is not itself named stays as it was.
      try decoder.makeTrainable(
        parameter: parameter, values: arena.values(slot), gradient: arena.gradients(slot),
        tied: trainsTiedHead)
    }
  }

  /// Those of an adapter's tensors that are to be loaded: without embeddings that are the base's, and
  /// without a tied head, which PEFT writes a second time.
  func loaded(_ tensors: [NamedTensor], _ decoder: Decoder?) -> [NamedTensor] {
    let head = decoder.map { "\(huggingFacePrefix)\($0.head.path).weight" }
    return tensors.filter {
      !saved.repeatsBase($0.name) && !(trainsTiedHead && $0.name == head)
    }
  }

  /// Puts a trained or saved tensor in the base's place; returns whether it is one.
  func merge(into values: MatrixView, of name: String, arena: ParameterArena) -> Bool {
    guard let slot = slots.first(where: { $0.parameter == name })?.slot ?? saved.slot(of: name)
    else { return false }
    values.copy(from: arena.values(slot).reshaped(rows: values.rows, columns: values.columns))
    return true
  }
}
