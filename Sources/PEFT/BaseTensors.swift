import Model
import Tensors

/// Tensors of the base that train along with a method: `modules_to_save` and `bias`.
///
/// They lie in the arena under the names that PEFT saves them by. `modules_to_save` matches a module
/// path by plain *endswith*, without a dot, as PEFT does: `norm` also finds `input_layernorm`.
struct BaseTensors {
  private let modules: [String]
  private let bias: String
  private var slots: [(slot: ParameterSlot, parameter: String)] = []

  /// - Parameters:
  ///   - modules: `modules_to_save`.
  ///   - bias: `none`, `all`, or `lora_only`, `MiSS_only` …: those of adapted projections.
  init(modules: [String], bias: String = "none") {
    self.modules = modules
    self.bias = bias
  }

  /// Declares what trains along.
  ///
  /// - Parameter adapted: paths of the adapted projections, whose biases PEFT names otherwise.
  mutating func declare(
    in plan: inout ParameterArenaPlan, decoder: Decoder, adapted: Set<String>
  ) throws(PEFTError) {
    let parameters = decoder.trainableBaseParameters
    for module in modules {
      guard parameters.contains(where: { modulePath($0.name).hasSuffix(module) }) else {
        throw .nothingTargeted(
          selection: "modules_to_save [\"\(module)\"]",
          available: Set(parameters.map { lastComponent(modulePath($0.name)) }).sorted())
      }
    }
    for parameter in parameters {
      let path = modulePath(parameter.name)
      let isSaved = modules.contains { path.hasSuffix($0) }
      let isBias = parameter.name.hasSuffix(".bias")
      let isAdapted = isBias && adapted.contains(path)
      let isTrainedBias = isBias && (bias == "all" || (bias.hasSuffix("_only") && isAdapted))
      guard isSaved || isTrainedBias else { continue }
      let key =
        isAdapted
        ? "\(huggingFacePrefix)\(path).base_layer.bias" : huggingFacePrefix + parameter.name
      slots.append((plan.declare(key, shape: parameter.shape), parameter.name))
    }
  }

  /// Moves them into the arena.
  func attach(to decoder: Decoder, arena: ParameterArena) throws(ModelError) {
    for (slot, parameter) in slots {
      // PEFT trains copies: a tied head or table that is not itself named stays as it was.
      try decoder.train(
        parameter: parameter, values: arena.values(slot), gradient: arena.gradients(slot),
        tied: false)
    }
  }

  /// Puts a trained tensor in the base's place; returns whether it is one.
  func merge(into values: MatrixView, of name: String, arena: ParameterArena) -> Bool {
    guard let (slot, _) = slots.first(where: { $0.parameter == name }) else { return false }
    values.copy(from: arena.values(slot).reshaped(rows: values.rows, columns: values.columns))
    return true
  }
}
