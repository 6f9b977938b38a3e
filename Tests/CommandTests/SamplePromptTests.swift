import Foundation
import JSON
import TestSupport
import Testing

@Suite("Sample prompts", .serialized)
struct SamplePromptTests {
  private let bench: Workbench
  private let model: String
  private let prompts = ["ab c", "Who are you"]

  init() throws {
    bench = try Workbench()
    model = bench.path("model")
    try FileManager.default.copyItem(atPath: bench.model, toPath: model)
    try Workbench.writeTokenizerOfLetters(to: model + "/tokenizer.json")
    try write(
      #"{"eos_token": "</s>", "chat_template": "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}<|bot|>"}"#
        .utf8, to: model + "/tokenizer_config.json")
  }

  private func options(_ output: String, _ lines: [String]?) throws -> [String] {
    var options = bench.options(output: bench.path(output))
    options[1] = model
    options += ["--eval-steps", "3", "--max-steps", "6"]
    if let lines {
      try write(lines.joined(separator: "\n").utf8, to: bench.path("prompts.txt"))
      options += ["--sample-prompts", bench.path("prompts.txt")]
    }
    return options
  }

  private func answer(_ arguments: String...) throws -> String? {
    let result = try bench.run(["generate", "--model", model, "--json"] + arguments)
    try #require(result.status == 0, "\(result.errors)")
    return try JSONValue(parsing: Data(result.output.utf8))["text"]?.string
  }

  @Test(
    "Answers are those of generate, before and after, on any number of ranks; training is as without"
  )
  func answers() throws {
    let plain = try bench.run(options("plain", nil))
    try #require(plain.status == 0, "\(plain.errors)")
    let adapter = "/adapter/adapter_model.safetensors"
    let expected = try bytes(of: bench.path("plain" + adapter))
    var samples: [[JSONValue]] = []
    for ranks in [1, 2, 3] {
      let output = "with\(ranks)"
      let arguments = try options(output, [prompts[0], "", #"{"prompt": "Who are you"}"#])
      let result =
        ranks == 1 ? try bench.run(arguments) : try bench.mpirun(ranks: ranks, arguments)
      try #require(result.status == 0, "\(result.errors)")
      #expect(try bytes(of: bench.path(output + adapter)) == expected)
      samples.append(
        try bench.metrics(bench.path(output)).filter { $0["event"] == "sample" })
      #expect(result.errors.contains("sample 2: \"Who are you\" -> "))
    }
    #expect(samples[1] == samples[0] && samples[2] == samples[0])
    let first = samples[0]
    #expect(first.map { $0["step"]?.int } == [0, 0, 3, 3, 6, 6])
    #expect(first.map { $0["index"]?.int } == [0, 1, 0, 1, 0, 1])
    for (index, prompt) in prompts.enumerated() {
      #expect(first[index]["prompt"]?.string == prompt)
      #expect(try first[index]["answer"]?.string == answer("--prompt", prompt))
      let last = try answer("--prompt", prompt, "--adapter", bench.path("with1/adapter"))
      #expect(first[4 + index]["answer"]?.string == last)
    }
    #expect(first[0]["answer"] != first[4]["answer"])
    let page = try String(contentsOfFile: bench.path("with1/report.html"), encoding: .utf8)
    #expect(page.contains("Who are you") && page.contains("After step 6"))
    let shown = try bench.run(["inspect", bench.path("with1")])
    #expect(shown.output.contains("step 6  \"\(first[4]["answer"]?.string ?? "?")"))
  }

  @Test("Long prompts are cut in the log, and whole in the metrics")
  func long() throws {
    let prompt = String(repeating: "ab c ", count: 9)
    let result = try bench.run(options("out", [prompt]))
    try #require(result.status == 0, "\(result.errors)")
    let lines = result.errors.split(separator: "\n").filter { $0.contains("sample 1: ") }
    #expect(lines.count == 3 && lines.allSatisfy { $0.count < 170 && $0.contains("…\" -> \"") })
    let events = try bench.metrics(bench.path("out")).filter { $0["event"] == "sample" }
    #expect(events.allSatisfy { $0["prompt"]?.string == prompt })
  }

  @Test("Messages are put into the model's chat template")
  func chat() throws {
    let result = try bench.run(
      options("out", [#"{"messages": [{"role": "user", "content": "ab"}]}"#]))
    try #require(result.status == 0, "\(result.errors)")
    let first = try #require(
      try bench.metrics(bench.path("out")).first { $0["event"] == "sample" })
    #expect(first["prompt"] == "ab")
    #expect(try first["answer"]?.string == answer("--prompt", "ab", "--chat"))
  }

  @Test("A resumed run goes on with its samples, and has those of step 0 once")
  func resumed() throws {
    var arguments = try options("out", [prompts[0]])
    arguments[arguments.count - 3] = "3"
    let first = try bench.run(arguments)
    try #require(first.status == 0, "\(first.errors)")
    let second = try bench.run(options("out", [prompts[0]]) + ["--resume"])
    try #require(second.status == 0, "\(second.errors)")
    let steps = try bench.metrics(bench.path("out")).filter { $0["event"] == "sample" }
      .map { $0["step"]?.int }
    #expect(steps == [0, 3, 6])
  }

  @Test(
    "Prompts that cannot be used are named with their line before anything is trained",
    arguments: [
      (["ab", "{\"prompt\""], "prompts.txt:2"), (["", " "], "no prompt"),
      (["{\"text\": \"a\"}"], "neither 'prompt'"),
      ([String(repeating: "a", count: 500)], "501 tokens"),
      (["{\"messages\": [{\"role\": \"user\"}]}"], "no content"),
    ])
  func wrong(lines: [String], words: String) throws {
    let result = try bench.run(options("out", lines))
    #expect(result.status == 65 && lastLine(result).contains(words), "\(result.errors)")
    #expect(!FileManager.default.fileExists(atPath: bench.path("out")))
  }
}
