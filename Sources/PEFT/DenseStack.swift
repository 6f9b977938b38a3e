import Kernels
import Model
import Tensors

/// Linear layers with an activation between them, applied to the few rows of a prompt.
///
///     x₁ = f(x₀ W₁ᵀ + b₁)    x₂ = f(x₁ W₂ᵀ + b₂)    …    y = xₙ₋₁ Wₙᵀ + bₙ
///
/// The encoders of P-tuning and of projected prefixes are made of it. It owns the memory for its
/// inner rows and their gradients, allocated once; forward and backward allocate nothing.
final class DenseStack {
  /// One linear layer's tensors.
  private struct Layer {
    let weight: TrainedMatrix  // [out, in]
    let bias: TrainedMatrix  // [out]
  }

  private let layers: [Layer]
  private let activation: ActivationFunction
  private let inner: [WorkspaceSlot]  // [P, out] of each layer but the last, before f
  private let active: [WorkspaceSlot]  // the same behind f
  private let workspace: Workspace

  /// Bytes of the inner rows.
  var byteCount: Int { workspace.byteCount }

  /// Declares the layers' tensors: `PREFIX.{0,2,4…}.{weight,bias}`, as in PyTorch's `Sequential`.
  ///
  /// - Parameter sizes: features before, between and after the layers.
  static func declare(
    _ prefix: String, sizes: [Int], in plan: inout ParameterArenaPlan
  ) -> [(weight: ParameterSlot, bias: ParameterSlot)] {
    (1..<sizes.count).map { index in
      let name = "\(prefix).\(2 * (index - 1))"
      return (
        plan.declare("\(name).weight", shape: [sizes[index], sizes[index - 1]], role: .derived),
        plan.declare("\(name).bias", shape: [sizes[index]], role: .derived)
      )
    }
  }

  init(
    _ slots: [(weight: ParameterSlot, bias: ParameterSlot)], in arena: ParameterArena, rows: Int,
    activation: ActivationFunction
  ) {
    layers = slots.map {
      Layer(weight: TrainedMatrix($0.weight, in: arena), bias: TrainedMatrix($0.bias, in: arena))
    }
    self.activation = activation
    var plan = WorkspacePlan()
    var inner: [WorkspaceSlot] = []
    var active: [WorkspaceSlot] = []
    for layer in layers.dropLast() {
      inner.append(plan.reserve("inner", rows: rows, columns: layer.weight.values.rows))
      active.append(plan.reserve("active", rows: rows, columns: layer.weight.values.rows))
    }
    self.inner = inner
    self.active = active
    workspace = Workspace(plan, isPlanned: arena.isPlanned)
  }

  /// Draws each layer as PyTorch does: weights and biases U(±1/√in).
  static func initialize(
    _ slots: [(weight: ParameterSlot, bias: ParameterSlot)], in arena: ParameterArena, seed: UInt64
  ) {
    for (weight, bias) in slots {
      let bound = 1 / Double(weight.columns).squareRoot()
      for slot in [weight, bias] {
        CounterRandom(seed: seed, purpose: slot.name)
          .fillUniform(arena.values(slot), low: -bound, high: bound)
      }
    }
  }

  /// Computes `y` [P, out] from `x` [P, in].
  func forward(_ x: MatrixView, into y: MatrixView, on compute: Compute) {
    for index in layers.indices {
      let layer = layers[index]
      let input = index == 0 ? x : workspace.view(active[index - 1])
      let isLast = index == layers.count - 1
      let output = isLast ? y : workspace.view(inner[index])
      Product.multiply(
        input, by: layer.weight.values, transposed: true, into: output, on: compute)
      RowBias.forward(layer.bias.values, scale: 1, addingTo: output, on: compute)
      if !isLast {
        Activation.forward(
          activation, output, into: workspace.view(active[index]), on: compute)
      }
    }
  }

  /// Writes the layers' gradients and `dx` [P, in], given `dy` [P, out] and what forward left.
  func backward(
    _ dy: MatrixView, input x: MatrixView, into dx: MatrixView, on compute: Compute
  ) {
    for index in layers.indices.reversed() {
      let layer = layers[index]
      let isLast = index == layers.count - 1
      // The gradient of an inner row takes its place once the activation has been passed.
      let dOutput = isLast ? dy : workspace.view(inner[index])
      let input = index == 0 ? x : workspace.view(active[index - 1])
      Product.multiply(
        dOutput, transposed: true, by: input, into: layer.weight.gradient, on: compute)
      layer.bias.gradient.fill(0)
      Elementwise.addColumnSums(of: dOutput, addingTo: layer.bias.gradient, on: compute)
      guard index > 0 else {
        return Product.multiply(dOutput, by: layer.weight.values, into: dx, on: compute)
      }
      let dActive = workspace.view(active[index - 1])
      Product.multiply(dOutput, by: layer.weight.values, into: dActive, on: compute)
      let before = workspace.view(inner[index - 1])
      Activation.backward(activation, dActive, input: .exact(before), into: before, on: compute)
    }
  }
}
