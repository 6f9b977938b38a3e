import Foundation
import JSON

/// A chat template: the Jinja of `tokenizer_config.json`, rendered as transformers renders it.
///
/// ```swift
/// let template = try Template("{% for m in messages %}{{ m.content }}{% endfor %}", name: "chat")
/// let rendering = try template.render([("messages", messages)], tracing: "messages")
/// ```
///
/// It gives the text of `apply_chat_template` (transformers 5, Jinja 3.1), character by character: blocks
/// are trimmed and left-stripped, `tojson` writes Python's JSON without HTML escapes, lists and
/// dictionaries do not change. It knows the part of Jinja that published templates use; another
/// statement, filter, test or method is refused by name and line when the template is read. It does
/// not know inheritance, includes, recursive loops and formatting with `%`. What a rendering may take of
/// steps, memory and nesting is limited (`Budget`). Any number of threads
/// may use one template at once.
package struct Template: Sendable {
  /// What errors call it: a path, mostly.
  package let name: String
  /// Whether it marks what the assistant says with `{% generation %}`.
  package let marksGeneration: Bool
  private let statements: [Statement]
  /// Bytes of a template's text: fifty times the longest that is published.
  private static let sourceLimit = 1 << 20

  /// Reads a template.
  ///
  /// - Throws: `syntax`, or `unsupported` with what this program does not know of Jinja.
  package init(_ source: String, name: String) throws(TemplateError) {
    if source.utf8.count > Self.sourceLimit {
      throw .syntax(
        template: name, line: 1,
        problem: "the template has \(source.utf8.count) bytes, more than \(Self.sourceLimit)")
    }
    var scanner = TemplateScanner(source, template: name)
    var parser = TemplateParser(try scanner.scan(), template: name)
    self.name = name
    statements = try parser.statements()
    marksGeneration = Self.hasGeneration(statements)
  }

  /// Renders the template.
  ///
  /// - Parameters:
  ///   - variables: what the template sees, by name.
  ///   - list: the variable, a list of objects, whose items' output is noted.
  ///   - now: what `strftime_now` tells, in local time.
  /// - Throws: `raised` where the template refuses the variables; `evaluation` where it does
  ///   something with them that cannot be done.
  package func render(
    _ variables: [(name: String, value: JSONNode)], tracing list: String? = nil,
    now: Date = Date()
  ) throws(TemplateError) -> Rendering {
    var values: [String: Value] = [:]
    for (name, node) in variables { values[name] = Value(node) }
    let traced = list.flatMap { values[$0]?.items }?.compactMap(\.dictionary) ?? []
    let renderer = Renderer(template: name, now: now, tracing: traced)
    let scope = Scope(nil, values)
    // A macro holds the scope that holds it.
    defer { scope.forget() }
    _ = try renderer.run(statements, scope)
    return Rendering(
      text: renderer.output, generationRanges: renderer.generationRanges,
      itemRanges: renderer.itemRanges)
  }

  private static func hasGeneration(_ statements: [Statement]) -> Bool {
    statements.contains { statement in
      switch statement.kind {
      case .generation: true
      case .loop(_, _, _, let body, let otherwise):
        hasGeneration(body) || hasGeneration(otherwise)
      case .condition(let branches): branches.contains { hasGeneration($0.body) }
      case .with(_, let body), .filter(let body, _): hasGeneration(body)
      case .macro(let syntax): hasGeneration(syntax.body)
      default: false
      }
    }
  }
}

/// What a template made of a conversation.
package struct Rendering: Sendable {
  package let text: String
  /// The parts inside `{% generation %}`, as ranges of UTF-8 bytes.
  package let generationRanges: [Range<Int>]
  /// By index in the traced list, the parts that came while a loop stood at that item, as ranges of
  /// UTF-8 bytes.
  package let itemRanges: [Int: [Range<Int>]]
}
