/// Jinja's filters that need nothing but their value and arguments; `Renderer` has the others.
enum Filter {
  static let names: Set<String> = [
    "trim", "tojson", "length", "count", "upper", "lower", "capitalize", "title", "join", "first",
    "last", "list", "items", "dictsort", "map", "selectattr", "rejectattr", "select", "reject",
    "default", "d", "string", "int", "float", "abs", "round", "replace", "unique", "indent",
    "safe", "sort", "reverse", "sum", "min", "max",
  ]

  static func apply(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "trim":
      return .string(PythonText.strip(value.text, try arguments.bind("chars")["chars"]?.string))
    case "upper": return .string(value.text.uppercased())
    case "lower": return .string(value.text.lowercased())
    case "capitalize": return .string(PythonText.capitalize(value.text))
    case "title": return .string(PythonText.titleFilter(value.text))
    case "string", "safe": return .string(value.text)
    case "tojson": return try json(value, arguments)
    case "default", "d":
      let given = try arguments.bind("default_value", "boolean")
      let isMissing = value.isUndefined || (given["boolean"]?.isTrue ?? false) && !value.isTrue
      return isMissing ? given["default_value"] ?? .string("") : value
    case "replace":
      let given = try arguments.bind("old", "new", "count")
      return .string(
        PythonText.replace(
          value.text, given["old"]?.text ?? "", given["new"]?.text ?? "",
          limit: try arguments.integer(given["count"], "count", default: -1)))
    case "indent": return try indent(value.text, arguments)
    case "int", "float", "abs", "round": return try number(name, value, arguments)
    case "items":
      if value.isUndefined { return .list([]) }
      guard value.dictionary != nil else {
        throw arguments.failure("'items' needs a dictionary, not \(value.typeName)")
      }
      return try Method.call(value, "items", arguments)
    case "dictsort": return try sortedMembers(value, arguments)
    default: return try list(name, value, arguments)
    }
  }

  private static func list(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let items = try arguments.items(value)
    switch name {
    case "length", "count": return .integer(items.count)
    case "first": return items.first ?? .undefined("the first of nothing")
    case "last": return items.last ?? .undefined("the last of nothing")
    case "list": return .list(items)
    case "reverse":
      if case .string = value { return .string(items.reversed().map(\.text).joined()) }
      return .list(items.reversed())
    case "join":
      let given = try arguments.bind("d", "attribute")
      var parts: [String] = []
      for item in items {
        parts.append(try attribute(given["attribute"], of: item, arguments).text)
      }
      return .string(parts.joined(separator: given["d"]?.text ?? ""))
    case "unique":
      let given = try arguments.bind("case_sensitive", "attribute")
      var seen: [Value] = []
      var kept: [Value] = []
      for item in items {
        let key = folded(
          try attribute(given["attribute"], of: item, arguments), given["case_sensitive"])
        if seen.contains(where: { Value.equal($0, key) }) { continue }
        seen.append(key)
        kept.append(item)
      }
      return .list(kept)
    case "sum":
      let given = try arguments.bind("attribute", "start")
      var total = given["start"] ?? .integer(0)
      for item in items {
        let part = try attribute(given["attribute"], of: item, arguments)
        guard let next = Value.arithmetic("+", total, part) else {
          throw arguments.failure("\(part.typeName) cannot be added to \(total.typeName)")
        }
        total = next
      }
      return total
    case "min", "max":
      let given = try arguments.bind("case_sensitive", "attribute")
      let ordered = try sorted(items, given, arguments)
      return (name == "min" ? ordered.first : ordered.last) ?? .undefined("the \(name) of nothing")
    default:
      let given = try arguments.bind("reverse", "case_sensitive", "attribute")
      let isReversed = given["reverse"]?.isTrue ?? false
      // Python keeps the order of equals in a reversed sort too.
      let ordered = try sorted(isReversed ? items.reversed() : items, given, arguments)
      return .list(isReversed ? ordered.reversed() : ordered)
    }
  }

  /// `sort`: stable, without regard to case unless asked.
  private static func sorted(
    _ items: [Value], _ given: [String: Value], _ arguments: CallArguments
  ) throws(TemplateError) -> [Value] {
    var keyed: [(key: Value, value: Value)] = []
    for item in items {
      let key = folded(
        try attribute(given["attribute"], of: item, arguments), given["case_sensitive"])
      if let other = keyed.first?.key, Value.precedes(other, key) == nil {
        throw arguments.failure("\(key.typeName) and \(other.typeName) have no order")
      }
      keyed.append((key, item))
    }
    return keyed.enumerated().sorted {
      if Value.precedes($0.element.key, $1.element.key) ?? false { return true }
      if Value.precedes($1.element.key, $0.element.key) ?? false { return false }
      return $0.offset < $1.offset
    }.map(\.element.value)
  }

  private static func folded(_ value: Value, _ caseSensitive: Value?) -> Value {
    if caseSensitive?.isTrue ?? false { return value }
    return value.string.map { .string($0.lowercased()) } ?? value
  }

  /// `a.b.0` of an item, as `map(attribute=…)` takes it; the item itself where no path is given.
  static func attribute(
    _ path: Value?, of item: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    guard let path else { return item }
    var value = item
    for part in PythonText.split(path.text, ".") {
      let key: Value = Int(part).map { .integer($0) } ?? .string(part)
      guard let next = Lookup.item(key, of: value) else {
        throw arguments.failure("'\(part)' of something undefined")
      }
      value = next
    }
    return value
  }

  private static func sortedMembers(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    guard value.dictionary != nil else {
      throw arguments.failure("'dictsort' needs a dictionary, not \(value.typeName)")
    }
    let given = try arguments.bind("case_sensitive", "by", "reverse")
    var inner = arguments
    inner.positional = []
    inner.named = [("attribute", .integer(given["by"]?.string == "value" ? 1 : 0))]
    if let value = given["case_sensitive"] { inner.named.append(("case_sensitive", value)) }
    if let value = given["reverse"] { inner.named.append(("reverse", value)) }
    var members = arguments
    (members.positional, members.named) = ([], [])
    return try list("sort", try Method.call(value, "items", members), inner)
  }

  private static func json(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let given = try arguments.bind("ensure_ascii", "indent", "separators", "sort_keys")
    var style = Value.JSONStyle()
    style.escapesNonASCII = given["ensure_ascii"]?.isTrue ?? false
    style.sortsKeys = given["sort_keys"]?.isTrue ?? false
    if let count = given["indent"]?.integer {
      style.indentation = String(repeating: " ", count: max(0, count))
    } else if let text = given["indent"]?.string {
      style.indentation = text
    }
    if style.indentation != nil { style.itemSeparator = "," }
    if let separators = given["separators"]?.items, separators.count == 2 {
      style.itemSeparator = separators[0].text
      style.keySeparator = separators[1].text
    }
    guard let text = value.json(style) else {
      throw arguments.failure("'tojson' met a value that JSON has not, in \(value.typeName)")
    }
    return .string(text)
  }

  private static func indent(
    _ text: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let given = try arguments.bind("width", "first", "blank")
    var indentation = given["width"]?.string
    if indentation == nil {
      let width = try arguments.integer(given["width"], "width", default: 4)
      indentation = String(repeating: " ", count: max(0, width))
    }
    let inner = indentation ?? ""
    let indentsBlank = given["blank"]?.isTrue ?? false
    let lines = PythonText.lines(text + "\n")
    let others = lines.dropFirst().map { $0.isEmpty && !indentsBlank ? $0 : inner + $0 }
    let first = given["first"]?.isTrue ?? false ? inner : ""
    return .string(first + ([lines[0]] + others).joined(separator: "\n"))
  }

  private static func number(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case "int":
      let otherwise = try arguments.bind("default")["default"] ?? .integer(0)
      if let integer = value.integer { return .integer(integer) }
      let number = value.double ?? value.string.flatMap { Double(PythonText.strip($0)) }
      if let text = value.string, let exact = Int(PythonText.strip(text)) { return .integer(exact) }
      return number.flatMap { Int(exactly: $0.rounded(.towardZero)) }.map { .integer($0) }
        ?? otherwise
    case "float":
      let otherwise = try arguments.bind("default")["default"] ?? .double(0)
      let number = value.double ?? value.string.flatMap { Double(PythonText.strip($0)) }
      return number.map { .double($0) } ?? otherwise
    case "abs":
      if let integer = value.integer, integer != .min { return .integer(abs(integer)) }
      guard let number = value.double else {
        throw arguments.failure("'abs' needs a number, not \(value.typeName)")
      }
      return .double(abs(number))
    default:
      let given = try arguments.bind("precision", "method")
      guard let number = value.double else {
        throw arguments.failure("'round' needs a number, not \(value.typeName)")
      }
      var scale = 1.0
      let precision = try arguments.integer(given["precision"], "precision", default: 0)
      for _ in 0..<min(15, max(0, precision)) {
        scale *= 10
      }
      let rule: FloatingPointRoundingRule =
        switch given["method"]?.string {
        case "ceil": .up
        case "floor": .down
        default: .toNearestOrEven
        }
      return .double((number * scale).rounded(rule) / scale)
    }
  }
}

