import Foundation
import JSON
import PEFT
import TestSupport
import Testing

/// P-tuning's encoders and the prefix's projection against references of our own in `Double`.
@Suite("Prompt encoders")
struct PromptEncoderTests {
  static let encoders: [(String, [String: JSONValue])] = [
    ("p-tuning", ["encoder_hidden_size": 3, "encoder_num_layers": 2]),
    ("p-tuning", ["encoder_hidden_size": 5, "encoder_num_layers": 1]),
    ("p-tuning", ["encoder_hidden_size": 5, "encoder_reparameterization_type": "MLP"]),
    ("prefix-tuning", ["encoder_hidden_size": 3, "prefix_projection": true]),
  ]

  @Test("Prompt and gradients match central differences of a reference", arguments: encoders)
  func gradients(_ method: String, _ given: [String: JSONValue]) throws {
    var options = given
    options["num_virtual_tokens"] = 3
    let adapted = try AdaptedBase(method, on: "llama", options)
    let arena = adapted.arena
    let prompt = adapted.slot("prompt_embeddings")
    #expect(prompt.role == .computed)
    let derived = arena.slots.filter { $0.role == .derived }
    var values: [String: [Double]] = [:]
    for slot in derived { values[slot.name] = arena.valueElements(slot).map(Double.init) }

    let reference = ReferenceEncoder(rows: 3, layerCount: given["encoder_num_layers"]?.int ?? 0)
    let expected = reference.prompt(values)
    let found = arena.valueElements(prompt).map(Double.init)
    #expect(relativeError(found, expected) < 1e-5)

    // A prompt's gradient of our choice; the encoder's must follow from it.
    let dPrompt = (0..<prompt.count).map { sin(Double($0) + 0.5) }
    arena.gradients(prompt).assign(dPrompt.map { Float($0) })
    adapted.method.didReduceGradients(adapted.context(1))
    for slot in derived {
      // Of a large tensor the first numbers are enough.
      let all = values[slot.name] ?? []
      let count = min(all.count, 96)
      let numeric = numericalGradient(at: Array(all.prefix(count)), times: dPrompt) { point in
        var changed = values
        changed[slot.name] = point + all.dropFirst(count)
        return reference.prompt(changed)
      }
      let gradient = arena.gradientElements(slot).prefix(count).map(Double.init)
      #expect(relativeError(gradient, numeric) < 1e-4, "\(slot.name)")
    }
  }

  @Test("Dropout between LSTM layers changes the prompt of training alone")
  func dropout() throws {
    let adapted = try AdaptedBase(
      "p-tuning", on: "llama",
      ["encoder_hidden_size": 4, "encoder_dropout": 0.5, "num_virtual_tokens": 3])
    let prompt = adapted.arena.values(adapted.slot("prompt_embeddings"))
    let plain = prompt.elements
    adapted.method.prepareStep(adapted.context(1))
    let first = prompt.elements
    adapted.method.prepareStep(adapted.context(2))
    #expect(first != plain && prompt.elements != first)
    adapted.method.prepareStep(adapted.context(1))
    #expect(prompt.elements == first)
    adapted.method.didStep(adapted.context(1))
    #expect(prompt.elements == plain)
  }
}

/// The encoders in `Double`, from their formulas, element by element.
struct ReferenceEncoder {
  let rows: Int
  let layerCount: Int

  typealias Matrix = [[Double]]

  /// The prompt, row by row.
  func prompt(_ tensors: [String: [Double]]) -> [Double] {
    let prefix = "prompt_encoder."
    let z = matrix(tensors[prefix + "embedding.weight"] ?? [], rows: rows)
    if tensors[prefix + "transform.0.weight"] != nil {
      let inner = linear(z, tensors, prefix + "transform.0").map { $0.map { tanh($0) } }
      return linear(inner, tensors, prefix + "transform.2").flatMap { $0 }
    }
    var x = z
    if tensors[prefix + "lstm_head.weight_ih_l0"] != nil {
      for layer in 0..<layerCount {
        let name = prefix + "lstm_head."
        let forward = lstm(x, tensors, name, "l\(layer)")
        let backward = Array(
          lstm(Array(x.reversed()), tensors, name, "l\(layer)_reverse").reversed())
        x = zip(forward, backward).map { $0 + $1 }
      }
    }
    var layer = 0
    while tensors["\(prefix)mlp_head.\(layer).weight"] != nil {
      if layer > 0 { x = x.map { $0.map { max($0, 0) } } }
      x = linear(x, tensors, "\(prefix)mlp_head.\(layer)")
      layer += 2
    }
    return x.flatMap { $0 }
  }

  private func lstm(
    _ x: Matrix, _ tensors: [String: [Double]], _ name: String, _ suffix: String
  ) -> Matrix {
    let biasIn = tensors["\(name)bias_ih_\(suffix)"] ?? []
    let biasHidden = tensors["\(name)bias_hh_\(suffix)"] ?? []
    let size = biasIn.count / 4
    let weightIn = matrix(tensors["\(name)weight_ih_\(suffix)"] ?? [], rows: 4 * size)
    let weightHidden = matrix(tensors["\(name)weight_hh_\(suffix)"] ?? [], rows: 4 * size)
    var h = [Double](repeating: 0, count: size)
    var c = h
    return x.map { row in
      let g = (0..<(4 * size)).map { i in
        dot(weightIn[i], row) + dot(weightHidden[i], h) + biasIn[i] + biasHidden[i]
      }
      let previous = c
      for j in 0..<size {
        c[j] = sigmoid(g[size + j]) * previous[j] + sigmoid(g[j]) * tanh(g[2 * size + j])
        h[j] = sigmoid(g[3 * size + j]) * tanh(c[j])
      }
      return h
    }
  }

  private func linear(_ x: Matrix, _ tensors: [String: [Double]], _ name: String) -> Matrix {
    let bias = tensors["\(name).bias"] ?? []
    let weight = matrix(tensors["\(name).weight"] ?? [], rows: bias.count)
    return x.map { row in bias.indices.map { dot(weight[$0], row) + bias[$0] } }
  }

  private func matrix(_ values: [Double], rows: Int) -> Matrix {
    let columns = values.count / rows
    return (0..<rows).map { Array(values[($0 * columns)..<(($0 + 1) * columns)]) }
  }

  private func dot(_ a: [Double], _ b: [Double]) -> Double {
    zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
  }

  private func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
}
