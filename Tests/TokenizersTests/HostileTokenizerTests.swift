import Foundation
import TestSupport
import Testing
import Tokenizers

@Suite("Tokenizer files that would take all time or memory")
struct HostileTokenizerTests {
  private static func file(_ part: String, _ value: String, model: String? = nil) -> String {
    let model = model ?? #"{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}"#
    return #"{"version":"1.0","\#(part)":\#(value),"model":\#(model)}"#
  }

  private static func split(_ pattern: String) -> String {
    #"{"type":"Split","pattern":{"Regex":"\#(pattern)"},"behavior":"Isolated","invert":false}"#
  }

  private static func replace(_ old: String, _ new: String) -> String {
    #"{"type":"Replace","pattern":{"String":"\#(old)"},"content":"\#(new)"}"#
  }

  private static func many(_ list: String, _ part: String, _ count: Int) -> String {
    let parts = Array(repeating: part, count: count).joined(separator: ",")
    return #"{"type":"Sequence","\#(list)":[\#(parts)]}"#
  }

  private static func inside(_ list: String, _ part: String, _ count: Int) -> String {
    String(repeating: #"{"type":"Sequence","\#(list)":["#, count: count) + part
      + String(repeating: "]}", count: count)
  }

  static let files: [String] =
    [
      "(a+)+$", "(?:a|a)*b", "(a|aa)+$", "(?:a+b?)+c", "(?=(a+)+$)b", "(?>(a+)+)$",
      "((a{1,99})+)+$",
      "(?:a{1,9000}){1,2}$", "(?:(?:a+)+)+$", String(repeating: "(", count: 100_000),
      String(repeating: "(a", count: 9000) + String(repeating: ")", count: 9000),
      String(repeating: "(?:a?", count: 90) + String(repeating: ")+", count: 90),
      String(repeating: "[", count: 100_000), String(repeating: "a|", count: 50_000),
      String(repeating: "a+", count: 300) + "$", "a" + String(repeating: "+", count: 60_000),
      "((((a{99}){99}){99}){99}){99}", "(((?:){99999}){99999}){99999}",
      String(repeating: "(?i)", count: 20_000), "(?i)[a-z]{99999}", "a{99999999999}",
      "(.*)(.*)(.*)(.*)(.*)x", "(?:(?:.*,)*)*x",
    ].map { file("pre_tokenizer", split($0)) } + [
      file("normalizer", many("normalizers", replace("a", "aa"), 60)),
      file("normalizer", replace("a", String(repeating: "b", count: 5_000_000))),
      file("normalizer", many("normalizers", replace("a", "b"), 50_000)),
      file("normalizer", many("normalizers", #"{"type":"ByteLevel"}"#, 60)),
      file("normalizer", inside("normalizers", #"{"type":"NFC"}"#, 50_000)),
      file("normalizer", inside("normalizers", #"{"type":"NFC"}"#, 60)),
      file("normalizer", many("normalizers", #"{"type":"Prepend","prepend":"a"}"#, 900)),
      file("pre_tokenizer", inside("pretokenizers", split("a+"), 60)),
      file(
        "pre_tokenizer",
        many("pretokenizers", #"{"type":"ByteLevel","add_prefix_space":true}"#, 60)),
      file("pre_tokenizer", many("pretokenizers", split("(a+)+$"), 300)),
      file("pre_tokenizer", #"{"type":"FixedLength","length":9223372036854775807}"#),
      file("decoder", many("decoders", replace("a", "aa"), 60)),
      file("decoder", replace("a", String(repeating: "a", count: 1000))),
      file(
        "decoder", #"{"type":"Replace","pattern":{"Regex":"(a+)+$"},"content":""}"#),
      file(
        "decoder", #"{"type":"Strip","content":"a","start":9223372036854775807,"stop":9}"#),
      file(
        "post_processor",
        #"{"type":"TemplateProcessing","single":[\#(Array(repeating: #"{"Sequence":{"id":"A"}}"#, count: 9999).joined(separator: ","))],"special_tokens":{}}"#
      ),
      file("added_tokens", #"[{"id":3,"content":"\#(String(repeating: "a", count: 100_000))"}]"#),
      file("added_tokens", String(repeating: "[", count: 1_000_000)),
      file("x", "1", model: #"{"type":"BPE","vocab":{"a":268435455},"merges":[]}"#),
      file("x", "1", model: #"{"type":"BPE","vocab":{"a":9223372036854775807},"merges":[]}"#),
      file("truncation", "null", model: #"{"type":"BPE","vocab":{},"merges":[]}"#),
      file("truncation", "null", model: #"{"type":"BPE","vocab":{"a":0},"merges":["a a"]}"#),
    ]

  @Test("Each ends soon, in an error or in ids", arguments: files.indices)
  func ends(index: Int) throws {
    let source = Self.files[index]
    let scratch = try Scratch()
    let path = try scratch.file("tokenizer.json", source)
    let clock = ThreadClock()
    let time = clock.measure {
      do throws(TokenizerError) {
        let tokenizer = try Tokenizer(contentsOf: path)
        let text = String(repeating: "a", count: 3000) + "!"
        let ids = try tokenizer.encode(text)
        _ = try tokenizer.encode(String(repeating: "a, b", count: 500))
        _ = tokenizer.decode(ids + Array(repeating: 2, count: 100))
      } catch { #expect(error.description.count > 20) }
    }
    // Five seconds in a release build on a machine of its own.
    #expect(time < .seconds(60), "\(source.prefix(160)) took \(time)")
  }

  @Test("Changed files end in ids or an error")
  func mutations() throws {
    let count = Int(ProcessInfo.processInfo.environment["MUTATIONS"] ?? "") ?? 200
    let scratch = try Scratch()
    let clock = ThreadClock()
    var mutation = Mutation(seed: 5)
    for index in 0..<count {
      let name = Fixtures.names[index % Fixtures.names.count]
      var bytes = try bytes(of: "\(Fixtures.directory)/\(name).json")
      // The vocabulary is most of a file and the least of its risks.
      let vocabulary = bytes.firstRange(of: Array(#""vocab""#.utf8))?.lowerBound ?? bytes.count
      bytes = mutation.changed(Array(bytes[..<vocabulary])) + bytes[vocabulary...]
      let path = scratch.path + "/tokenizer.json"
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let time = clock.measure {
        guard let tokenizer = try? Tokenizer(contentsOf: path) else { return }
        let ids = try? tokenizer.encode(
          "Hello  world, it's 12345 </s> \n\n" + String(repeating: "a", count: 100))
        _ = tokenizer.decode(ids ?? [])
      }
      #expect(time < .seconds(30), "mutation \(index) of \(name)")
    }
  }
}
