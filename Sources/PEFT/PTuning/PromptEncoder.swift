import Kernels
import Model
import Tensors

/// P-tuning's encoder: trained rows Z through an LSTM and a head, or through three linear layers.
///
///     LSTM   U = biLSTM(Z) [P, 2h]      E = relu(U W₁ᵀ + b₁) W₂ᵀ + b₂
///     MLP    E = relu(relu(Z W₁ᵀ + b₁) W₂ᵀ + b₂) W₃ᵀ + b₃
///
/// It depends on no batch: forward and backward run once a step, on every rank alike.
final class PromptEncoder {
  /// The arena's places, before the arena exists.
  struct Slots {
    let embedding: ParameterSlot  // [P, H]
    let lstm: [BidirectionalLSTM.Slots]
    let head: [(weight: ParameterSlot, bias: ParameterSlot)]
  }

  private let embedding: TrainedMatrix
  private let lstm: BidirectionalLSTM?
  private let head: DenseStack

  /// Declares the encoder under the names that PEFT has in memory.
  static func declare(
    _ configuration: PTuningConfiguration, hiddenSize: Int, in plan: inout ParameterArenaPlan
  ) -> Slots {
    let h = configuration.hiddenSize ?? hiddenSize
    let prefix = "prompt_encoder"
    let embedding = plan.declare(
      "\(prefix).embedding.weight", shape: [configuration.fields.count, hiddenSize], role: .derived)
    switch configuration.kind {
    case .lstm:
      let lstm = BidirectionalLSTM.declare(
        "\(prefix).lstm_head", inputSize: hiddenSize, hiddenSize: h,
        layerCount: configuration.layerCount, in: &plan)
      let head = DenseStack.declare(
        "\(prefix).mlp_head", sizes: [2 * h, 2 * h, hiddenSize], in: &plan)
      return Slots(embedding: embedding, lstm: lstm, head: head)
    case .mlp:
      let head = DenseStack.declare(
        "\(prefix).mlp_head", sizes: [hiddenSize, h, h, hiddenSize], in: &plan)
      return Slots(embedding: embedding, lstm: [], head: head)
    }
  }

  /// Draws Z ~ N(0, 1) and the layers as PyTorch does.
  static func initialize(_ slots: Slots, in arena: ParameterArena, seed: UInt64) {
    CounterRandom(seed: seed, purpose: slots.embedding.name)
      .fillNormal(arena.values(slots.embedding), standardDeviation: 1)
    BidirectionalLSTM.initialize(slots.lstm, in: arena, seed: seed)
    DenseStack.initialize(slots.head, in: arena, seed: seed)
  }

  init(_ slots: Slots, in arena: ParameterArena, dropout: Double) {
    embedding = TrainedMatrix(slots.embedding, in: arena)
    let rows = embedding.values.rows
    lstm =
      slots.lstm.isEmpty
      ? nil : BidirectionalLSTM(slots.lstm, in: arena, rows: rows, dropout: dropout)
    head = DenseStack(slots.head, in: arena, rows: rows, activation: .relu)
  }

  /// Bytes of what lies between the rows and the prompt.
  var byteCount: Int { head.byteCount + (lstm?.byteCount ?? 0) }

  /// Computes the prompt, [P, hidden].
  ///
  /// - Parameter random: draws dropout between LSTM layers; nil for none.
  func forward(into prompt: MatrixView, random: CounterRandom?, on compute: Compute) {
    guard let lstm else { return head.forward(embedding.values, into: prompt, on: compute) }
    lstm.forward(embedding.values, random: random, on: compute)
    head.forward(lstm.output, into: prompt, on: compute)
  }

  /// Writes the gradients of all the encoder's tensors, given the prompt's.
  func backward(_ dPrompt: MatrixView, random: CounterRandom?, on compute: Compute) {
    guard let lstm else {
      return head.backward(
        dPrompt, input: embedding.values, into: embedding.gradient, on: compute)
    }
    head.backward(dPrompt, input: lstm.output, into: lstm.dOutput, on: compute)
    lstm.backward(
      input: embedding.values, into: embedding.gradient, random: random, on: compute)
  }
}
