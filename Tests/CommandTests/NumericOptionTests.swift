import Foundation
import TestSupport
import Testing
import Training

/// Every number that a user may give, at its extremes: a result or an error, never a crash.
@Suite("Extreme numbers end with a clean status") struct NumericOptionTests {
  private let bench: Workbench

  init() throws { bench = try Workbench() }

  /// A method that has the option, for those that lora has not.
  private static let methods = [
    "init_r": "adalora", "target_r": "adalora", "tinit": "adalora", "tfinal": "adalora",
    "delta_t": "adalora", "beta1": "adalora", "beta2": "adalora", "orth_reg_weight": "adalora",
    "total_step": "adalora", "num_virtual_tokens": "prompt-tuning",
    "encoder_hidden_size": "p-tuning", "encoder_num_layers": "p-tuning",
    "encoder_dropout": "p-tuning", "adapter_len": "llama-adapter",
    "adapter_layers": "llama-adapter", "bottleneck_size": "bottleneck",
    "reduction_factor": "bottleneck", "scaling": "bottleneck", "dropout": "bottleneck",
    "leave_out": "bottleneck",
  ]

  private static var numbers: [String] {
    RunOption.all.compactMap { option in
      switch option.kind {
      case .integer, .number, .integers: option.key
      default: nil
      }
    }
  }

  /// Numbers that a parser, an index, a conversion to 32 bits or a Double may trip over.
  private static func extremes(_ kind: RunOption.Kind) -> [String] {
    switch kind {
    case .integer(let minimum, let maximum):
      [
        "\(maximum)", "\(minimum)", "9223372036854775807", "-9223372036854775808",
        "99999999999999999999", "2147483648", "4294967296", "100000",
      ]
    case .integers: ["9223372036854775807", "-1", "0,9223372036854775807,0"]
    default: ["1e308", "-1e308", "5e-324", "0", "1", "1e999", "nan"]
    }
  }

  private func expectClean(
    _ arguments: [String], _ what: String, location: SourceLocation = #_sourceLocation
  ) throws {
    let result = try bench.run(arguments)
    #expect(
      [0, 1, 64, 65].contains(result.status) && !result.timedOut,
      "\(what): status \(result.status)\n\(result.errors.suffix(600))", sourceLocation: location)
    #expect(!result.errors.contains("Fatal error"), "\(what)", sourceLocation: location)
    if result.status != 0 {
      #expect(
        lastLine(result).count > 20, "\(what) fails without a word", sourceLocation: location)
    }
  }

  @Test("Options of train", arguments: numbers)
  func train(key: String) throws {
    let option = try #require(RunOption.named(key))
    for text in Self.extremes(option.kind) {
      var settings = RunSettings()
      do {
        try settings.set(key, text: text, source: .commandLine)
      } catch {
        // Refused by name and range, as on the command line.
        #expect(error.description.contains(option.optionName), "\(error)")
        continue
      }
      var arguments = [
        "--model", bench.model, "--data", bench.data, "--output-dir",
        bench.path(UUID().uuidString), "--method", Self.methods[key] ?? "lora",
      ]
      if key != "threads" { arguments += ["--threads", "1"] }
      if key != "max_steps" { arguments += ["--max-steps", "2"] }
      if key == "early_stopping_patience" { arguments += ["--eval-steps", "1"] }
      if key == "encoder_num_layers" {
        arguments += ["--encoder-reparameterization-type", "LSTM"]
      }
      if key == "micro_batch_size" { arguments += ["--global-batch-size", text] }
      try expectClean(arguments + ["\(option.optionName)=\(text)"], "\(option.optionName) \(text)")
    }
  }

  @Test("A number that is too large is refused with its range")
  func ranges() throws {
    for (option, value, expected) in [
      ("--global-batch-size", "9223372036854775807", "from 1 to 2147483647"),
      ("--threads", "100000", "from 1 to 1024"), ("--r", "16777217", "from 1 to 16777216"),
      ("--max-steps", "0", "from 1 to 2147483647"),
    ] {
      let result = try bench.run(bench.options(output: bench.path("out")) + [option, value])
      #expect(result.status == 64, "\(result.errors)")
      #expect(lastLine(result).contains(expected), "\(result.errors)")
    }
  }

  @Test("An adapter that no machine holds is refused with what it takes")
  func memory() throws {
    let result = try bench.run([
      "--model", bench.model, "--data", bench.data, "--output-dir", bench.path("out"),
      "--method", "p-tuning", "--encoder-hidden-size", "16777216",
      "--encoder-reparameterization-type", "LSTM",
    ])
    #expect(result.status == 64, "\(result.errors)")
    #expect(lastLine(result).contains("this machine has"), "\(result.errors)")
  }

  @Test("A batch of more than all examples is all of them")
  func wholeDataset() throws {
    for (name, size) in [("many", "2147483647"), ("all", "13")] {
      let result = try bench.run([
        "--model", bench.model, "--data", bench.data, "--output-dir", bench.path(name),
        "--global-batch-size", size, "--micro-batch-size", size, "--max-steps", "2",
      ])
      #expect(result.status == 0, "\(result.errors)")
    }
    let file = "adapter/adapter_model.safetensors"
    #expect(try bytes(of: bench.path("many/\(file)")) == bytes(of: bench.path("all/\(file)")))
  }

  @Test(
    "Options of the other commands",
    arguments: [
      ["generate", "--max-new-tokens"], ["generate", "--temperature"], ["generate", "--top-p"],
      ["generate", "--seed"], ["generate", "--threads"], ["evaluate", "--threads"],
      ["prepare", "--max-length"], ["prepare", "--validation-split"], ["prepare", "--show"],
      ["prepare", "--seed"], ["prepare", "--threads"], ["compare", "--max-score-examples"],
    ])
  func others(place: [String]) throws {
    let rows = bench.path("rows.jsonl")
    try #"{"text": "a b a b a b a b"}"#.appending("\n").write(
      toFile: rows, atomically: true, encoding: .utf8)
    let demo = ProcessRunner.built("swift-peft-train_swift-peft-train.resources/Demo").path
    for text in [
      "9223372036854775807", "18446744073709551615", "-9223372036854775808", "100000", "1e308",
      "5e-324", "0.9999999999999999", "nan",
    ] {
      let own: [String] =
        switch place[0] {
        case "generate": ["--model", bench.model, "--prompt-tokens", "1,2,3"]
        case "evaluate": ["--model", bench.model, "--data", bench.data]
        case "prepare":
          ["--tokenizer", demo, "--input", rows, "--output", bench.path("\(UUID()).h5")]
        default:
          [
            "--model", bench.model, "--data", bench.data, "--methods", "lora", "--max-steps", "1",
            "--output-dir", bench.path("\(UUID())"),
          ]
        }
      try expectClean([place[0]] + own + ["\(place[1])=\(text)"], "\(place) \(text)")
    }
  }
}
