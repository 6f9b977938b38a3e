/// The methods of texts, lists and dictionaries.
///
/// Those that change a value are missing on purpose: transformers' sandbox refuses them.
enum Method {
  private static let ofStrings: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith",
    "replace", "upper", "lower", "title", "capitalize", "join", "find", "index", "count",
    "isdigit", "isspace", "isalpha", "isupper", "islower", "removeprefix", "removesuffix",
  ]
  private static let ofDictionaries: Set<String> = ["items", "keys", "values", "get", "copy"]
  private static let ofLists: Set<String> = ["index", "count", "copy"]
  private static let ofLoops: Set<String> = ["cycle", "changed"]

  /// Every method of anything.
  static let names = ofStrings.union(ofDictionaries).union(ofLists).union(ofLoops)

  static func exists(_ name: String, of value: Value) -> Bool {
    switch value {
    case .string: ofStrings.contains(name)
    case .dictionary: ofDictionaries.contains(name)
    case .list, .tuple: ofLists.contains(name)
    case .loop: ofLoops.contains(name)
    default: false
    }
  }

  static func call(
    _ value: Value, _ name: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch value {
    case .string(let text): return try call(text, name, arguments)
    case .dictionary(let dictionary):
      switch name {
      case "items":
        return .list(dictionary.members.map { .tuple([.string($0.key), $0.value]) })
      case "keys": return .list(dictionary.members.map { .string($0.key) })
      case "values": return .list(dictionary.members.map(\.value))
      case "copy": return value
      default:
        let given = try arguments.bind("key", "default")
        let found = given["key"]?.string.flatMap { dictionary[$0] }
        return found ?? given["default"] ?? .none
      }
    case .list(let items), .tuple(let items):
      if name == "copy" { return value }
      let wanted = try arguments.bind("value")["value"] ?? .none
      if name == "count" { return .integer(items.count { Value.equal($0, wanted) }) }
      guard let index = items.firstIndex(where: { Value.equal($0, wanted) }) else {
        throw arguments.failure("\(wanted.representation) is not in the list")
      }
      return .integer(index)
    case .loop(let loop):
      if name == "cycle" {
        guard !arguments.positional.isEmpty else { throw arguments.failure("nothing to cycle") }
        return arguments.positional[loop.index % arguments.positional.count]
      }
      let values = arguments.positional
      let isSame = loop.lastChanged.map { Value.equal(.tuple($0), .tuple(values)) } ?? false
      loop.lastChanged = values
      return .bool(!isSame)
    default: throw arguments.failure("\(value.typeName) has no method '\(name)'")
    }
  }

  private static func call(
    _ text: String, _ name: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "strip", "lstrip", "rstrip":
      let given = try arguments.bind("chars")["chars"]
      return .string(
        PythonText.strip(
          text, given?.string, left: name != "rstrip", right: name != "lstrip"))
    case "split", "rsplit": return try split(text, name, arguments)
    case "splitlines": return .list(PythonText.lines(text).map { .string($0) })
    case "startswith", "endswith":
      let given = try arguments.bind("text")["text"] ?? .none
      var affixes = [given]
      if case .tuple(let several) = given { affixes = several }
      for affix in affixes {
        let part = try arguments.text(affix, "text")
        if name == "startswith" ? text.utf8.starts(with: part.utf8) : hasSuffix(text, part) {
          return .bool(true)
        }
      }
      return .bool(false)
    case "removeprefix":
      let part = try arguments.text(try arguments.bind("prefix")["prefix"], "prefix")
      let isThere = text.utf8.starts(with: part.utf8)
      return .string(
        isThere ? PythonText.string(text.unicodeScalars.dropFirst(part.unicodeScalars.count)) : text
      )
    case "removesuffix":
      let part = try arguments.text(try arguments.bind("suffix")["suffix"], "suffix")
      return .string(
        hasSuffix(text, part)
          ? PythonText.string(text.unicodeScalars.dropLast(part.unicodeScalars.count)) : text)
    case "replace":
      let given = try arguments.bind("old", "new", "count")
      return .string(
        PythonText.replace(
          text, try arguments.text(given["old"], "old"), try arguments.text(given["new"], "new"),
          limit: try arguments.integer(given["count"], "count", default: -1)))
    case "upper": return .string(text.uppercased())
    case "lower": return .string(text.lowercased())
    case "title": return .string(PythonText.title(text))
    case "capitalize": return .string(PythonText.capitalize(text))
    case "join":
      var parts: [String] = []
      for item in try arguments.items(try arguments.bind("items")["items"] ?? .none) {
        parts.append(try arguments.text(item, "items"))
      }
      return .string(parts.joined(separator: text))
    case "find", "index", "count":
      let part = try arguments.text(try arguments.bind("text")["text"], "text")
      if name == "count" {
        let isEmpty = part.isEmpty
        return .integer(
          isEmpty ? text.unicodeScalars.count + 1 : PythonText.split(text, part).count - 1)
      }
      let index = PythonText.find(Array(part.unicodeScalars), in: Array(text.unicodeScalars))
      if index == nil, name == "index" { throw arguments.failure("the text is not found") }
      return .integer(index ?? -1)
    default: return .bool(hasOnly(text, name))
    }
  }

  private static func split(
    _ text: String, _ name: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let given = try arguments.bind("sep", "maxsplit")
    let limit = try arguments.integer(given["maxsplit"], "maxsplit", default: -1)
    let parts: [String]
    if let separator = given["sep"]?.string {
      guard !separator.isEmpty else { throw arguments.failure("the separator is empty") }
      parts =
        name == "split"
        ? PythonText.split(text, separator, limit: limit)
        : PythonText.splitFromRight(text, separator, limit: limit)
    } else {
      guard name == "split" || limit < 0 else {
        throw arguments.failure("rsplit with a limit needs a separator here")
      }
      parts = PythonText.words(text, limit: limit)
    }
    return .list(parts.map { .string($0) })
  }

  private static func hasSuffix(_ text: String, _ suffix: String) -> Bool {
    text.utf8.reversed().starts(with: suffix.utf8.reversed())
  }

  /// `isdigit` and its like: at least one character, and all of that kind.
  private static func hasOnly(_ text: String, _ name: String) -> Bool {
    let scalars = text.unicodeScalars
    switch name {
    case "isdigit":
      return !text.isEmpty
        && scalars.allSatisfy { [.decimal, .digit].contains($0.properties.numericType) }
    case "isspace": return !text.isEmpty && scalars.allSatisfy(PythonText.isSpace)
    case "isalpha":
      return !text.isEmpty
        && scalars.allSatisfy {
          switch $0.properties.generalCategory {
          case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            true
          default: false
          }
        }
    case "isupper":
      return scalars.contains { $0.properties.isUppercase }
        && !scalars.contains { $0.properties.isLowercase }
    default:
      return scalars.contains { $0.properties.isLowercase }
        && !scalars.contains { $0.properties.isUppercase }
    }
  }
}
