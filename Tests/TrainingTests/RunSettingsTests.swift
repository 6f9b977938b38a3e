import DataParallel
import Diagnostics
import JSON
import Logging
import Testing
import Training

@Suite("Run settings") struct RunSettingsTests {
  @Test("Settings of a program are checked as those of a file, by their keys")
  func code() throws {
    let settings = try RunSettings(["model": "base", "r": 16, "learning_rate": 1e-3])
    #expect(settings["model"] == "base" && settings["learning_rate"]?.double == 1e-3)
    #expect(try RunConfiguration(settings).methodFields(of: "lora") == ["r": 16])
    #expect {
      try RunSettings(["learning_rat": 1e-3])
    } throws: { error in
      "\(error)"
        == "Unknown key 'learning_rat' in the program's settings. Did you mean 'learning_rate'?"
    }
    #expect {
      try RunSettings(["r": "much"])
    } throws: { error in "\(error)".hasPrefix("'r' in the program's settings is ") }
    #expect {
      try TrainingRun(
        try RunSettings(["model": "base"]), communicator: Communicator(alone: ()),
        logger: Logger(label: "test"))
    } throws: { error in "\(error)".contains("No data is given. Set 'data'.") }
  }

  @Test("Defaults are those of the interface page")
  func defaults() throws {
    let configuration = try RunConfiguration(RunSettings())
    #expect(configuration.method == "lora")
    #expect(configuration.globalBatchSize == 8)
    #expect(configuration.microBatchSize == 1)
    #expect(configuration.epochCount == 1)
    #expect(configuration.maxSteps == nil)
    #expect(configuration.optimizer == .adamw)
    #expect(configuration.learningRate == 2e-4)
    #expect(configuration.beta1 == 0.9 && configuration.beta2 == 0.999)
    #expect(configuration.epsilon == 1e-8 && configuration.weightDecay == 0)
    #expect(configuration.maxGradientNorm == 1)
    #expect(configuration.schedule == .linear)
    #expect(configuration.seed == 42 && configuration.shuffles)
    #expect(configuration.precision == .auto)
    #expect(configuration.loggingSteps == 10 && configuration.evalSteps == 0)
    #expect(configuration.saveSteps == 0 && configuration.saveTotalLimit == 3)
    #expect(configuration.resume == .no)
  }

  @Test("YAML values have their option's kind, and the command line wins over them")
  func precedence() throws {
    var settings = RunSettings()
    try settings.read(
      yaml: """
        # a comment
        learning_rate: 2e-4
        model: 123
        target_modules: [q_proj, v_proj]
        rank_pattern: {k_proj: 4}
        layers_to_transform: 3
        max_steps: 10
        max_length:
        no_shuffle: yes
        """, path: "run.yaml")
    try settings.set("max_steps", text: "20", source: .commandLine)
    #expect(settings["learning_rate"] == .double(2e-4))
    #expect(settings["model"] == .string("123"))
    #expect(settings["target_modules"] == .array(["q_proj", "v_proj"]))
    #expect(settings["rank_pattern"] == .object(["k_proj": 4]))
    #expect(settings["layers_to_transform"] == .array([3]))
    #expect(settings["max_steps"] == .int(20))
    #expect(!settings.isSet("max_length"))
    #expect(settings["no_shuffle"] == .bool(true))
  }

  @Test(
    "An unknown key names the nearest known one, or ours for another trainer's",
    arguments: [
      ("learning_rte: 1", "'learning_rate'"), ("globl_batch_size: 1", "'global_batch_size'"),
      ("lora_r: 8", "'r'"), ("lora_rank: 8", "'r'"),
      ("per_device_train_batch_size: 1", "'micro_batch_size'"),
      ("gradient_accumulation_steps: 4", "global_batch_size"),
      ("cutoff_len: 1", "'max_length'"), ("max_seq_length: 1", "'max_length'"),
      ("sequence_len: 1", "'max_length'"), ("model_name_or_path: x", "'model'"),
      ("base_model: x", "'model'"), ("num_train_epochs: 1", "'num_epochs'"),
      ("clip_grad_norm: 1", "'max_grad_norm'"),
    ])
  func unknownKeys(line: String, named: String) throws {
    let error = try #require(throws: ConfigurationError.self) {
      var settings = RunSettings()
      try settings.read(yaml: "seed: 1\n" + line, path: "run.yaml")
    }
    #expect(error.description.contains(named), "\(error)")
    #expect(error.description.contains("run.yaml, line 2"), "\(error)")
    #expect(error.errorClass == .usage)
  }

  @Test(
    "A value of another kind is refused with key, line, found and expected",
    arguments: [
      ("learning_rate: fast", "'fast'", "a number"), ("max_steps: 1.5", "'1.5'", "whole number"),
      ("max_steps: 0", "'0'", "from 1 to"), ("no_shuffle: 3", "'3'", "true or false"),
      ("optimizer: adam", "'adam'", "adamw, sgd"), ("warmup_ratio: 2", "'2'", "from 0.0 to 1.0"),
      ("seed: [1, 2]", "[1, 2]", "whole number"), ("rank_pattern: 3", "3", "a JSON object"),
      ("learning_rate: nan", "'nan'", "a number"),
    ])
  func wrongKinds(line: String, found: String, expected: String) throws {
    let error = try #require(throws: ConfigurationError.self) {
      var settings = RunSettings()
      try settings.read(yaml: "\n" + line, path: "run.yaml")
    }
    for part in [found, expected, "run.yaml, line 2"] {
      #expect(error.description.contains(part), "\(error)")
    }
  }

  @Test(
    "What is no YAML mapping is refused",
    arguments: ["- a\n- b", "just text", "a: [1", "a: 1\na: 2"])
  func malformed(text: String) {
    #expect(throws: ConfigurationError.self) {
      var settings = RunSettings()
      try settings.read(yaml: text, path: "run.yaml")
    }
  }

  @Test(
    "Settings that exclude each other are refused",
    arguments: [
      ["micro_batch_size": "9"], ["num_epochs": "0"], ["adam_beta2": "1"], ["resume": ""],
      ["adapter": "a", "peft_config": "b"], ["early_stopping_patience": "2"],
    ])
  func conflicts(given: [String: String]) throws {
    var settings = RunSettings()
    for (key, text) in given { try settings.set(key, text: text, source: .commandLine) }
    #expect(throws: ConfigurationError.self) { try RunConfiguration(settings) }
  }

  @Test("Written settings read back as they were")
  func roundTrip() throws {
    var settings = RunSettings()
    for option in RunOption.all {
      if let value = option.defaultValue {
        try settings.set(option.key, value: value, source: .commandLine)
      }
    }
    try settings.set("target_modules", text: ".*\\.(q|v)_proj", source: .commandLine)
    try settings.set("rank_pattern", text: "{\"a\": 2}", source: .commandLine)
    try settings.set("model", text: "a dir: with # signs", source: .commandLine)
    let values = settings.entries.mapValues(\.value)
    var read = RunSettings()
    try read.read(yaml: RunSettings.yaml(values), path: "config.yaml")
    #expect(read.entries.mapValues(\.value) == values)
  }

  @Test("Numbers are written as YAML 1.1 and 1.2 both read numbers")
  func numbers() throws {
    // The resolvers of yaml.org/type/float.html with its base-60 left out, and of YAML 1.2's core schema.
    let old = /[-+]?([0-9][0-9_]*)\.[0-9_]*([eE][-+][0-9]+)?|[-+]?\.[0-9_]+([eE][-+][0-9]+)?/
    let new = /[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?/
    for number in [
      1e-8, 2e-5, 1.5e-7, -3e-9, 1e16, 1.25e22, 0.5, 0, 3, .leastNonzeroMagnitude, .pi,
    ] {
      let text = RunSettings.yaml(["adam_epsilon": .double(number)])
      let value = try #require(text.wholeMatch(of: /adam_epsilon: (.*)\n/)?.output.1)
      #expect(value.wholeMatch(of: old) != nil && value.wholeMatch(of: new) != nil, "\(value)")
      #expect(Double(value) == number)
    }
    let nested = RunSettings.yaml(["alpha_pattern": ["a": 1e-7, "b c": [2, 1e-9, "d", nil, true]]])
    #expect(nested == "alpha_pattern: {\"a\": 1.0e-07, \"b c\": [2, 1.0e-09, \"d\", null, true]}\n")
  }

  @Test("resume in YAML: true is the newest, false none, anything else a path")
  func resume() throws {
    for (text, expected) in [
      ("true", ResumeChoice.newest), ("True", .newest), ("newest", .newest), ("false", .no),
      ("null", .no), ("\"true\"", .checkpoint("true")), ("a/step.h5", .checkpoint("a/step.h5")),
    ] {
      var settings = RunSettings()
      try settings.read(yaml: "resume: \(text)\noutput_dir: out\n", path: "run.yaml")
      #expect(try RunConfiguration(settings).resume == expected, "\(text)")
    }
  }
  @Test("A few lines whose aliases stand for thousands of millions of values are refused")
  func aliases() throws {
    var text = "target_modules:\n- &l0 [" + String(repeating: "q,", count: 10) + "]\n"
    for level in 1...8 {
      let names = [String](repeating: "*l\(level - 1)", count: 10).joined(separator: ",")
      text += "- &l\(level) [\(names)]\n"
    }
    var settings = RunSettings()
    let error = #expect(throws: ConfigurationError.self) {
      try settings.read(yaml: text, path: "run.yaml")
    }
    #expect(error?.description.contains("more than 100000 values") == true)
  }
}
