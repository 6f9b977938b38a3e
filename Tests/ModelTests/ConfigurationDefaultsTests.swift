import Foundation
import JSON
import Kernels
import Model
import Tensors
import TestSupport
import Testing

/// What becomes of every field that is absent or null: as transformers has it, or refused by name.
@Suite("Defaults of config.json")
struct ConfigurationDefaultsTests {
  /// A configuration of `configurations.json`, and what a model of transformers has of it.
  struct Case: CustomTestStringConvertible {
    let name: String
    let configuration: JSONValue
    /// The fields that tell it from its family's configuration.
    let fields: [String]
    /// Nil where transformers refuses it.
    let facts: [String: JSONValue]?
    var testDescription: String { name }
  }

  static let cases: [Case] = {
    guard let document = try? Fixtures.json("configurations.json") else { return [] }
    return (document["cases"]?.array ?? []).map { value in
      let family = document["families"]?[value["family"]?.string ?? ""]
      let absent = value["without"]?.array?.compactMap(\.string) ?? []
      let changed = value["fields"]?.object ?? [:]
      let configuration = (family?["config"]?.object ?? [:])
        .filter { !absent.contains($0.key) }.merging(changed) { $1 }
      let facts = value["facts"]?.object.map {
        (family?["facts"]?.object ?? [:]).merging($0) { $1 }
      }
      return Case(
        name: value["name"]?.string ?? "", configuration: .object(configuration),
        fields: absent + changed.keys, facts: facts)
    }
  }()

  /// Functions of `ACT2FN` that no model of these families has been published with.
  private static let unbuilt = [
    "mish", "gelu_10", "relu6", "leaky_relu", "sigmoid", "linear", "hardswish", "laplace",
  ]

  @Test("There is a case for every family")
  func everyFamily() {
    let found = Set(Self.cases.compactMap { $0.configuration["model_type"]?.string })
    #expect(found == Set(DecoderConfiguration.modelTypes))
    #expect(Self.cases.count > 200)
  }

  @Test("A field that is absent or null means what it means to transformers", arguments: cases)
  func field(_ test: Case) throws {
    let activation = test.configuration["hidden_act"]?.string ?? ""
    guard let facts = test.facts, !Self.unbuilt.contains(activation) else {
      let error = try #require(throws: ModelError.self) {
        try DecoderConfiguration(test.configuration)
      }
      // A member of the rotary parameters is named by itself.
      let isNamed = test.fields.contains { error.description.contains($0) }
      #expect(isNamed, "\(error)")
      return
    }
    let c = try DecoderConfiguration(test.configuration)
    func expect(
      _ name: String, _ found: [Double], within tolerance: Double = 0, ofAtLeast least: Double = 0
    ) {
      guard let expected = facts[name] else { return }
      let numbers = (expected.array ?? [expected]).map { $0.double ?? ($0.bool == true ? 1 : 0) }
      let isNear =
        numbers.count == found.count
        && zip(numbers, found).allSatisfy { abs($0 - $1) <= tolerance * max(abs($0), least) }
      #expect(isNear, "\(name) is \(found), not \(numbers)")
    }
    expect("vocabulary", [Double(c.vocabularySize)])
    expect("hidden", [Double(c.hiddenSize)])
    expect("blocks", [Double(c.blockCount)])
    expect("intermediate", [Double(c.intermediateSize)])
    expect("heads", [Double(c.headCount)])
    expect("key_value_heads", [Double(c.keyValueHeadCount)])
    expect("head_dim", [Double(c.headDim)])
    expect("epsilon", [c.normEpsilon])
    expect("tied", [c.tiesEmbeddings ? 1 : 0])
    expect("ends", c.endTokens.map(Double.init))
    expect("scales", c.attentionScales, within: 1e-12)
    expect("windows", c.windows.map(Double.init))
    expect(
      "factors", [c.tokenScale, c.embeddingScale, c.residualScale, c.logitScale], within: 1e-12)
    expect("caps", [c.attentionSoftCap, c.logitSoftCap])
    if c.rotary.contains(where: { $0 != nil }) {
      expect("turning", c.rotary.map { $0 == nil ? 0 : 1 })
    }
    if let experts = c.experts {
      expect(
        "experts",
        [experts.count, experts.countPerToken, experts.intermediateSize].map(Double.init)
          + [experts.normalizesWeights ? 1 : 0])
      expect("sparse", experts.blocks.map { $0 ? 1 : 0 })
    } else {
      #expect(facts["sparse"] == nil || test.name.hasSuffix("no experts"))
    }
    expect("key_norm", [c.queryKeyNorm == .none ? 0 : 1])
    expect(
      "biases", [c.queryKeyValueBias, c.outputBias, c.feedForwardBias].map { $0 ? 1 : 0 })
    // Φ and tanh are within a few units in the last place of 1, and then multiplied by up to 3.
    expect(
      "activation", values(of: c.activation), within: 16 * Tolerance.unitRoundoff, ofAtLeast: 3)
    if let rotary = c.rotary.compactMap(\.self).first {
      expect("pairs", [Double(rotary.features / 2)])
      // In f32 there.
      let frequencies = rotary.inverseFrequencies(length: 0)
      expect("frequencies", Array(frequencies.prefix(4)), within: 1e-6)
      expect("amplitude", [rotary.amplitude], within: 1e-6)
    }
    // Gemma 3's positions of blocks without a window, and of those with one.
    for (index, expected) in (facts["schemes"]?.array ?? []).enumerated() {
      guard let expected = expected.array?.compactMap(\.double), !expected.isEmpty else { continue }
      for (window, scheme) in zip(c.windows, c.rotary) where (window > 0) == (index == 1) {
        let found = scheme?.inverseFrequencies(length: 0).prefix(4) ?? []
        let isNear = zip(found, expected).allSatisfy { abs($0 - $1) <= 1e-6 * $1 }
        #expect(isNear && found.count == expected.count, "\(found), not \(expected)")
      }
    }
    // Stretched positions have room for more than the field says.
    let positions = facts["positions"]?.int ?? 0
    #expect(positions > 0 && c.maximumPositions >= positions)
    if c.rotary.allSatisfy({ $0 == nil || $0?.scaling == RotaryScaling.none }) {
      #expect(c.maximumPositions == positions)
    }
  }

  /// The function at the points where the fixture has it.
  private func values(of kind: ActivationFunction) -> [Double] {
    let buffer = FloatBuffer(count: 4)
    let x = buffer.view(rows: 1, columns: 4)
    for (index, value) in [-3, -0.7, 0.4, 2.5].enumerated() { x[0, index] = Float(value) }
    Activation.forward(kind, x, into: x, on: Compute(threads: 1))
    let values = x.elements.map(Double.init)
    _ = buffer.count
    return values
  }
}
