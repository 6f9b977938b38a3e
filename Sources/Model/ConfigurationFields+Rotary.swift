import Foundation
import JSON
import Tensors

/// How a family writes its rotary positions.
struct RotaryTraits: Sendable {
  /// The base's field beside the parameters, and its value where it is absent.
  var theta = (field: "rope_theta", value: 10_000.0)
  /// The share of a head that turns: its field beside the parameters, and its value where it is
  /// absent; nil where all of it does and another share is refused.
  var share: (field: String, value: Double)?
  /// Whether positions are LongRoPE's or not stretched at all, and `yarn` is a name of it.
  var isLongRoPE = false
  /// What `original_max_position_embeddings` beside the parameters is if absent; nil: it is not
  /// looked for.
  var originalPositions: Int?
}

extension DecoderConfiguration {
  /// Rotary positions, in transformers 5's spelling (`rope_parameters`) or the older one
  /// (`rope_theta` beside `rope_scaling`), which wins where both are there.
  mutating func readRotary(
    _ fields: ConfigurationFields, _ traits: RotaryTraits
  ) throws(ModelError) -> RotaryScheme {
    let outer = try fields.double(traits.theta.field, default: traits.theta.value)
    var share = 1.0
    if let outerShare = traits.share {
      share = try fields.double(outerShare.field, default: outerShare.value)
    } else {
      try fields.refuse("partial_rotary_factor", unless: [1, 1.0], expected: "1")
    }
    let newer = fields.value("rope_parameters")
    let older = fields.value("rope_scaling").flatMap { $0.isEmpty ? nil : $0 }
    let name = older == nil ? "rope_parameters" : "rope_scaling"
    guard let value = older ?? newer, !value.isEmpty else {
      return RotaryScheme(theta: outer, scaling: .none, features: turning(share))
    }
    let reader = try RotaryFields(name, value, fields, traits)
    let theta = try reader.positive("rope_theta", default: outer)
    let features = turning(try reader.share(default: share))
    let scaling = try reader.scaling(&self, features: features)
    fields.report(members: reader.unread, of: name)
    return RotaryScheme(theta: theta, scaling: scaling, features: features)
  }

  /// Features of a head that turn; the rest of a fraction is dropped, as in transformers.
  private func turning(_ share: Double) -> Int {
    Int(exactly: (Double(headDim) * share).rounded(.towardZero)) ?? 0
  }
}

/// Reads the members of `rope_parameters` or `rope_scaling`.
final class RotaryFields {
  private let name: String
  private let members: [String: JSONValue]
  private let fields: ConfigurationFields
  private let traits: RotaryTraits
  private var read: Set<String> = ["rope_type", "type"]

  init(
    _ name: String, _ value: JSONValue, _ fields: ConfigurationFields, _ traits: RotaryTraits
  ) throws(ModelError) {
    guard let members = value.object else { throw fields.wrong(name, value, "an object") }
    if let layerType = members.first(where: { $0.value.object != nil }) {
      throw fields.wrong("\(name).\(layerType.key)", layerType.value, "one set for all layers")
    }
    self.name = name
    self.members = members
    self.fields = fields
    self.traits = traits
  }

  /// Members that nobody asked for and that are not empty.
  var unread: [String] {
    members.filter { !read.contains($0.key) && !$0.value.isEmpty }.keys.sorted()
  }

  /// The share of a head that turns.
  func share(default outer: Double) throws(ModelError) -> Double {
    let share = try positive("partial_rotary_factor", default: outer)
    if share > 1 || (traits.share == nil && share != 1) {
      throw fields.wrong(
        "\(name).partial_rotary_factor", .double(share),
        traits.share == nil ? "1" : "a number up to 1")
    }
    return share
  }

  /// The stretching, and the positions that it is for.
  ///
  /// - Parameter features: how many of a head turn.
  func scaling(
    _ c: inout DecoderConfiguration, features: Int
  ) throws(ModelError) -> RotaryScaling {
    let type = (members["rope_type"] ?? members["type"])?.string ?? "default"
    if traits.isLongRoPE && type != "default" {
      guard ["longrope", "yarn"].contains(type) else {
        throw fields.wrong("\(name).rope_type", .string(type), "default, longrope")
      }
      return .longRoPE(try longRoPE(c, features: features))
    }
    switch type {
    case "default": return .none
    case "linear": return .linear(factor: try positive("factor"))
    case "llama3":
      return .llama3(
        factor: try positive("factor"), lowFactor: try positive("low_freq_factor"),
        highFactor: try positive("high_freq_factor"), originalPositions: try originalPositions(c))
    case "dynamic":
      guard features > 2 else {
        throw fields.wrong("\(name).rope_type", .string(type), "heads of more than 2 features")
      }
      let (factor, trained) = (try positive("factor"), c.maximumPositions)
      c.maximumPositions = stretched(trained, by: factor, atLeast: trained)
      return .dynamic(factor: factor, trainedPositions: trained)
    case "yarn": return .yarn(try yarn(&c))
    case "longrope": return .longRoPE(try longRoPE(c, features: features))
    default:
      throw fields.wrong(
        "\(name).rope_type", .string(type), "default, linear, dynamic, llama3, yarn, longrope")
    }
  }

