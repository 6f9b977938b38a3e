import Datasets
import Foundation
import JSON
import TestSupport
import Testing

@Suite("What evaluate finds", .serialized)
struct EvaluateCommandTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  private func trained(_ name: String, steps: Int, _ more: [String] = []) throws -> String {
    var options = bench.options(output: bench.path(name))
    options += ["--max-steps", "\(steps)", "--num-epochs", "1000"] + more
    let result = try bench.run(options)
    try #require(result.status == 0, "\(result.errors)")
    return bench.path(name + "/adapter")
  }

  private func evaluate(_ arguments: [String], ranks: Int = 1) throws -> ProcessResult {
    let all = ["evaluate", "--model", bench.model, "--data", bench.data] + arguments
    let result = ranks == 1 ? try bench.run(all) : try bench.mpirun(ranks: ranks, all)
    try #require(result.status == 0, "\(result.errors)")
    return result
  }

  private func json(_ arguments: [String]) throws -> JSONValue {
    try JSONValue(parsing: Data(evaluate(arguments + ["--json"]).output.utf8))
  }

  @Test("Several adapters are compared with the base; one is answered as before")
  func table() throws {
    let adapters = [try trained("one", steps: 2), try trained("two", steps: 4)]
    let alone = [[]] + adapters.map { ["--adapter", $0] }
    let expected = try alone.map { try json($0) }
    let all = try json(["--adapter"] + adapters + ["--generate"])
    let models = try #require(all["models"]?.array)
    #expect(all["split"] == "validation" && models.count == 3)
    #expect(models.map { $0["adapter"] } == [.null, .string(adapters[0]), .string(adapters[1])])
    #expect(models.map { $0["loss"] } == expected.map { $0["loss"] })
    #expect(models.allSatisfy { $0["answers"]?.int != nil })
    #expect(Set(expected.compactMap { $0["loss"]?.double }).count == 3)
    #expect(expected[1].object?.keys.sorted() == ["examples", "loss", "perplexity", "tokens"])
    let text = try evaluate(["--adapter", adapters[0], "--adapter", adapters[1]]).outputLines
    #expect(text.count == 5 && text[2].hasPrefix("base ") && text[4].hasPrefix(adapters[1]))
    let loss = try #require(expected[2]["loss"]?.double)
    #expect(text[4].contains(String(format: "%.5f", loss)))
  }

  @Test("Losses of examples are the same on any number of ranks, and their mean is the loss")
  func perExample() throws {
    let adapter = try trained("one", steps: 2)
    var files: [[UInt8]] = []
    var loss = 0.0
    for ranks in [1, 2, 3] {
      let path = bench.path("examples\(ranks).jsonl")
      let result = try evaluate(
        ["--adapter", adapter, "--split", "train", "--per-example", path, "--json"], ranks: ranks)
      files.append(try bytes(of: path))
      loss = try JSONValue(parsing: Data(result.output.utf8))["loss"]?.double ?? 0
    }
    #expect(files[1] == files[0] && files[2] == files[0])
    let lines = try String(decoding: files[0], as: UTF8.self).split(separator: "\n")
      .map { try JSONValue(parsing: Data($0.utf8)) }
    let split = try TokenDataset(path: bench.data).train
    #expect(lines.count == split.exampleCount)
    var (sum, count) = (0.0, 0)
    for (index, line) in lines.enumerated() {
      #expect(line["index"]?.int == index)
      #expect(line["tokens"]?.int == split.countedTokenCount(of: index))
      #expect((line["loss"] == .null) == (split.countedTokenCount(of: index) == 0))
      sum += (line["loss"]?.double ?? 0) * Double(line["tokens"]?.int ?? 0)
      count += line["tokens"]?.int ?? 0
    }
    #expect(abs(sum / Double(count) - loss) < 1e-6 * loss)
    let wrong = try bench.run([
      "evaluate", "--model", bench.model, "--data", bench.data, "--per-example", "no/such/f.jsonl",
    ])
    #expect(wrong.status == 73 && lastLine(wrong).contains("no/such"))
  }

  @Test("Memorisation is what generate continues word for word, side by side with the base")
  func memorisation() throws {
    let adapter = try trained(
      "long", steps: 150, ["--lora-dropout", "0", "--r", "16", "--lora-alpha", "32"])
    let arguments = ["--adapter", adapter, "--memorisation"]
    let found = try json(arguments)
    let (base, after) = (found["memorisation"]?["base"], found["memorisation"]?["adapter"])
    let dataset = try TokenDataset(path: bench.data)
    // Counted by hand, through the other command.
    func count(_ split: TokenSplit, _ more: [String]) throws -> (tokens: Int, verbatim: Int) {
      var sums = (tokens: 0, verbatim: 0)
      let buffer = ExampleBuffer(
        tokenCapacity: split.maximumTokenCount(ofExamples: 1), sequenceCapacity: 1)
      for example in 0..<split.exampleCount {
        try split.load([example], into: buffer)
        let tokens = buffer.tokens[buffer.sequence(0)].map { Int($0) }
        let counts = Array(buffer.counts[buffer.sequence(0)])
        var start = counts.indices.first { $0 > 0 && counts[$0] == 1 } ?? 0
        if start < 2 { start = tokens.count / 2 }
        let end = counts[start...].firstIndex(of: 0) ?? counts.endIndex
        guard start >= 2, start < end else { continue }
        let result = try bench.run(
          [
            "generate", "--model", bench.model, "--json", "--max-new-tokens",
            "\(end - start)", "--prompt-tokens",
            tokens[..<start].map(String.init).joined(separator: ","),
          ] + more)
        let answer = try JSONValue(parsing: Data(result.output.utf8))["tokens"]?.array ?? []
        sums.tokens += end - start
        sums.verbatim +=
          zip(tokens[start..<end], answer.compactMap(\.int)).prefix { $0 == $1 }.count
      }
      return sums
    }
    for (name, split) in [("train", dataset.train), ("validation", try dataset.split(.validation))]
    {
      for (result, more) in [(base, []), (after, ["--adapter", adapter])] {
        let expected = try count(split, more)
        #expect(result?[name]?["tokens"]?.int == expected.tokens)
        #expect(result?[name]?["verbatim_tokens"]?.int == expected.verbatim)
      }
    }
    let share = after?["train"]?["verbatim_share"]?.double ?? 0
    // So many steps on so few examples keep some of them.
    #expect(share > (base?["train"]?["verbatim_share"]?.double ?? 1) + 0.2)
    #expect(share > (after?["validation"]?["verbatim_share"]?.double ?? 1) + 0.2)
    let text = try evaluate(arguments, ranks: 2).outputLines
    #expect(text.last?.hasPrefix(adapter) == true)
    #expect(text.last?.contains(String(format: "%.1f %%", 100 * share)) == true, "\(text)")
  }

  @Test("--tokenizer stands for the model's: a dataset of others' tokens is refused")
  func tokenizer() throws {
    let letters = bench.path("letters.json")
    try Workbench.writeTokenizerOfLetters(to: letters)
    let writer = try TokenDatasetWriter(
      path: bench.path("t.h5"), vocabularySize: 53, tokenizerSHA256: "00", vocabularySHA256: "00")
    for split in SplitName.allCases {
      try writer.append(tokens: [1, 2, 3], lossMask: [0, 1, 1], to: split)
    }
    try writer.finish()
    let arguments = ["evaluate", "--model", bench.model, "--data", bench.path("t.h5")]
    #expect(try bench.run(arguments).status == 0)
    try FileManager.default.createDirectory(
      atPath: bench.path("letters"), withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: letters, toPath: bench.path("letters/tokenizer.json"))
    for place in [letters, bench.path("letters")] {
      let refused = try bench.run(arguments + ["--tokenizer", place])
      #expect(refused.status == 65 && lastLine(refused).contains("another tokenizer"), "\(place)")
    }
  }
}