/// `value[key]` and `value.name`.
enum Lookup {
  /// `value[key]`: the item, else the method of that name; nil where the value is undefined.
  static func item(_ key: Value, of value: Value) -> Value? {
    switch value {
    case .undefined: return nil
    case .dictionary(let dictionary):
      if let name = key.string, let found = dictionary[name] { return found }
    case .list, .tuple, .string:
      if let index = key.integer, let items = value.items {
        let place = index < 0 ? index + items.count : index
        if items.indices.contains(place) { return items[place] }
      }
    default: break
    }
    return key.string.map { own($0, of: value) } ?? .undefined("item \(key.representation)")
  }

  /// `value.name`: what belongs to the value, else its item; nil where the value is undefined.
  static func attribute(_ name: String, of value: Value) -> Value? {
    if value.isUndefined { return nil }
    let found = own(name, of: value)
    if found.isUndefined, let dictionary = value.dictionary, let item = dictionary[name] {
      return item
    }
    return found
  }

  private static func own(_ name: String, of value: Value) -> Value {
    if Method.exists(name, of: value) { return .method(value, name) }
    let missing = Value.undefined("'\(name)' of \(value.typeName)")
    switch value {
    case .namespace(let namespace): return namespace.members[name] ?? missing
    case .loop(let loop):
      let (index, count) = (loop.index, loop.items.count)
      switch name {
      case "index": return .integer(index + 1)
      case "index0": return .integer(index)
      case "revindex": return .integer(count - index)
      case "revindex0": return .integer(count - index - 1)
      case "first": return .bool(index == 0)
      case "last": return .bool(index == count - 1)
      case "length": return .integer(count)
      // Jinja counts the levels of a recursive loop, which are not known here.
      case "depth": return .integer(1)
      case "depth0": return .integer(0)
      case "previtem": return index > 0 ? loop.items[index - 1] : missing
      case "nextitem": return index + 1 < count ? loop.items[index + 1] : missing
      default: return missing
      }
    default: return missing
    }
  }
}
