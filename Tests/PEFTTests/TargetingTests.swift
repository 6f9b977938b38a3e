import Foundation
import JSON
import Model
import PEFT
import TestSupport
import Testing

@Suite("Which modules a selection adapts")
struct TargetingTests {
  @Test("Patterns select what PEFT selects")
  func reference() throws {
    let path = fixturePath("patterns/targets.json")
    let cases = try #require(
      try JSONNode(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))).array)
    #expect(cases.count > 30)
    for item in cases {
      let base = try #require(item["base"]?.string)
      let selection = try #require(item["selection"])
      let expected = item["modules"]?.array?.compactMap(\.string)
      let name = "\(base): \(JSONValue(selection).text())"
      let decoder = try Decoder(directory: fixturePath("model/\(base)"))
      var modules: [String]?
      do throws(PEFTError) {
        let targeting = try ModuleTargeting(
          MethodOptions(JSONValue(selection).object ?? [:], source: "the test"))
        let selection = try targeting.selection(of: decoder, defaults: nil, method: "lora")
        modules = selection.layers.map(\.path) + (selection.hasTable ? [decoder.tablePath] : [])
      } catch {
        guard case .nothingTargeted = error else {
          Issue.record("\(name): \(error)")
          continue
        }
      }
      #expect(modules?.sorted() == expected?.sorted(), "\(name)")
    }
  }

  @Test("A pattern that is not known is named with its field")
  func unknown() throws {
    let decoder = try Decoder(directory: fixturePath("model/llama"))
    let targeting = try ModuleTargeting(
      MethodOptions(["target_modules": #".*(q)_\1"#], source: "the test"))
    #expect {
      _ = try targeting.layers(of: decoder, defaults: nil, method: "lora")
    } throws: { "\($0)".contains("target_modules") && "\($0)".contains(#"'\1'"#) }
  }
}
