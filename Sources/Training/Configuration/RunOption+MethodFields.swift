import JSON
import PEFT

extension RunOption {
  /// Fields of the methods' configurations in Hugging Face's spelling, as the methods declare them.
  ///
  /// A name that several methods have is one option: which kind, default and meaning it has follows
  /// from the method. None has a default here, so that what nobody set is the method's to decide.
  static let methodFields: [RunOption] = {
    var keys: [String] = []
    var declarations: [String: [Declaration]] = [:]
    for method in PEFTMethods.names {
      for field in PEFTMethods.fields(of: method) {
        if declarations[field.key] == nil { keys.append(field.key) }
        declarations[field.key, default: []].append(Declaration(method: method, field: field))
      }
    }
    return keys.compactMap { key in declarations[key].flatMap { RunOption(key, $0) } }
  }()

  private init?(_ key: String, _ declarations: [Declaration]) {
    guard let first = declarations.first?.field else { return nil }
    var parts: [(methods: [String], help: String)] = []
    for declaration in declarations {
      let help = declaration.field.helpWithDefault
      if let index = parts.firstIndex(where: { $0.help == help }) {
        parts[index].methods.append(declaration.method)
      } else {
        parts.append(([declaration.method], help))
      }
    }
    let help = parts.map { "\($0.methods.joined(separator: ", ")): \($0.help)" }
    self.init(
      key, first.kind, first.valueName, help.joined(separator: "; "), group: .method,
      resumption: .mustMatch, declarations: declarations)
  }

  /// A method's own field behind this option, and the value as that field reads it.
  ///
  /// - Returns: nil where the method has no such field or cannot have the value.
  func field(of method: String, _ value: JSONValue) -> (name: String, value: JSONValue)? {
    guard let field = declarations.first(where: { $0.method == method })?.field else { return nil }
    // A text may have been read as another method's kind of value: true as a truth value.
    guard let value = field.kind.value(of: value) ?? field.kind.value(of: value.text()) else {
      return nil
    }
    return (field.name, value)
  }
}
