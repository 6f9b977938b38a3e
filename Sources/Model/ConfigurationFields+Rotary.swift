import Foundation
import JSON
import Tensors

extension DecoderConfiguration {
  /// Rotary positions, in transformers 5's spelling (`rope_parameters`) or the older one
  /// (`rope_theta` beside `rope_scaling`), which wins where both are there.
  static func readRotary(_ fields: ConfigurationFields, into c: inout Self) throws(ModelError) {
    let outer = try fields.double("rope_theta", default: 10_000)
    let newer = fields.value("rope_parameters")
    let older = fields.value("rope_scaling").flatMap { $0.isEmpty ? nil : $0 }
    let name = older == nil ? "rope_parameters" : "rope_scaling"
    guard let value = older ?? newer, !value.isEmpty else {
      c.rotary = RotaryScheme(theta: outer, scaling: .none, headDim: c.headDim)
      return
    }
    let reader = try RotaryFields(name, value, fields)
    let theta = try reader.positive("rope_theta", default: outer)
    let scaling = try reader.scaling(&c)
    c.rotary = RotaryScheme(theta: theta, scaling: scaling, headDim: c.headDim)
    fields.report(members: reader.unread, of: name)
  }
}

/// Reads the members of `rope_parameters` or `rope_scaling`.
private final class RotaryFields {
  private let name: String
  private let members: [String: JSONValue]
  private let fields: ConfigurationFields
  private var read: Set<String> = ["rope_type", "type"]

  init(_ name: String, _ value: JSONValue, _ fields: ConfigurationFields) throws(ModelError) {
    guard let members = value.object else { throw fields.wrong(name, value, "an object") }
    if let layerType = members.first(where: { $0.value.object != nil }) {
      throw fields.wrong("\(name).\(layerType.key)", layerType.value, "one set for all layers")
    }
    self.name = name
    self.members = members
    self.fields = fields
  }

  /// Members that nobody asked for and that are not empty.
  var unread: [String] {
    members.filter { !read.contains($0.key) && !$0.value.isEmpty }.keys.sorted()
  }

  /// The stretching, and the positions that it is for.
  func scaling(_ c: inout DecoderConfiguration) throws(ModelError) -> RotaryScaling {
    read.insert("partial_rotary_factor")
    if let factor = members["partial_rotary_factor"], factor.double != 1 {
      throw fields.wrong("\(name).partial_rotary_factor", factor, "1")
    }
    let type = (members["rope_type"] ?? members["type"])?.string ?? "default"
    switch type {
    case "default": return .none
    case "linear": return .linear(factor: try positive("factor"))
    case "llama3":
      return .llama3(
        factor: try positive("factor"), lowFactor: try positive("low_freq_factor"),
        highFactor: try positive("high_freq_factor"), originalPositions: try originalPositions(c))
    case "dynamic":
      guard c.headDim > 2 else {
        throw fields.wrong("\(name).rope_type", .string(type), "heads of more than 2 features")
      }
      let (factor, trained) = (try positive("factor"), c.maximumPositions)
      c.maximumPositions = stretched(trained, by: factor, atLeast: trained)
      return .dynamic(factor: factor, trainedPositions: trained)
    case "yarn": return .yarn(try yarn(&c))
    default:
      throw fields.wrong(
        "\(name).rope_type", .string(type), "default, linear, dynamic, llama3, yarn")
    }
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
    if fields.has(field) { return try fields.int(field, default: c.maximumPositions) }
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
