import Foundation
import JSON
import TestSupport
import Testing

@Suite("What is seen while it runs", .serialized)
struct ConsoleTests {
  private let bench: Workbench
  private static let script = "/usr/bin/script"

  init() throws { bench = try Workbench() }

  /// Options of a run of 16 steps with evaluations, and with a warning at its start.
  private func options(_ output: String) -> [String] {
    bench.options(output: bench.path(output)) + [
      "--eval-steps", "4", "--max-steps", "16", "--num-epochs", "90", "--lr-scheduler-type",
      "constant",
    ]
  }

  /// The bytes that a run writes to a terminal of so many columns.
  private func terminal(_ arguments: [String], columns: Int, noColor: Bool = false) throws -> String
  {
    let command = ([Workbench.program.path] + arguments).map { "'\($0)'" }.joined(separator: " ")
    let result = try ProcessRunner.run(
      URL(fileURLWithPath: Self.script),
      ["-qec", "stty cols \(columns); exec \(command)", "/dev/null"],
      environment: ["TERM": "xterm", "NO_COLOR": noColor ? "1" : ""])
    try #require(result.status == 0, "\(result.output)")
    return result.output
  }

  /// What a terminal shows in the end: a line for each line feed.
  private func screen(_ bytes: String) -> [String] {
    var lines = [""]
    var column = 0
    var rest = Array(bytes.unicodeScalars)[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case "\r": column = 0
      case "\n": lines.append("")
      case "\u{1b}":
        let end = rest.firstIndex { $0.properties.isAlphabetic } ?? rest.startIndex
        if rest[end] == "K" {
          lines[lines.count - 1] = String(lines[lines.count - 1].prefix(column))
        }
        rest = rest[(end + 1)...]
      default:
        var line = Array(lines[lines.count - 1])
        if column < line.count {
          line[column] = Character(scalar)
        } else {
          line.append(Character(scalar))
        }
        lines[lines.count - 1] = String(line)
        column += 1
      }
    }
    return lines
  }

  @Test(
    "On a terminal one line lives, no wider than it, with events above",
    .enabled(if: FileManager.default.fileExists(atPath: script)))
  func live() throws {
    let bytes = try terminal(options("out"), columns: 60)
    let drawn = Self.drawn(bytes)
    #expect(!drawn.isEmpty)
    #expect(drawn.allSatisfy { $0.count <= 59 && $0.contains("  loss ") }, "\(drawn)")
    let lines = screen(bytes)
    #expect(lines.count { $0.contains("eval loss") } == 4)
    // Steps are in the line that lives, and it leaves nothing behind.
    #expect(!lines.contains { $0.contains("grad norm") || $0.hasPrefix("step ") }, "\(lines)")
    #expect(lines.last == "" && lines.dropLast().last?.contains("holds step 16") == true)
    #expect(bytes.contains("\u{1b}[33mwarning: \u{1b}[0m"))
    // Without colours, and with every line that a file would have.
    let plain = try terminal(options("plain") + ["--verbose"], columns: 200, noColor: true)
    #expect(!plain.contains("\u{1b}[33m") && screen(plain).count { $0.contains("grad norm") } == 16)
    #expect(plain.contains(" left  ") && plain.contains(" of peak  "))
  }

  /// Every drawing of the live line of 16 steps.
  private static func drawn(_ bytes: String) -> [String] {
    bytes.matches(of: /\r(step \d+\/16[^\r\u{1b}]*)\u{1b}\[K/).map { String($0.output.1) }
  }

  @Test(
    "The live line has as many whole parts as the terminal has room for, what matters first",
    .enabled(if: FileManager.default.fileExists(atPath: script)), arguments: [80, 40, 12])
  func width(columns: Int) throws {
    let drawn = Self.drawn(try terminal(options("out"), columns: columns))
    try #require(!drawn.isEmpty)
    let parts = [
      #"step \d+/16"#, #"(  epoch \d+\.\d\d)?"#, #"(  loss \d+\.\d{4})?"#, #"(  lr [-.e\d]+)?"#,
      #"(  \d+:\d\d left)?"#, #"(  \d+ tokens/s)?"#, #"(  \d+ % of peak)?"#, #"(  \d+\.\d MiB)?"#,
    ]
    let whole = try Regex(parts.joined())
    for line in drawn {
      #expect(line.wholeMatch(of: whole) != nil && line.count < columns, "\(line)")
      #expect(line.contains("loss") == (columns > 12) && line.contains("left") == (columns > 12))
      #expect(line.contains("tokens/s") == (columns == 80))
    }
  }

  @Test(
    "prepare and evaluate show how far they are on one line, and leave nothing of it behind",
    .enabled(if: FileManager.default.fileExists(atPath: script)))
  func progress() throws {
    let row = "{\"text\": \"\(String(repeating: "all the same ", count: 40))\"}\n"
    try write(String(repeating: row, count: 3000).utf8, to: bench.path("rows.jsonl"))
    let prepared = try terminal(
      [
        "prepare", "--tokenizer", fixturePath("tokenizers/gpt2.json"), "--input",
        bench.path("rows.jsonl"), "--output", bench.path("rows.h5"), "--no-append-eos",
      ], columns: 40)
    let evaluated = try terminal(
      ["evaluate", "--model", bench.model, "--data", bench.data, "--split", "train"], columns: 40)
    for (bytes, word) in [(prepared, " rows"), (evaluated, "evaluating the base")] {
      for drawing in bytes.matches(of: /\r([^\r\n\u{1b}]+)\u{1b}\[K/) {
        let line = String(drawing.output.1)
        #expect(line.count < 40 && line.contains(word) && line.contains(" %, "), "\(line)")
      }
      #expect(!screen(bytes).contains { $0.contains(" left") }, "\(screen(bytes))")
    }
    #expect(prepared.contains("rows, 0:0"), "\(prepared)")
  }

  @Test(
    "compare's live line ends with each method, and nothing of it is left before the table",
    .enabled(if: FileManager.default.fileExists(atPath: script)))
  func comparison() throws {
    let bytes = try terminal(
      [
        "compare", "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("both"),
        "--methods", "lora,ia3", "--max-steps", "16", "--num-epochs", "90",
      ], columns: 80)
    #expect(!Self.drawn(bytes).isEmpty)
    let lines = screen(bytes)
    #expect(lines.contains { $0.hasPrefix("Method  ") } && lines.last == "", "\(lines)")
    // Between the methods only events are drawn: no step of the one stands below the start of the other.
    let second = try #require(bytes.range(of: "method     ia3"))
    let first = try #require(bytes.range(of: "finished after step 16"))
    #expect(!bytes[first.lowerBound..<second.lowerBound].contains("step 16/16"))
  }

  @Test("In a file there are plain lines alone, ten of them before the first step")
  func plain() throws {
    let result = try bench.run(options("out"))
    #expect(result.status == 0)
    #expect(!result.errors.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
    let lines = result.errors.split(separator: "\n").map(String.init)
    let start = lines.prefix { !$0.contains("step 1/16") }.filter { !$0.contains("warning: ") }
    let labels = start.map { String($0.dropFirst(10).prefix { $0 != " " }) }
    #expect(
      labels == [
        "base", "method", "train", "validation", "steps", "ranks", "precision", "output", "memory",
        "peak",
      ], "\(start)")
    #expect(lines.count { $0.contains("grad norm") } == 16)
  }

  @Test("--quiet leaves warnings, --verbose adds details, --log-json is an object a line")
  func styles() throws {
    let quiet = try bench.run(options("quiet") + ["--quiet"])
    #expect(quiet.status == 0)
    let lines = quiet.errors.split(separator: "\n")
    #expect(!lines.isEmpty && lines.allSatisfy { $0.contains("warning: ") }, "\(quiet.errors)")
    let verbose = try bench.run(options("verbose") + ["--verbose"])
    #expect(verbose.errors.contains(" optimiser, ") && verbose.errors.contains("one rank reduces"))
    let both = try bench.run(options("both") + ["--verbose", "--quiet"])
    #expect(both.status == 64 && lastLine(both).contains("quiet and verbose"))
    // As keys of a file, too.
    try write("log_json: true\n".utf8, to: bench.path("run.yaml"))
    let json = try bench.run(options("json") + ["--config", bench.path("run.yaml")])
    let values = try json.errors.split(separator: "\n").map {
      try JSONValue(parsing: Data($0.utf8))
    }
    #expect(values.allSatisfy { $0["rank"] == 0 && $0["time"]?.string?.contains("T") == true })
    #expect(values.contains { $0["level"] == "warning" })
    let metrics = try bench.metrics(bench.path("json")).filter { $0["event"] == "step" }
    let steps = values.filter { $0["event"] == "step" }
    #expect(steps.map { $0["loss"]?.double } == metrics.map { $0["loss"]?.double })
  }

  @Test("plan says what a run's start says with --verbose, and warns as --log-json says")
  func plan() throws {
    let options = options("out").filter { $0 != "--output-dir" && $0 != bench.path("out") }
    let plain = try bench.run(["plan"] + options)
    try #require(plain.status == 0, "\(plain.errors)")
    #expect(plain.errors.contains("warning: ") && !plain.errors.contains("  base  "))
    let verbose = try bench.run(["plan", "--verbose"] + options)
    #expect(verbose.errors.contains("  base  ") && verbose.output.count > 100)
    let json = try bench.run(["plan", "--log-json"] + options)
    let values = try json.errors.split(separator: "\n").map {
      try JSONValue(parsing: Data($0.utf8))
    }
    #expect(!values.isEmpty && values.allSatisfy { $0["level"] == "warning" })
  }

  @Test("compare logs as its file says, beside the section of the methods")
  func compare() throws {
    try write(
      "log_json: true\ncompare:\n  methods: [ia3]\n  max_score_examples: 0\n".utf8,
      to: bench.path("compare.yaml"))
    let result = try bench.run([
      "compare", "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("all"),
      "--max-steps", "2", "--config", bench.path("compare.yaml"),
    ])
    try #require(result.status == 0, "\(result.errors)")
    let values = try result.errors.split(separator: "\n").map {
      try JSONValue(parsing: Data($0.utf8))
    }
    #expect(values.contains { $0["event"] == "step" })
  }
}