  private func longRoPE(
    _ c: DecoderConfiguration, features: Int
  ) throws(ModelError) -> LongRoPE {
    let original = try originalPositions(c)
    let factor = try number("factor") ?? Double(c.maximumPositions) / Double(original)
    let attention =
      factor <= 1
      ? 1 : (1 + PortableMath.log(factor) / PortableMath.log(Double(original))).squareRoot()
    return LongRoPE(
      shortFactors: try factors("short_factor", count: features / 2),
      longFactors: try factors("long_factor", count: features / 2), originalPositions: original,
      attentionFactor: try number("attention_factor") ?? attention)
  }

  /// A list of numbers above 0, one a pair.
  private func factors(_ field: String, count: Int) throws(ModelError) -> [Double] {
    read.insert(field)
    guard let value = members[field] else {
      throw .missingField(name: "\(name).\(field)", path: fields.path)
    }
    let numbers = value.array?.compactMap(\.double) ?? []
    guard numbers.count == count, numbers.allSatisfy({ $0 > 0 }) else {
      throw fields.wrong(
        "\(name).\(field)", value,
        "a list of \(count) positive numbers, one for each pair of features that turns: hidden_size "
          + "over num_attention_heads, times partial_rotary_factor, half of it")
    }
    return numbers
  }

  private func yarn(_ c: inout DecoderConfiguration) throws(ModelError) -> YaRN {
    let original = try originalPositions(c)
    // Null is the ratio that the positions imply.
    let factor =
      members["factor"]?.isNull ?? false
      ? Double(c.maximumPositions) / Double(original) : try positive("factor")
    read.insert("factor")
    c.maximumPositions = stretched(original, by: factor, atLeast: c.maximumPositions)
    func scale(_ weight: Double) -> Double {
      factor <= 1 ? 1 : 0.1 * weight * PortableMath.log(factor) + 1
    }
    let (scaled, scaledForAll) = (try number("mscale"), try number("mscale_all_dim"))
    var attention = scale(1)
    if let scaled, let scaledForAll, scaled != 0, scaledForAll != 0 {
      attention = scale(scaled) / scale(scaledForAll)
    }
    // Null is false here, absent is true.
    read.insert("truncate")
    let truncates = members["truncate"].map { $0.bool ?? false } ?? true
    return YaRN(
      factor: factor, originalPositions: original, betaFast: try positive("beta_fast", or: 32),
      betaSlow: try positive("beta_slow", or: 1),
      attentionFactor: try number("attention_factor") ?? attention, truncates: truncates)
  }

  /// The length that the model was trained at; a field of that name beside the others wins.
  private func originalPositions(_ c: DecoderConfiguration) throws(ModelError) -> Int {
    let field = "original_max_position_embeddings"
    read.insert(field)
    if fields.has(field) || traits.originalPositions != nil {
      return try fields.int(field, default: traits.originalPositions ?? c.maximumPositions)
    }
    guard let value = members[field] else { return c.maximumPositions }
    guard let positions = value.int, positions > 0 else {
      throw fields.wrong("\(name).\(field)", value, "a positive whole number")
    }
    return positions
  }

  private func stretched(_ positions: Int, by factor: Double, atLeast least: Int) -> Int {
    max(least, Int(exactly: (Double(positions) * factor).rounded(.down)) ?? least)
  }

  /// A number above 0; `standard` where it is absent.
  func positive(_ field: String, default standard: Double? = nil) throws(ModelError) -> Double {
    read.insert(field)
    guard let value = members[field] else {
      guard let standard else {
        throw .missingField(name: "\(name).\(field)", path: fields.path)
      }
      return standard
    }
    guard let number = value.double, number > 0 else {
      throw fields.wrong("\(name).\(field)", value, "a positive number")
    }
    return number
  }

  /// A number above 0; `standard` where it is absent, null or 0, as transformers has it.
  private func positive(_ field: String, or standard: Double) throws(ModelError) -> Double {
    let value = try number(field) ?? 0
    return value == 0 ? standard : try positive(field)
  }

  /// A number; nil where it is absent or null.
  private func number(_ field: String) throws(ModelError) -> Double? {
    read.insert(field)
    guard let value = members[field], !value.isNull else { return nil }
    guard let number = value.double else {
      throw fields.wrong("\(name).\(field)", value, "a number or null")
    }
    return number
  }
}
