import Foundation
import JSON
import Templates
import TestSupport
import Testing

/// Conversations rendered by transformers; `Tests/Fixtures/templates/generate.py` makes them.
private struct Fixture {
  let template: String
  let conversation: String
  let variables: [(name: String, value: JSONNode)]
  /// What transformers rendered; nil where it refused.
  let expected: String?

  static func all() throws -> [Fixture] {
    let document = try JSONNode(parsing: try bytes(of: fixturePath("templates/expected.json")))
    return try #require(document["cases"]?.array).map { node in
      Fixture(
        template: try #require(node["template"]?.string),
        conversation: try #require(node["conversation"]?.string),
        variables: try #require(node["variables"]?.object).members.map { ($0.key, $0.value) },
        expected: node["expected"]?.string)
    }
  }
}

/// 26 July 2024, noon, as in the script.
private let noon: Date = {
  var parts = DateComponents()
  (parts.year, parts.month, parts.day, parts.hour) = (2024, 7, 26, 12)
  return Calendar(identifier: .gregorian).date(from: parts) ?? Date()
}()

@Suite("Templates against transformers")
struct RenderingTests {
  @Test("Every published style renders every conversation as transformers does")
  func fixtures() throws {
    let fixtures = try Fixture.all()
    #expect(fixtures.count > 100)
    for name in Set(fixtures.map(\.template)).sorted() {
      let source = String(
        decoding: try bytes(of: fixturePath("templates/\(name).jinja")), as: UTF8.self)
      let template = try Template(source, name: name)
      for fixture in fixtures where fixture.template == name {
        let text: String?
        do throws(TemplateError) {
          text = try template.render(fixture.variables, now: noon).text
        } catch {
          text = nil
          if fixture.expected != nil {
            Issue.record("\(name) of \(fixture.conversation): \(error)")
          }
        }
        let isSame =
          text.map { Array($0.utf8) } == fixture.expected.map { Array($0.utf8) }
        #expect(
          isSame,
          """
          \(name) of \(fixture.conversation)
          found    \(text ?? "a refusal")
          expected \(fixture.expected ?? "a refusal")
          """)
      }
    }
  }

  @Test("Small templates print what Jinja prints")
  func snippets() throws {
    let document = try JSONNode(parsing: try bytes(of: fixturePath("templates/expected.json")))
    let snippets = try #require(document["snippets"]?.array)
    #expect(snippets.count > 60)
    for node in snippets {
      let source = try #require(node["source"]?.string)
      let variables = try #require(node["variables"]?.object).members.map { ($0.key, $0.value) }
      do throws(TemplateError) {
        let text = try Template(source, name: "snippet").render(variables).text
        let expected = node["expected"]?.string
        #expect(expected.map { Array($0.utf8) } == Array(text.utf8), "\(source)\n\(text)")
      } catch {
        #expect(node["expected"]?.string == nil, "\(source): \(error)")
      }
    }
  }
}
