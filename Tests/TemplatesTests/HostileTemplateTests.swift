import Foundation
import JSON
import Templates
import TestSupport
import Testing

@Suite("Templates that would take all time or memory")
struct HostileTemplateTests {
  private static func nested(_ open: String, _ inside: String, _ close: String, _ count: Int)
    -> String
  {
    String(repeating: open, count: count) + inside + String(repeating: close, count: count)
  }

  static let sources: [String] = [
    // Nesting of expressions, operators and blocks.
    "{{ \(nested("(", "1", ")", 50_000)) }}", "{{ \(nested("[", "1", "]", 50_000)) }}",
    "{{ \(nested("{'a':", "1", "}", 20_000)) }}", "{{ \(nested("not ", "1", "", 100_000)) }}",
    "{{ \(nested("-", "1", "", 100_000)) }}", "{{ \(nested("1 + ", "1", "", 100_000)) }}",
    "{{ \(nested("1 ~ ", "1", "", 2000)) }}" + "{{ \(nested("x.a", "", "", 1)) }}",
    "{{ x\(nested(".a", "", "", 100_000)) }}", "{{ x\(nested("[0]", "", "", 100_000)) }}",
    "{{ x\(nested("|list", "", "", 100_000)) }}",
    "{{ 1\(nested(" if 1 else 1", "", "", 50_000)) }}",
    "{{ \(nested("1 if 1 else ", "1", "", 50_000)) }}",
    "{{ \(nested("1 and ", "1", "", 50_000)) }}",
    "{{ \(nested("1 or ", "1", "", 50_000)) }}", "{{ \(nested("2 ** ", "1", "", 50_000)) }}",
    nested("{% if 1 %}", "x", "{% endif %}", 20_000),
    nested("{% for a in [1] %}", "x", "{% endfor %}", 20_000),
    nested("{% with a = 1 %}", "x", "{% endwith %}", 20_000),
    nested("{% macro f() %}", "x", "{% endmacro %}", 20_000),
    nested("{% filter upper %}", "x", "{% endfilter %}", 20_000),
    "{% set \(nested("(", "a", ")", 50_000)) = 1 %}",
    String(repeating: "{{ 1 }}", count: 200_000),
    // Loops.
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% for a in range(100000) if false %}{% endfor %}"
      + nested(
        "{% for a in range(1000) %}", "{% set x = 1 %}", "{% endfor %}", 10),
    "{% set ns = namespace(n=0) %}{% for a in range(100000) %}{% for b in range(9999) %}"
      + "{% set ns.n = ns.n + 1 %}{% endfor %}{% endfor %}",
    // Texts that grow.
    "{{ 'a' * 100000000000 }}", "{{ 9999999999 * 'abc' }}", "{{ [1] * 10000000000 }}",
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}"
      + "{% set ns.s = ns.s | replace('a', 'aaaa') %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}"
      + "{% set ns.s = ns.s.replace('', ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}{% set ns.s = ns.s.join(['a', 'b', 'c'])"
      + " %}{% endfor %}",
    "{% set s = 'a' * 10000000 %}{% for i in range(100000) %}{{ s }}{% endfor %}",
    "{% set s = 'a' * 10000000 %}{% for i in range(100000) %}{% set t = s ~ i %}{% endfor %}",
    "{{ 'a\\nb' | indent(1000000000) }}", "{{ [1, [2, [3]]] | tojson(indent=1000000000) }}",
    "{% set s %}{% for i in range(100000) %}{{ 'a' * 100000 }}{% endfor %}{% endset %}",
    "{{ ('a' * 1000000) in ('a' * 30000000 ~ 'b') }}",
    "{{ ('a' * 30000000).split('a' * 1000000 ~ 'b') | length }}",
    "{{ ('a' * 30000000).count('a' * 1000000 ~ 'b') }}",
    // Lists that grow, and values inside each other.
    "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"
      + "{{ ns.x }}",
    "{% set ns = namespace(x=[1]) %}{% for i in range(64) %}{% set ns.x = (ns.x, ns.x) %}{% endfor %}"
      + "{{ ns.x == ns.x }}",
    "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% set ns.x = namespace(x=ns.x) %}"
      + "{% endfor %}",
    "{% set ns = namespace(x=1) %}{% for i in range(100000) %}{% for j in [ns.x] %}"
      + "{% set ns.x = loop %}{% endfor %}{% endfor %}",
    "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns == ns }}{{ [ns] | tojson }}",
    "{% set x = range(100000) | list %}{{ x | unique | list | length }}",
    "{% set x = range(100000) | list %}{% for a in x %}{{ a in x }}{% endfor %}",
    "{% set x = range(100000) | list %}{% for a in x %}{% if x == x %}{% endif %}{% endfor %}",
    "{% set x = range(100000) | list %}{% for a in x %}{% set y = x | sort %}{% endfor %}",
    "{% set x = range(100000) | list %}{% for a in x %}{% set y = x[::-1] %}{% endfor %}",
    // Macros.
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{{ g(n) }}{% endmacro %}{% macro g(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% macro g() %}{% call f() %}{{ g() }}{% endcall %}"
      + "{% endmacro %}{{ g() }}",
    "{% macro f(a=f()) %}{% endmacro %}{{ f() }}",
    // Numbers at their ends.
    "{{ (0 - 9223372036854775807 - 1) is divisibleby(0 - 1) }}{{ 2.5 | round(-5) }}"
      + "{{ (0 - 9223372036854775807 - 1) // -1 }}",
    "{{ 2 ** 100000 }}",
    "{{ (0 - 9223372036854775807 - 1) | abs }}{{ 'abc'[9223372036854775807:] }}"
      + "{{ 'abc'[0 - 9223372036854775807 - 1:] }}{{ 'abc'[::0 - 9223372036854775807] }}"
      + "{{ range(0, 9223372036854775807, 9223372036854775806) | list }}{{ [1][0 - 9223372036854775807] }}"
      + "{{ 1 + 9223372036854775807 }}",
    "{{ 'a' | indent(0 - 5) }}{{ [1] | tojson(indent=0 - 5) }}{{ 'a b'.split(' ', 0 - 9) }}"
      + "{{ 'a' * (0 - 5) }}{{ 1e308 * 10 }}{{ (1e308 * 10) | int }}{{ -(1e308 * 10) }}{{ x.y.z }}",
  ]

  @Test("Each ends soon, in an error or an answer", arguments: sources.indices)
  func ends(index: Int) {
    let source = Self.sources[index]
    let clock = ThreadClock()
    var failure: TemplateError?
    let time = clock.measure {
      do throws(TemplateError) {
        _ = try Template(source, name: "t").render([("x", .array([.integer(1)]))])
      } catch { failure = error }
    }
    // Five seconds in a release build on a machine of its own.
    #expect(time < .seconds(60), "\(source.prefix(80)) took \(time)")
    // All but those of many plain prints fail.
    let answers = ["{{ 1 }}{{ 1 }}", "{{ 1 ~ 1"]
    if !answers.contains(where: source.hasPrefix) {
      #expect(failure != nil, "\(source.prefix(80)) has an answer")
    }
  }

  @Test("A long conversation stays far from the limits")
  func longConversation() throws {
    let source = try String(
      contentsOfFile: fixturePath("templates/qwen3.jinja"), encoding: .utf8)
    let template = try Template(source, name: "qwen3")
    let turns = (0..<1000).map { index in
      JSONNode.object(
        JSONObject([
          ("role", .string(index % 2 == 0 ? "user" : "assistant")),
          ("content", .string(String(repeating: "word ", count: 200))),
        ]))
    }
    #expect(try template.render([("messages", .array(turns))]).text.utf8.count > 1_000_000)
  }

  @Test("Changed templates end in an answer or an error")
  func mutations() throws {
    let count = Int(ProcessInfo.processInfo.environment["MUTATIONS"] ?? "") ?? 300
    let names = try FileManager.default.contentsOfDirectory(atPath: fixturePath("templates"))
      .filter { $0.hasSuffix(".jinja") }.sorted()
    let messages = try JSONNode(
      parsing: #"""
        [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
        {"role": "assistant", "content": "<think>\nt\n</think>\n\nA", "tool_calls": null}]
        """#)
    let clock = ThreadClock()
    var mutation = Mutation(seed: 3)
    for index in 0..<count {
      let path = fixturePath("templates/\(names[index % names.count])")
      let source = String(decoding: mutation.changed(try bytes(of: path)), as: UTF8.self)
      let time = clock.measure {
        _ = try? Template(source, name: "t").render([("messages", messages)])
      }
      #expect(time < .seconds(30), "mutation \(index) of \(path): \(source)")
    }
  }
}
