import Foundation
import JSON
import Safetensors

/// The folder of committed fixtures.
package enum Fixtures {
  /// `Tests/Fixtures`.
  package static var directory: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures")
  }

  /// The path of a fixture.
  package static func path(_ relative: String) -> String {
    directory.appendingPathComponent(relative).path
  }

  /// A tiny base model's directory.
  package static func model(_ name: String) -> String { path("model/\(name)") }

  /// The tiny bases that bear the name of their `model_type`: one of each family.
  package static let families: [String] =
    ((try? FileManager.default.contentsOfDirectory(atPath: path("model"))) ?? []).sorted()
    .filter { (try? json("model/\($0)/config.json"))?["model_type"]?.string == $0 }

  /// Whether a base has feed-forward networks of experts.
  package static func hasExperts(_ base: String) -> Bool {
    (try? json("model/\(base)/config.json"))?["num_local_experts"] != nil
  }

  /// A JSON fixture.
  package static func json(_ relative: String) throws -> JSONValue {
    try JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: path(relative))))
  }

  /// All tensors of a safetensors fixture in f32, with their shapes.
  package static func tensors(_ relative: String) throws -> [String: GoldenTensor] {
    let file = try SafetensorsFile(path: path(relative))
    var result: [String: GoldenTensor] = [:]
    for name in file.names {
      let tensor = try file.tensor(named: name)
      result[name] = GoldenTensor(shape: tensor.shape, values: try tensor.floats())
    }
    return result
  }
}

/// A reference tensor.
package struct GoldenTensor: Sendable {
  package let shape: [Int]
  /// Its values, row-major.
  package let values: [Float]
}

/// A fixture that does not say what it must.
package struct FixtureError: Error, CustomStringConvertible {
  /// Which fixture, and what is missing or wrong in it.
  package let description: String
}

/// The ragged sequences that every golden number is computed on.
package struct GoldenInputs: Sendable {
  /// Token ids of each sequence.
  package let tokens: [[Int]]
  /// 1 where a token counts as a target.
  package let lossMask: [[Int]]

  /// Reads `inputs.json`.
  ///
  /// - Throws: ``FixtureError`` where there is no sequence, or a sequence and its mask differ in
  ///   length: a test that pairs them would compare less than it says.
  package init() throws {
    let value = try Fixtures.json("inputs.json")
    func lists(_ name: String) throws -> [[Int]] {
      try (value[name]?.array ?? []).map { list in
        try (list.array ?? []).map { element in
          guard let number = element.int else {
            throw FixtureError(description: "inputs.json: \(name) holds \(element.text())")
          }
          return number
        }
      }
    }
    tokens = try lists("tokens")
    lossMask = try lists("loss_mask")
    guard !tokens.isEmpty, tokens.map(\.count) == lossMask.map(\.count) else {
      throw FixtureError(
        description: "inputs.json: \(tokens.map(\.count)) tokens, \(lossMask.map(\.count)) masks")
    }
  }

  /// Tokens of all sequences.
  package var tokenCount: Int { tokens.reduce(0) { $0 + $1.count } }
}

/// One golden training run: a method on a tiny base, as the reference computed it.
package struct GoldenCase: Sendable {
  /// Name of the folder, which begins with the method's.
  package let name: String
  /// `case.json`.
  package let description: JSONValue
  package let method: String
  /// Name of the base model.
  package let base: String
  /// `model_type` of the base model.
  package let family: String
  /// How many numbers are trained.
  package let trainableParameters: Int
  /// The start's loss.
  package let loss: Double
  /// Losses before each update; as many as there are updates, and at least one.
  package let losses: [Double]
  /// Gradient norms before clipping, one an update.
  package let gradientNorms: [Double]
  /// The loss after the last update.
  package let finalLoss: Double
  package let optimizer: String

  /// Reads a case's description.
  ///
  /// - Throws: ``FixtureError`` where anything that the tests compare is missing, so that a damaged
  ///   fixture fails rather than compares nothing.
  package init(_ name: String) throws {
    let fields = try Fixtures.json("peft/\(name)/case.json")
    func field<T>(_ key: String, _ value: T?) throws -> T {
      guard let value else {
        throw FixtureError(description: "peft/\(name)/case.json has no usable '\(key)'")
      }
      return value
    }
    func numbers(_ key: String) throws -> [Double] {
      try field(key, fields[key]?.array).map { try field(key, $0.double) }
    }
    self.name = name
    description = fields
    method = try field("method", fields["method"]?.string)
    base = try field("base", fields["base"]?.string)
    family = try field(
      "base", Fixtures.json("model/\(base)/config.json")["model_type"]?.string)
    trainableParameters = try field("trainable_parameters", fields["trainable_parameters"]?.int)
    loss = try field("loss", fields["loss"]?.double)
    losses = try numbers("losses")
    gradientNorms = try numbers("gradient_norms")
    finalLoss = try field("final_loss", fields["final_loss"]?.double)
    optimizer = try field("training", fields["training"]?["optimizer"]?.string)
    let steps = try field("training", fields["training"]?["steps"]?.int)
    guard steps > 0, losses.count == steps, gradientNorms.count == steps else {
      throw FixtureError(
        description: """
          peft/\(name)/case.json: \(losses.count) losses and \(gradientNorms.count) gradient norms \
          of \(steps) steps
          """)
    }
    guard name.hasPrefix(method + "-") else {
      throw FixtureError(description: "peft/\(name) is a run of '\(method)'")
    }
  }

  /// Names of the cases that begin with `prefix`.
  ///
  /// That none is missing, one test of PEFT pins.
  package static func names(_ prefix: String) -> [String] {
    let all = try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("peft"))
    return (all ?? []).filter { $0.hasPrefix(prefix) }.sorted()
  }

  /// Directory of the base model.
  package var baseDirectory: String { Fixtures.model(base) }
  /// The adapter directory of the start.
  package var adapterDirectory: String { Fixtures.path("peft/\(name)/adapter") }
  /// A number of the optimiser's settings; NaN, which nothing equals, where there is none.
  package func training(_ name: String) -> Double {
    description["training"]?[name]?.double ?? .nan
  }

  /// Tensors of the start and their gradients, `start.NAME` and `grad.NAME`.
  package func golden() throws -> [String: GoldenTensor] {
    try Fixtures.tensors("peft/\(name)/golden.safetensors")
  }

  /// Tensors after the last update.
  package func final() throws -> [String: GoldenTensor] {
    try Fixtures.tensors("peft/\(name)/final.safetensors")
  }
}
