import JSON
import PEFT

extension RunOption {
  /// The JSON Schema (draft 7) of the YAML file, for editors that complete and check while one types.
  ///
  /// It is made of the table, and so knows every key, kind, bound, default and help that `train` does.
  public static var schema: String {
    let properties = all.map { option in
      "    \(JSONText.quoted(option.key)): \(option.schemaMembers.text)"
    }
    return """
      {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A run of swift-peft-train",
        "description": "The file that train takes with --config. The command line wins over it.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
      \(properties.joined(separator: ",\n"))
        }
      }

      """
  }

  /// Members of a JSON object, in order.
  private struct Members {
    var list: [(String, JSONValue)] = []

    var text: String {
      "{" + list.map { "\(JSONText.quoted($0)): \($1.text())" }.joined(separator: ", ") + "}"
    }
  }

  private var schemaMembers: Members {
    var members = Members(list: [("description", .string(help))])
    if let defaultValue { members.list.append(("default", defaultValue)) }
    let own = key == "method" ? FieldKind.choice(PEFTMethods.names) : kind
    let kinds = declarations.isEmpty ? [own] : declarations.map(\.field.kind)
    var schemas: [[(String, JSONValue)]] = []
    for kind in kinds.flatMap(Self.schemas(of:))
    where !schemas.contains(where: { Members(list: $0).text == Members(list: kind).text }) {
      schemas.append(kind)
    }
    // A key without a value is as good as none.
    schemas.append([("type", "null")])
    members.list.append(
      ("anyOf", .array(schemas.map { .object(Dictionary(uniqueKeysWithValues: $0)) })))
    return members
  }

  /// What a value of a kind may be in YAML.
  private static func schemas(of kind: FieldKind) -> [[(String, JSONValue)]] {
    let whole: [(String, JSONValue)] = [("type", "integer")]
    let text: [(String, JSONValue)] = [("type", "string")]
    let wholes: [(String, JSONValue)] = [("type", "array"), ("items", ["type": "integer"])]
    switch kind {
    case .flag: return [[("type", "boolean")]]
    case .integer(let minimum, let maximum):
      let bounds: [(String, JSONValue)] = [("minimum", .int(minimum))]
      return [whole + bounds + (maximum == .max ? [] : [("maximum", .int(maximum))])]
    case .number(let minimum, let maximum):
      var members: [(String, JSONValue)] = [("type", "number")]
      if minimum > -.greatestFiniteMagnitude { members.append(("minimum", .double(minimum))) }
      if maximum < .greatestFiniteMagnitude { members.append(("maximum", .double(maximum))) }
      return [members]
    case .choice(let names): return [[("enum", .array(names.map { .string($0) }))]]
    case .text, .path: return [text]
    case .textOrFlag, .optionalPath: return [text, [("type", "boolean")]]
    case .duration(let words):
      let pattern = "^([0-9.]+d)?([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?$"
      var schemas: [[(String, JSONValue)]] = [
        [("type", "string"), ("pattern", .string(pattern))], [("enum", ["0", 0])],
      ]
      if !words.isEmpty { schemas.append([("enum", .array(words.map { .string($0) }))]) }
      return schemas
    case .names: return [text, [("type", "array"), ("items", ["type": "string"])]]
    case .integers: return [whole, wholes, text]
    case .integersOrObject: return [whole, wholes, text, [("type", "object")]]
    case .numberOrObject: return [[("type", "number")], [("type", "object")]]
    case .object: return [[("type", "object")], text]
    }
  }
}
