import Foundation
import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport

/// A method on a tiny base, driven the way a training step drives it, without ranks.
final class GoldenRun {
  let decoder: Decoder
  let method: any PEFTMethod
  let arena: ParameterArena
  let compute: Compute
  private let batch: TokenBatch
  private let firstMoment: OwnedMatrix
  private let secondMoment: OwnedMatrix
  private let golden: GoldenCase
  private let totalSteps: Int

  /// Loads the base, attaches the method of the case and its start, or the adapter in a folder of
  /// the case.
  init(
    _ golden: GoldenCase, threads: Int = 1, adapterFolder: String? = nil,
    arithmetic: Arithmetic = .float32
  ) throws {
    self.golden = golden
    compute = Compute(threads: threads)
    decoder = try Decoder(directory: golden.baseDirectory, arithmetic: arithmetic)
    method = try Self.makeMethod(golden, adapterFolder ?? "adapter")
    totalSteps = golden.losses.count
    let tensors = try adapterFolder.map { try AdaptedBase.adapter(golden, $0).tensors }
    if let tensors { _ = try method.prepareToLoad(tensors) }
    var plan = ParameterArenaPlan()
    try method.declare(in: &plan, for: decoder)
    arena = ParameterArena(plan)
    try method.attach(to: decoder, arena: arena)
    try method.initialize(seed: 1, decoder: decoder)
    let inputs = try GoldenInputs()
    try decoder.prepare(
      for: .training(recomputesActivations: false), maximumTokens: inputs.tokenCount,
      maximumSequences: inputs.tokens.count)
    batch = decoder.makeBatch(
      maximumTokens: inputs.tokenCount, maximumSequences: inputs.tokens.count)
    firstMoment = OwnedMatrix(rows: 1, columns: arena.floatCount)
    secondMoment = OwnedMatrix(rows: 1, columns: arena.floatCount)
    batch.clear()
    for (tokens, mask) in zip(inputs.tokens, inputs.lossMask) {
      batch.beginSequence()
      for (token, isTarget) in zip(tokens, mask) {
        batch.append(token: token, isTarget: isTarget == 1)
      }
      batch.endSequence()
    }
    if let tensors {
      try method.load(tensors)
    } else {
      try loadStart()
    }
  }

  /// Takes over another run's tensors, moments and state, as from a checkpoint.
  func resume(from other: GoldenRun) throws {
    try method.load(
      other.arena.slots.filter { $0.role != .computed }.map {
        NamedTensor(name: $0.name, shape: $0.shape, values: other.arena.valueElements($0))
      })
    for slot in arena.slots where slot.role.hasGradient {
      firstMoment.view(slot).copy(from: other.firstMoment.view(slot))
      secondMoment.view(slot).copy(from: other.secondMoment.view(slot))
    }
    try method.restore(other.method.state)
  }

  private static func makeMethod(_ golden: GoldenCase, _ folder: String) throws -> any PEFTMethod {
    let path = Fixtures.path("peft/\(golden.name)/\(folder)/adapter_config.json")
    guard let data = FileManager.default.contents(atPath: path) else {
      return try PEFTMethods.make(golden.method, options: MethodOptions([:], source: "nothing"))
    }
    let fields = try JSONValue(parsing: data).object ?? [:]
    return try PEFTMethods.make(golden.method, options: MethodOptions(fields, source: path))
  }

  private func loadStart() throws {
    let prefix = "start."
    let start = try golden.golden().filter { $0.key.hasPrefix(prefix) }.map { name, tensor in
      NamedTensor(
        name: String(name.dropFirst(prefix.count)), shape: tensor.shape, values: tensor.values)
    }
    // Full training starts at the base itself.
    if !start.isEmpty { try method.load(start) }
  }

  private func context(_ step: Int) -> StepContext {
    StepContext(step: step, totalSteps: totalSteps, seed: 1, compute: compute)
  }

  private func pass(isTraining: Bool) -> Pass {
    Pass(
      batch: batch, compute: compute, random: CounterRandom(seed: 1), isTraining: isTraining)
  }

  /// The mean loss.
  func loss() -> Double {
    method.prepareStep(context(1))
    let sum = decoder.evaluate(pass(isTraining: false))
    return sum.loss / Double(sum.targetCount)
  }

  /// Forward and backward; leaves the gradients of the mean loss in the arena.
  func gradients(step: Int) -> Double {
    arena.clearGradients()
    method.prepareStep(context(step))
    let sum = decoder.forwardBackward(pass(isTraining: true))
    Elementwise.scale(arena.allGradients, by: 1 / Float(sum.targetCount), on: compute)
    method.didReduceGradients(context(step))
    return sum.loss / Double(sum.targetCount)
  }

  /// Norm of the optimised tensors' gradients.
  func gradientNorm() -> Double {
    arena.slots.filter { $0.role.isOptimized }
      .reduce(0) { $0 + Reduction.sumOfSquares(arena.gradients($1), on: compute) }.squareRoot()
  }

  /// Clips, updates, and lets the method finish the step.
  func update(step: Int) {
    let maximum = golden.training("max_grad_norm")
    var factor: Float = 1
    if maximum > 0 { factor = Float(min(1, maximum / (gradientNorm() + 1e-6))) }
    if factor != 1 { Elementwise.scale(arena.allGradients, by: factor, on: compute) }
    for slot in arena.slots where slot.role.isOptimized {
      let (values, gradients) = (arena.values(slot), arena.gradients(slot))
      let rate = golden.training("learning_rate")
      if golden.optimizer == "sgd" {
        SGD.update(
          values: values, gradients: gradients, learningRate: rate,
          weightDecay: golden.training("weight_decay"), gradientScale: 1, on: compute)
      } else {
        AdamW.update(
          values: values, gradients: gradients, firstMoment: firstMoment.view(slot),
          secondMoment: secondMoment.view(slot), learningRate: rate,
          beta1: golden.training("beta1"), beta2: golden.training("beta2"),
          epsilon: golden.training("epsilon"), weightDecay: golden.training("weight_decay"),
          step: step, gradientScale: 1, on: compute)
      }
    }
    var context = context(step)
    context.decay = Float(golden.training("learning_rate") * golden.training("weight_decay"))
    method.didStep(context)
  }
}

extension OwnedMatrix {
  /// The part of a row in the arena's layout that is a slot's.
  func view(_ slot: ParameterSlot) -> MatrixView {
    view.columns(slot.range).reshaped(rows: slot.rows, columns: slot.columns)
  }
}
