import JSON
import Templates
import Testing

@Suite("What templates are refused for")
struct TemplateErrorTests {
  private func error(_ source: String) -> TemplateError? {
    do throws(TemplateError) {
      _ = try Template(source, name: "t").render([("x", .integer(1))])
      return nil
    } catch { return error }
  }

  @Test(
    "A part of Jinja that is not known is named with its line",
    arguments: [
      ("a\n{% include 'b' %}", "statement", "include", 2),
      ("{{ x\n | urlize }}", "filter", "urlize", 2),
      ("{% if x is escaped %}{% endif %}", "test", "escaped", 1),
      ("\n\n{{ 'a'.encode() }}", "method", "encode", 3),
      ("{% for a in x recursive %}{% endfor %}", "loop", "recursive", 1),
    ])
  func unsupported(source: String, part: String, name: String, line: Int) {
    #expect(error(source) == .unsupported(template: "t", line: line, part: part, name: name))
  }

  @Test("Lists cannot be changed, as in the sandbox")
  func append() { #expect(error("{{ [].append(1) }}") != nil) }

  @Test("raise_exception gives its message and line")
  func raised() {
    #expect(
      error("\n{{ raise_exception('roles must alternate') }}")
        == .raised(template: "t", line: 2, message: "roles must alternate"))
  }

  @Test(
    "Broken templates are syntax errors",
    arguments: [
      "{{ x", "{% if x %}", "{# x", "{{ (x }}", "{{ 'x }}", "{% endif %}",
      "{% for x %}{% endfor %}",
      "{% break %}", "{{ x ! y }}", "{% raw %}", "{{ }}",
    ])
  func syntax(source: String) { #expect(error(source) != nil) }

  @Test(
    "What Python refuses is refused",
    arguments: ["{{ y.z }}", "{{ 1 + 'a' }}", "{{ none | length }}", "{{ f() }}", "{{ 1 // 0 }}"])
  func evaluation(source: String) {
    guard case .evaluation? = error(source) else {
      Issue.record("\(source) gave \(error(source)?.description ?? "no error")")
      return
    }
  }

  @Test("A loop over the traced list tells where each item's output lies")
  func traced() throws {
    let template = try Template(
      "<{% for m in ms[1:] %}{{ m.a }}{% generation %}!{{ m.a }}{% endgeneration %}{% endfor %}>",
      name: "t")
    let list = try JSONNode(parsing: #"[{"a": "é"}, {"a": "xy"}, {"a": "z"}]"#)
    let rendering = try template.render([("ms", list)], tracing: "ms")
    #expect(rendering.text == "<xy!xyz!z>")
    #expect(rendering.itemRanges == [1: [1..<6], 2: [6..<9]])
    #expect(rendering.generationRanges == [3..<6, 7..<9])
  }
}
