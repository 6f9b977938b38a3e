/// What one rendering may take: steps, memory and nesting.
///
/// A chat template is a program from a stranger: without a measure, loops in loops, texts that double
/// and macros that call themselves would end in a hang, a full memory or a crash. The limits are about
/// a hundred times what long conversations in published templates take.
final class Budget {
  /// Expressions, statements and rounds of loops, with the work of functions on long values.
  static let steps = 5_000_000
  /// Bytes of one text, and of all that are made.
  static let textBytes = 64 << 20
  static let madeBytes = 1 << 30
  /// Lists, dictionaries and namespaces inside each other; parsed JSON has up to 128 levels.
  static let valueDepth = 200
  /// Elements of a value, those of its elements counted too.
  static let valueSize = 1_000_000
  /// Expressions, statements and macros inside each other.
  static let callDepth = 400

  let template: String
  private var steps = 0
  private var bytes = 0
  private var depth = 0

  init(template: String) { self.template = template }

  func failure(_ line: Int, _ what: String) -> TemplateError {
    .evaluation(
      template: template, line: line,
      problem: "\(what); no published template does, compare it with the model's page")
  }

  /// Counts work: a step, and those that `amount` units of a function's work come to.
  @inline(__always)
  func spend(_ line: Int, _ amount: Int = 0) throws(TemplateError) {
    steps += 1 + amount
    if steps > Self.steps { throw failure(line, "the rendering takes too many steps") }
  }

  func enter(_ line: Int) throws(TemplateError) {
    depth += 1
    if depth > Self.callDepth {
      throw failure(line, "calls and expressions are nested deeper than \(Self.callDepth)")
    }
  }

  func leave() { depth -= 1 }

  /// Refuses a text of so many bytes before it is made.
  func allowText(_ line: Int, _ count: Int) throws(TemplateError) {
    if count > Self.textBytes {
      throw failure(line, "a text becomes longer than \(Self.textBytes >> 20) MiB")
    }
  }

  /// Counts the bytes of a value that was made.
  func take(_ line: Int, _ value: Value) throws(TemplateError) {
    let count: Int
    switch value {
    case .string(let text):
      count = text.utf8.count
      try allowText(line, count)
    case .list(let items), .tuple(let items): count = 16 * items.count
    default: return
    }
    try take(line, bytes: count)
  }

  func take(_ line: Int, bytes count: Int) throws(TemplateError) {
    bytes += count
    if bytes > Self.madeBytes {
      throw failure(line, "the rendering makes more than \(Self.madeBytes >> 30) GiB of text")
    }
  }

  /// Walks over a value of values: neither its depth nor the size it has when written out may pass
  /// all measure, however often it holds the same.
  func weigh(_ line: Int, _ value: Value) throws(TemplateError) {
    var left = Self.valueSize
    let isFine = Self.walk(value, depth: 0, &left)
    try spend(line, (Self.valueSize - left) / 8)
    if !isFine {
      throw failure(
        line,
        left > 0
          ? "values are nested deeper than \(Self.valueDepth)"
          : "a list grows beyond \(Self.valueSize) elements")
    }
  }

  /// False where a value is too deep, or larger than what is left.
  private static func walk(_ value: Value, depth: Int, _ left: inout Int) -> Bool {
    left -= 1
    if left <= 0 || depth > valueDepth { return false }
    switch value {
    case .list(let items), .tuple(let items):
      for item in items where !walk(item, depth: depth + 1, &left) { return false }
    case .dictionary(let dictionary):
      for member in dictionary.members where !walk(member.value, depth: depth + 1, &left) {
        return false
      }
    case .namespace(let namespace):
      for member in namespace.members.values where !walk(member, depth: depth + 1, &left) {
        return false
      }
    case .loop(let loop):
      for item in loop.items where !walk(item, depth: depth + 1, &left) { return false }
    default: break
    }
    return true
  }

  /// The work that a function does on values, in steps.
  static func work(_ value: Value) -> Int {
    switch value {
    case .string(let text): text.utf8.count / 64
    case .list(let items), .tuple(let items): items.count / 4
    case .dictionary(let dictionary): dictionary.members.count / 4
    default: 0
    }
  }

  /// The bytes that writing a value out takes, at most about.
  static func written(_ value: Value) -> Int {
    switch value {
    case .string(let text): return text.utf8.count
    case .list(let items), .tuple(let items):
      return items.reduce(0) { saturated($0, written($1) + 2) }
    case .dictionary(let dictionary):
      return dictionary.members.reduce(0) {
        saturated($0, $1.key.utf8.count + written($1.value) + 4)
      }
    default: return 16
    }
  }

  static func saturated(_ a: Int, _ b: Int) -> Int {
    let (sum, overflows) = a.addingReportingOverflow(b)
    return overflows ? .max : sum
  }

  static func product(_ a: Int, _ b: Int) -> Int {
    let (product, overflows) = a.multipliedReportingOverflow(by: b)
    return overflows ? .max : product
  }
}

extension Renderer {
  /// Refuses a call whose outcome or work is beyond measure, before it is made.
  func allow(
    _ name: String, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) {
    let line = arguments.line
    let given = arguments.positional + arguments.named.map(\.value)
    let size = value.string?.utf8.count ?? value.items?.count ?? 0
    let longest = given.map { $0.string?.utf8.count ?? 0 }.max() ?? 0
    // A search for one text in another, or a set's growth.
    var work = Budget.work(value) + given.reduce(0) { $0 + Budget.work($1) }
    if value.string != nil {
      work = Budget.saturated(work, Budget.product(size, longest) / 256)
    } else if name == "unique" || name == "sort" || name == "dictsort" {
      work = Budget.saturated(work, name == "unique" ? Budget.product(size, size) / 8 : 8 * size)
    }
    try budget.spend(line, min(work, Budget.steps))
    switch name {
    case "replace":
      try budget.allowText(line, Budget.saturated(size, Budget.product(size + 1, longest)))
    case "join":
      let written =
        value.string == nil
        ? Budget.written(value) : given.reduce(0) { Budget.saturated($0, Budget.written($1)) }
      let parts = max(value.items?.count ?? 0, given.first?.items?.count ?? 0)
      let separator = value.string?.utf8.count ?? longest
      try budget.allowText(line, Budget.saturated(written, Budget.product(parts, separator)))
    case "indent", "tojson":
      let width = max(longest, given.compactMap(\.integer).max() ?? 0)
      if width > 10_000 { throw budget.failure(line, "\(arguments.callee) indents by \(width)") }
      try budget.allowText(
        line,
        name == "indent"
          ? Budget.product(size, width + 1)
          : Budget.product(Budget.written(value), width == 0 ? 1 : 4 * width))
    default: break
    }
  }
}
