import JSON
import PEFT
import Testing
import Training

@Suite("Settings of a comparison") struct ComparisonSettingsTests {
  private func settings(_ yaml: String) throws -> ComparisonSettings {
    var settings = ComparisonSettings()
    try settings.read(yaml: yaml, path: "run.yaml")
    return settings
  }

  @Test("A section of the YAML file sets methods and what is theirs; the rest is shared")
  func section() throws {
    var settings = try settings(
      """
      global_batch_size: 16
      num_virtual_tokens: 8
      compare:
        methods: [prefix-tuning, lora]
        max_score_examples: 7
        lora: {r: 16, learning_rate: 1e-3}
      """)
    try settings.check()
    #expect(settings.methods == ["prefix-tuning", "lora"])
    #expect(settings.maximumQuestions == 7)
    let lora = try RunConfiguration(settings.settings(for: "lora", learningRate: 0.5))
    #expect(lora.method == "lora" && lora.globalBatchSize == 16 && lora.learningRate == 1e-3)
    #expect(lora.methodFields(of: "lora") == ["r": 16])
    let prefix = try RunConfiguration(settings.settings(for: "prefix-tuning", learningRate: 0.5))
    #expect(prefix.learningRate == 0.5)
    #expect(prefix.methodFields(of: "prefix-tuning") == ["num_virtual_tokens": 8])

    // Later words win, and a rate for all is one for each that has none of its own.
    try settings.set("lora.r=4", source: .commandLine)
    try settings.setLearningRates("lora=2e-3", source: .commandLine)
    try settings.shared.set("learning_rate", text: "3e-3", source: .commandLine)
    #expect(try settings.settings(for: "lora", learningRate: 0.5)["r"] == 4)
    #expect(try settings.settings(for: "lora", learningRate: 0.5)["learning_rate"] == 2e-3)
    #expect(try settings.settings(for: "prefix-tuning", learningRate: 0.5)["learning_rate"] == 3e-3)
  }

  @Test("Every method is compared where none is named, with no field of another's")
  func all() throws {
    var settings = ComparisonSettings()
    for (key, text) in [
      ("r", "4"), ("num_virtual_tokens", "3"), ("adapter_len", "2"), ("bottleneck_size", "5"),
      ("target_modules", "q_proj,v_proj"),
    ] { try settings.shared.set(key, text: text, source: .commandLine) }
    try settings.set("ia3.target_modules=all-linear", source: .commandLine)
    #expect(settings.methods == PEFTMethods.names)
    try settings.check()
    var fields: [String: Set<String>] = [:]
    for method in settings.methods {
      let run = try RunConfiguration(settings.settings(for: method, learningRate: 1))
      fields[method] = Set(run.methodFields(of: method).keys)
    }
    #expect(fields["lora"] == ["r", "target_modules"])
    #expect(
      fields["adalora"] == ["target_modules"] && fields["miss"] == ["r", "target_modules"])
    #expect(fields["prompt-tuning"] == ["num_virtual_tokens"])
    #expect(fields["bottleneck"] == ["bottleneck_size"])
    #expect(fields["full"] == [])
    #expect(try settings.settings(for: "ia3", learningRate: 1)["target_modules"] == "all-linear")

    // A suggestion for a method that is not compared disturbs nobody.
    var few = ComparisonSettings()
    try few.set("lora.r=16", source: .commandLine, isSuggestion: true)
    try few.choose("ia3", source: .commandLine)
    try few.check()
  }

  @Test(
    "What is wrong is named with its line and its remedy",
    arguments: [
      ("compare: {lroa: {r: 2}}", "'lora'"), ("compare: {methods: [lora, lora]}", "each once"),
      ("compare: {methods: [lora, sing]}", "sing"),
      ("compare:\n  lora: {seed: 3}", "all methods share it"),
      ("compare:\n  lora: {rr: 3}", "line 2"), ("compare: 3", "mapping"),
      ("compare: {methods: [ia3], lora: {r: 2}}", "not compared"),
      ("r: 3\ncompare: {methods: [ia3]}", "None of the methods"),
      ("method: lora", "--methods"), ("adapter: x", "afresh"), ("resume: x.h5", "--resume alone"),
      ("compare: {full: {r: 3}}", "'r'"), ("compare: {max_score_examples: many}", "whole number"),
    ])
  func wrong(yaml: String, part: String) {
    do {
      try settings(yaml).check()
      Issue.record("nothing was wrong with \(yaml)")
    } catch { #expect("\(error)".contains(part), "\(error)") }
  }

  @Test(
    "Wrong words of the command line are usage errors",
    arguments: ["lora", "lora.r", "r=3", "sing.r=3", "lora.rr=3", "lora.r=x", "lora.max_steps=3"])
  func wrongWords(text: String) {
    #expect(throws: ConfigurationError.self) {
      var settings = ComparisonSettings()
      try settings.set(text, source: .commandLine)
    }
  }

  @Test("train names the command that reads the section")
  func advice() {
    let error = #expect(throws: ConfigurationError.self) {
      var settings = RunSettings()
      try settings.read(yaml: "compare: {methods: [lora]}", path: "run.yaml")
    }
    #expect(error?.description.contains("swift-peft-train compare") ?? false)
  }

  @Test("Suggested rates fall with the width where weights of that width move, and only there")
  func rates() throws {
    for name in PEFTMethods.names {
      let narrow = try #require(PEFTMethods.suggestedLearningRate(name, hiddenSize: 128))
      let wide = try #require(PEFTMethods.suggestedLearningRate(name, hiddenSize: 4096))
      #expect(narrow >= wide && wide > 0 && narrow < 2, "\(name)")
    }
    let lora = try #require(PEFTMethods.suggestedLearningRate("lora", hiddenSize: 2048))
    let full = try #require(PEFTMethods.suggestedLearningRate("full", hiddenSize: 2048))
    #expect(full < lora)
    let prefix = try #require(PEFTMethods.suggestedLearningRate("prefix-tuning", hiddenSize: 128))
    let projected = try #require(
      PEFTMethods.suggestedLearningRate(
        "prefix-tuning", hiddenSize: 128, fields: ["prefix_projection": true]))
    #expect(projected < prefix)
    #expect(PEFTMethods.suggestedLearningRate("sing", hiddenSize: 128) == nil)
  }
}
