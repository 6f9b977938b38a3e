import Foundation
import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport

/// A method on a tiny base, for looking at logits, tensors and files.
final class AdaptedBase {
  let decoder: Decoder
  let method: any PEFTMethod
  let arena: ParameterArena
  let compute = Compute(threads: 1)
  /// What the method had to say before it started.
  let notes: [String]

  /// Attaches `method` with `options` to a base and draws its start, or loads `tensors`.
  init(
    _ name: String, on base: String, _ options: [String: JSONValue] = [:],
    loading tensors: [NamedTensor]? = nil
  ) throws {
    decoder = try Decoder(directory: Fixtures.model(base))
    let method = try PEFTMethods.make(name, options: MethodOptions(options, source: "the test"))
    self.method = method
    notes = try tensors.map { try method.prepareToLoad($0) } ?? []
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    arena = ParameterArena(plan)
    try method.attach(to: decoder, arena: arena)
    try method.initialize(seed: 7, decoder: decoder)
    if let tensors { try method.load(tensors) }
  }

  /// The adapter in a golden case's directory.
  static func adapter(_ golden: GoldenCase, _ folder: String = "adapter") throws
    -> (options: [String: JSONValue], tensors: [NamedTensor])
  {
    let directory = "peft/\(golden.name)/\(folder)"
    let file = golden.method == "bottleneck" ? "adapter" : "adapter_model"
    let tensors = try Fixtures.tensors("\(directory)/\(file).safetensors").map { name, tensor in
      NamedTensor(name: name, shape: tensor.shape, values: tensor.values)
    }
    return (try Fixtures.json("\(directory)/adapter_config.json").object ?? [:], tensors)
  }

  /// Loads the adapter in a golden case's directory, as PEFT wrote it.
  convenience init(_ golden: GoldenCase, folder: String = "adapter") throws {
    let (options, tensors) = try Self.adapter(golden, folder)
    try self.init(golden.method, on: golden.base, options, loading: tensors)
  }

  /// Logits of the golden sequences' real tokens, each sequence alone, end to end.
  func logits() throws -> [Float] { try Self.logits(of: decoder, compute) }

  /// The same of any decoder.
  static func logits(of decoder: Decoder, _ compute: Compute) throws -> [Float] {
    let inputs = try GoldenInputs()
    let longest = inputs.tokens.map(\.count).max() ?? 0
    try decoder.prepare(for: .inference, maximumTokens: longest, maximumSequences: 1)
    let batch = decoder.makeBatch(maximumTokens: longest, maximumSequences: 1)
    let vocabulary = decoder.configuration.vocabularySize
    var result: [Float] = []
    for tokens in inputs.tokens {
      batch.clear()
      batch.beginSequence()
      for token in tokens { batch.append(token: token, isTarget: false) }
      batch.endSequence()
      let rows = IndexBuffer((0..<tokens.count).map { $0 + decoder.virtualTokenCount })
      let buffer = FloatBuffer(count: tokens.count * vocabulary)
      let logits = buffer.view(rows: tokens.count, columns: vocabulary)
      decoder.logits(
        Pass(batch: batch, compute: compute, isTraining: false), rows: rows.all, into: logits)
      result += logits.elements
    }
    return result
  }

  /// A step of the run, for calling the method's life cycle by hand.
  func context(_ step: Int, of totalSteps: Int = 10) -> StepContext {
    StepContext(step: step, totalSteps: totalSteps, seed: 7, compute: compute)
  }

  /// A slot that must exist.
  func slot(_ name: String) -> ParameterSlot {
    guard let slot = arena.slot(named: name) else { preconditionFailure("no slot \(name)") }
    return slot
  }
}

extension JSONValue {
  /// Equal but for the order of strings and for how numbers are written.
  func says(_ other: JSONValue) -> Bool {
    if let a = object, let b = other.object {
      return Set(a.keys) == Set(b.keys)
        && a.allSatisfy { key, value in b[key].map { value.says($0) } ?? false }
    }
    if let a = array, let b = other.array {
      let names = (a.compactMap(\.string).sorted(), b.compactMap(\.string).sorted())
      if names.0.count == a.count && names.1.count == b.count { return names.0 == names.1 }
      return a.count == b.count && zip(a, b).allSatisfy { $0.says($1) }
    }
    if let a = double, let b = other.double { return a == b }
    return self == other
  }
}
