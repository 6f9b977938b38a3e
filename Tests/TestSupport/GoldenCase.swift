import Foundation
import JSON
import Safetensors

/// The folder of committed fixtures.
public enum Fixtures {
  /// `Tests/Fixtures`.
  public static var directory: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures")
  }

  /// The path of a fixture.
  public static func path(_ relative: String) -> String {
    directory.appendingPathComponent(relative).path
  }

  /// A tiny base model's directory.
  public static func model(_ name: String) -> String { path("model/\(name)") }

  /// A JSON fixture.
  public static func json(_ relative: String) throws -> JSONValue {
    try JSONValue(parsing: Data(contentsOf: URL(fileURLWithPath: path(relative))))
  }

  /// All tensors of a safetensors fixture in f32, with their shapes.
  public static func tensors(_ relative: String) throws -> [String: GoldenTensor] {
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
public struct GoldenTensor: Sendable {
  /// Its dimensions.
  public let shape: [Int]
  /// Its values, row-major.
  public let values: [Float]
}

/// The ragged sequences that every golden number is computed on.
public struct GoldenInputs: Sendable {
  /// Token ids of each sequence.
  public let tokens: [[Int]]
  /// 1 where a token counts as a target.
  public let lossMask: [[Int]]

  /// Reads `inputs.json`.
  public init() throws {
    let value = try Fixtures.json("inputs.json")
    func lists(_ name: String) -> [[Int]] {
      (value[name]?.array ?? []).map { ($0.array ?? []).compactMap(\.int) }
    }
    tokens = lists("tokens")
    lossMask = lists("loss_mask")
  }

  /// Tokens of all sequences.
  public var tokenCount: Int { tokens.reduce(0) { $0 + $1.count } }
}

/// One golden training run: a method on a tiny base, as the reference computed it.
public struct GoldenCase: Sendable {
  /// Name of the folder.
  public let name: String
  /// `case.json`.
  public let description: JSONValue

  /// Reads a case's description.
  public init(_ name: String) throws {
    self.name = name
    description = try Fixtures.json("peft/\(name)/case.json")
  }

  /// Names of the cases that begin with `prefix`.
  public static func names(_ prefix: String) -> [String] {
    let all = try? FileManager.default.contentsOfDirectory(atPath: Fixtures.path("peft"))
    return (all ?? []).filter { $0.hasPrefix(prefix) }.sorted()
  }

  /// Directory of the base model.
  public var baseDirectory: String { Fixtures.model(description["base"]?.string ?? "") }
  /// Name of the method.
  public var method: String { description["method"]?.string ?? "" }
  /// The adapter directory of the start.
  public var adapterDirectory: String { Fixtures.path("peft/\(name)/adapter") }
  /// The start's loss.
  public var loss: Double { description["loss"]?.double ?? .nan }
  /// Losses before each update.
  public var losses: [Double] { numbers("losses") }
  /// Gradient norms before clipping.
  public var gradientNorms: [Double] { numbers("gradient_norms") }
  /// The loss after the last update.
  public var finalLoss: Double { description["final_loss"]?.double ?? .nan }
  /// A number of the optimiser's settings.
  public func training(_ name: String) -> Double {
    description["training"]?[name]?.double ?? .nan
  }
  /// The optimiser.
  public var optimizer: String { description["training"]?["optimizer"]?.string ?? "" }

  /// Tensors of the start and their gradients, `start.NAME` and `grad.NAME`.
  public func golden() throws -> [String: GoldenTensor] {
    try Fixtures.tensors("peft/\(name)/golden.safetensors")
  }

  /// Tensors after the last update.
  public func final() throws -> [String: GoldenTensor] {
    try Fixtures.tensors("peft/\(name)/final.safetensors")
  }

  private func numbers(_ name: String) -> [Double] {
    (description[name]?.array ?? []).compactMap(\.double)
  }
}
