import Diagnostics
import JSON

/// A method's options as given: on the command line, in YAML, or in an `adapter_config.json`.
///
/// Names are Hugging Face's field names. Whoever interprets them asks for each field it knows;
/// `finish` then refuses what is left, because an option that is ignored misleads.
public final class MethodOptions {
  /// Where the options come from, for messages.
  public let source: String
  /// What the method declares.
  private let declared: [String: MethodField]
  /// The method's name, for messages.
  private let method: String?
  private let fields: [String: JSONValue]
  private var known: Set<String> = []

  /// Options from anywhere.
  public init(_ fields: [String: JSONValue], source: String) {
    self.fields = fields
    self.source = source
    declared = [:]
    method = nil
  }

  /// The same options, read by a method that declares these fields.
  init(_ options: MethodOptions, fields: [MethodField], method: String, source: String? = nil) {
    self.fields = options.fields
    self.source = source ?? options.source
    self.method = method
    declared = Dictionary(uniqueKeysWithValues: fields.map { ($0.name, $0) })
  }

  /// Other members, such as those of an object among the options, read by the same method.
  func inner(_ members: [String: JSONValue], source: String) -> MethodOptions {
    MethodOptions(
      MethodOptions(members, source: source), fields: Array(declared.values),
      method: method ?? "the method")
  }

  // MARK: Declared fields

  /// A declared field; asking for another is a mistake of ours.
  private func field(_ name: String) -> MethodField {
    guard let field = declared[name] else {
      preconditionFailure("\(method ?? "the method") declares no field '\(name)'")
    }
    return field
  }

  /// A declared field's value, checked against its kind; nil when absent or null.
  public func checked(_ name: String) throws(PEFTError) -> JSONValue? {
    let field = field(name)
    guard let value = value(name) else { return nil }
    guard let read = field.kind.value(of: value) else {
      throw wrong(name, value, field.kind.expectation)
    }
    return read
  }

  /// The same, or the default, which there must be.
  private func checkedOrDefault(_ name: String) throws(PEFTError) -> JSONValue {
    guard let value = try checked(name) ?? field(name).defaultValue else {
      preconditionFailure("the field '\(name)' has no default")
    }
    return value
  }

  /// A declared whole number.
  public func int(_ name: String) throws(PEFTError) -> Int {
    try checkedOrDefault(name).int ?? 0
  }

  /// A declared whole number; nil where none is given.
  public func optionalInt(_ name: String) throws(PEFTError) -> Int? { try checked(name)?.int }

  /// A declared number.
  public func double(_ name: String) throws(PEFTError) -> Double {
    try checkedOrDefault(name).double ?? 0
  }

  /// A declared truth value; a flag without a default is false.
  public func bool(_ name: String) throws(PEFTError) -> Bool {
    try (checked(name) ?? field(name).defaultValue)?.bool ?? false
  }

  /// A declared word.
  ///
  /// - Parameter name: the field's.
  /// - Parameter fallback: what stands in place of the declared default.
  public func word(_ name: String, default fallback: String? = nil) throws(PEFTError) -> String {
    if let fallback { return try checked(name)?.string ?? fallback }
    return try checkedOrDefault(name).string ?? ""
  }

  /// A declared list of names; empty where none is given.
  public func checkedStrings(_ name: String) throws(PEFTError) -> [String] {
    guard let value = try checked(name) else { return [] }
    return value.array?.compactMap(\.string) ?? value.string.map { [$0] } ?? []
  }

  // MARK: Fields that only files have

  /// A field's value; nil when absent or null.
  public func value(_ name: String) -> JSONValue? {
    known.insert(name)
    guard let value = fields[name], !value.isNull else { return nil }
    return value
  }

  /// A whole number within `range`.
  public func int(_ name: String, default fallback: Int, in range: ClosedRange<Int> = 1...1 << 24)
    throws(PEFTError) -> Int
  {
    guard let value = value(name) else { return fallback }
    guard let number = value.int, range.contains(number) else {
      throw wrong(name, value, "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// A number.
  public func double(
    _ name: String, default fallback: Double
  ) throws(PEFTError) -> Double {
    guard let value = value(name) else { return fallback }
    guard let number = value.double else { throw wrong(name, value, "a number") }
    return number
  }

  /// A truth value.
  public func bool(_ name: String, default fallback: Bool) throws(PEFTError) -> Bool {
    guard let value = value(name) else { return fallback }
    guard let truth = value.bool else { throw wrong(name, value, "true or false") }
    return truth
  }

  /// A list of strings; a single string counts as a list of one.
  public func strings(_ name: String) throws(PEFTError) -> [String]? {
    guard let value = value(name) else { return nil }
    if let text = value.string { return [text] }
    guard let elements = value.array else { throw wrong(name, value, "a list of strings") }
    var result: [String] = []
    for element in elements {
      guard let text = element.string else { throw wrong(name, value, "a list of strings") }
      result.append(text)
    }
    return result
  }

  /// An object of numbers.
  public func numbers(_ name: String) throws(PEFTError) -> [String: Double] {
    guard let value = value(name) else { return [:] }
    guard let members = value.object else { throw wrong(name, value, "an object of numbers") }
    var result: [String: Double] = [:]
    for (key, member) in members {
      guard let number = member.double else { throw wrong(name, value, "an object of numbers") }
      result[key] = number
    }
    return result
  }

  /// Knows a field that changes nothing here.
  public func ignore(_ names: String...) { known.formUnion(names) }

  /// Refuses every value of a field but the empty ones (`null`, `false`, `{}`, `[]`).
  public func refuse(_ names: String..., expected: String = "null") throws(PEFTError) {
    for name in names {
      guard let value = value(name), !value.isEmpty else { continue }
      throw wrong(name, value, expected)
    }
  }

  /// Checks the fields that all methods share, and knows them.
  public func readCommon(peftType: String) throws(PEFTError) {
    if let type = value("peft_type"), type.string != peftType {
      throw wrong("peft_type", type, peftType)
    }
    if let task = value("task_type"), task.string != "CAUSAL_LM" {
      throw wrong("task_type", task, "CAUSAL_LM")
    }
    ignore(
      "base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping")
  }

  /// Refuses fields that nobody asked for and that say something.
  public func finish() throws(PEFTError) {
    for (name, value) in fields.sorted(by: { $0.key < $1.key })
    where !known.contains(name) && !value.isEmpty {
      throw .unknownField(
        name: name, value: value.text(), source: source, nearest: nearest(to: name),
        takenBy: PEFTMethods.methods(taking: name))
    }
  }

  /// The error for a field's value.
  public func wrong(_ name: String, _ value: JSONValue, _ expected: String) -> PEFTError {
    .unsupportedField(name: name, value: value.text(), expected: expected, source: source)
  }

  private func nearest(to name: String) -> String? {
    nearestName(to: name, among: known.union(declared.keys).sorted())
  }
}
