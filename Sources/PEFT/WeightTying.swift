import Model
import Patterns

/// PEFT's `ensure_weight_tying`: what is done to the token table is done to a head that is tied to it,
/// and nothing to the head alone.
///
/// It asks for the names `embed_tokens` and `lm_head`, so that on GPT-2 naming `wte` has no effect.
enum WeightTying {
  private static let names = ["embed_tokens", "lm_head"]

  /// Whether any of `modules_to_save` is an embedding.
  static func concerns(_ modules: [String]) -> Bool {
    modules.contains { names.contains(lastComponent($0)) }
  }

  /// Whether `target_modules` names an embedding.
  static func concerns(_ selector: ModuleTargeting.Selector) throws(PEFTError) -> Bool {
    switch selector {
    case .list(let targets): return concerns(targets)
    case .allLinear: return false
    case .expression(let expression):
      for name in names where try ModuleTargeting.wholeMatch(name, expression) { return true }
      return false
    }
  }

  /// `modules_to_save` with the table and, as PEFT writes it, without the head.
  static func tied(_ modules: [String], of decoder: Decoder) throws(PEFTError) -> [String] {
    var modules = modules
    if !modules.contains(decoder.tablePath) { modules.append(decoder.tablePath) }
    for (index, module) in modules.enumerated()
    where try ModuleTargeting.isAround(module, decoder.head.path) {
      modules.remove(at: index)
      break
    }
    return modules
  }
}
