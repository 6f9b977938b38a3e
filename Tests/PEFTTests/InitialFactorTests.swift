import JSON
import PEFT
import TestSupport
import Testing

/// PiSSA and OLoRA: factors taken out of the base, and the plain adapter that they are stored as.
@Suite("Starts in the base")
struct InitialFactorTests {
  static let cases = GoldenCase.names("").filter { $0.contains("pissa") || $0.contains("olora") }

  @Test("There are both")
  func both() { #expect(Set(cases: Self.cases) == ["pissa", "olora"]) }

  /// B₀A₀ of every projection, from factors by name.
  private func products(_ a: [String: [Float]], _ b: [String: [Float]], rank: Int) -> [String:
    [Double]]
  {
    var result: [String: [Double]] = [:]
    for (module, a) in a {
      guard let b = b[module] else { continue }
      let (rows, columns) = (b.count / rank, a.count / rank)
      result[module] = (0..<(rows * columns)).map { place in
        (0..<rank).reduce(0) {
          $0 + Double(b[place / columns * rank + $1]) * Double(a[$1 * columns + place % columns])
        }
      }
    }
    return result
  }

  @Test("The factors' product is PEFT's", arguments: cases)
  func factors(_ name: String) throws {
    let golden = try GoldenCase(name)
    let adapted = try AdaptedBase(golden)
    let rank = 4
    var ours: (a: [String: [Float]], b: [String: [Float]]) = ([:], [:])
    for slot in adapted.arena.slots where slot.role == .fixed {
      let module = String(slot.name.dropLast(".lora_A.initial".count))
      let values = adapted.arena.valueElements(slot)
      if slot.name.hasSuffix("lora_A.initial") {
        ours.a[module] = values
      } else {
        ours.b[module] = values
      }
    }
    #expect(!ours.a.isEmpty && ours.a.keys == ours.b.keys)
    // The second halves of what PEFT converted.
    var theirs: (a: [String: [Float]], b: [String: [Float]]) = ([:], [:])
    for tensor in try AdaptedBase.adapter(golden, "converted-adapter").tensors {
      let module = String(tensor.name.dropLast(".lora_A.weight".count))
      if tensor.name.hasSuffix("lora_A.weight") {
        theirs.a[module] = Array(tensor.values.suffix(tensor.count / 2))
      } else {
        theirs.b[module] = (0..<tensor.shape[0]).flatMap { row in
          (0..<rank).map { -tensor.values[row * 2 * rank + rank + $0] }
        }
      }
    }
    let found = products(ours.a, ours.b, rank: rank)
    let expected = products(theirs.a, theirs.b, rank: rank)
    #expect(found.keys == expected.keys)
    for (module, product) in expected {
      let error = relativeError(found[module] ?? [], product)
      // PEFT decomposes in f32, which turns singular vectors by about its unit roundoff times the
      // largest singular value over the gap to the next one; the gaps here are a hundredth of it.
      #expect(error <= 1e-4, "\(module) is off by \(error)")
    }
  }

  @Test(
    "What is written is a plain adapter of twice the rank, as PEFT converts it", arguments: cases)
  func converted(_ name: String) throws {
    let golden = try GoldenCase(name)
    let adapted = try AdaptedBase(golden)
    let export = try #require(adapted.method.export(baseName: ""))
    let theirs = try AdaptedBase.adapter(golden, "converted-adapter")
    for key in ["r", "lora_alpha", "init_lora_weights", "use_rslora", "rank_pattern"] {
      let (written, expected) = (export.configuration[key], theirs.options[key])
      #expect(written?.says(expected ?? .null) == true, "\(key) is \(written?.text() ?? "")")
    }
    #expect(Set(export.tensors.map(\.name)) == Set(theirs.tensors.map(\.name)))
    let logits = try #require(try golden.golden()["logits"]).values.map(Double.init)
    let base = golden.description["base"]?.string ?? ""
    for (options, tensors) in [
      (export.configuration.object ?? [:], export.tensors), (theirs.options, theirs.tensors),
    ] {
      let plain = try AdaptedBase("lora", on: base, options, loading: tensors)
      let found = try plain.logits().map(Double.init)
      let error = relativeError(found, logits)
      #expect(error <= 1e-5, "logits are off by \(error)")
    }
  }

  @Test(
    "A checkpoint's tensors are exported, and read, as the same plain adapter", arguments: cases)
  func checkpoint(_ name: String) throws {
    let golden = try GoldenCase(name)
    let adapted = try AdaptedBase(golden)
    let export = try #require(adapted.method.export(baseName: ""))
    let stored = adapted.arena.slots.map {
      NamedTensor(name: $0.name, shape: $0.shape, values: adapted.arena.valueElements($0))
    }
    let again = try PEFTMethods.export(stored, configuration: export.configuration, notes: [])
    let written = Dictionary(uniqueKeysWithValues: again.tensors.map { ($0.name, $0) })
    #expect(written.count == export.tensors.count)
    for tensor in export.tensors {
      #expect(written[tensor.name]?.shape == tensor.shape)
      #expect(written[tensor.name]?.values == tensor.values)
    }
    let base = golden.description["base"]?.string ?? ""
    let read = try AdaptedBase(
      "lora", on: base, export.configuration.object ?? [:], loading: stored)
    let fromFile = try AdaptedBase(
      "lora", on: base, export.configuration.object ?? [:], loading: export.tensors)
    #expect(try read.logits() == fromFile.logits())
  }

  @Test(
    "Training starts at the base but for rounding",
    arguments: ["pissa", "pissa_niter_2", "olora"], ["llama", "qwen2", "gpt2"])
  func start(_ word: String, _ base: String) throws {
    let options: [String: JSONValue] = ["init_lora_weights": .string(word), "r": 4]
    let adapted = try AdaptedBase("lora", on: base, options)
    let bare = try AdaptedBase("lora", on: base)
    let error = relativeError(
      try adapted.logits().map(Double.init), try bare.logits().map(Double.init))
    #expect(error <= 1e-5)
    #expect(
      adapted.arena.parameterCount
        == (try AdaptedBase("lora", on: base, ["r": 4])).arena.parameterCount)
  }

  @Test("Neither DoRA, a bias on B, nor more factors than there are start in the base")
  func refusals() {
    for more in [["use_dora": true], ["lora_bias": true], ["r": 33]] as [[String: JSONValue]] {
      #expect(throws: PEFTError.self) {
        _ = try AdaptedBase(
          "lora", on: "llama-biases", more.merging(["init_lora_weights": "pissa"]) { $1 })
      }
    }
  }
}

extension Set<String> {
  /// The starts that the names of some cases speak of.
  fileprivate init(cases: [String]) {
    self.init(cases.map { $0.contains("pissa") ? "pissa" : "olora" })
  }
}
