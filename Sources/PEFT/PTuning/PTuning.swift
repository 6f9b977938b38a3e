import JSON
import Kernels
import Model
import Tensors

/// P-tuning (Liu, Zheng, Du, Ding, Qian, Yang and Tang 2021, arXiv:2103.10385): prompt tuning whose
/// prompt an encoder makes from trained rows.
///
///     X = [ E ; embed(tokens) ]        E = encoder(Z)  [P, hidden]
///
/// Parameters, with H hidden and h `encoder_hidden_size`: MLP `P·H + (Hh + h) + (h² + h) + (hH + H)`;
/// LSTM of n layers `P·H + 2(4hH + 4h² + 8h) + (n−1)·2(8h² + 4h² + 8h) + (4h² + 2h) + (2hH + H)`.
/// The paper's size is h = H/2. As PEFT, prompts stand in front; the paper's templates do not exist.
///
/// The encoder runs once a step. Only the gradient of E travels between ranks; each rank then derives
/// the encoder's gradients from the reduced one. The adapter file holds E alone; a checkpoint holds
/// the encoder, and an export without it goes on as a plain prompt.
public final class PTuning: PEFTMethod {
  /// `p-tuning`.
  public static let methodName = "p-tuning"
  /// `P_TUNING`.
  public static let peftType: String? = "P_TUNING"
  /// What a user may set.
  public static let fields: [MethodField] = PTuningConfiguration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    PTuningConfiguration.suggestedRate
  }
  private let configuration: PTuningConfiguration
  private var prompt: ParameterSlot?
  private var slots: PromptEncoder.Slots?
  private var encoder: PromptEncoder?
  private var arena: ParameterArena?
  private var decoder: DecoderConfiguration?
  private var isPlain = false
  private var isPromptCurrent = false

  /// Reads the method's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try PTuningConfiguration(options)
  }

  /// Finds out whether the encoder will be there.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    isPlain = isPlainPrompt(tensors)
    return isPlain ? [plainPromptNote] : []
  }

  /// Declares the prompt, which is reduced, and the encoder, which is not.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let base = decoder.configuration
    try configuration.fields.check(base, width: base.hiddenSize)
    self.decoder = base
    prompt = plan.declare(
      promptEmbeddings, shape: [configuration.fields.count, base.hiddenSize],
      role: isPlain ? .trained : .computed)
    if !isPlain {
      slots = PromptEncoder.declare(configuration, hiddenSize: base.hiddenSize, in: &plan)
    }
  }

  /// Puts the prompt in front of the sequences.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    guard let prompt else { return }
    self.arena = arena
    encoder = slots.map { PromptEncoder($0, in: arena, dropout: configuration.dropout) }
    var hooks = HookSet()
    hooks.embedding = PromptRows(TrainedMatrix(prompt, in: arena))
    try hooks.attach(to: decoder, as: name, arena: arena)
  }

  /// Draws the encoder and makes its prompt.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let prompt, let arena else { return }
    if let slots {
      PromptEncoder.initialize(slots, in: arena, seed: seed)
      encode(on: Compute(threads: 1))
    } else {
      CounterRandom(seed: seed, purpose: prompt.name)
        .fillNormal(arena.values(prompt), standardDeviation: 1)
    }
  }

  /// Takes the encoder, or the plain prompt; a prompt that comes with its encoder is made again.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the adapter")
    encode(on: Compute(threads: 1))
  }

  /// Makes the prompt where the last update did not leave the one that training uses: before the
  /// first step, and with dropout, which evaluation goes without.
  public func prepareStep(_ context: StepContext) {
    if isPromptCurrent && configuration.dropout == 0 { return }
    encode(random: random(context), on: context.compute)
  }

  /// Derives the encoder's gradients from the prompt's.
  public func didReduceGradients(_ context: StepContext) {
    guard let prompt, let arena else { return }
    encoder?.backward(arena.gradients(prompt), random: random(context), on: context.compute)
  }

  /// Makes the prompt of the new values.
  public func didStep(_ context: StepContext) { encode(on: context.compute) }

  /// Makes the prompt of a checkpoint's encoder.
  public func restore(_ state: MethodState) throws(PEFTError) { encode(on: Compute(threads: 1)) }

  /// The prompt in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let prompt, let decoder else { return nil }
    encode(on: Compute(threads: 1))
    let values = arena.values(prompt)
    return AdapterExport(
      configuration: configuration.json(baseName: baseName, decoder: decoder),
      tensors: [NamedTensor(name: prompt.name, shape: prompt.shape, values: values.elements)])
  }

  /// The encoder's inner rows.
  public var byteCount: Int { encoder?.byteCount ?? 0 }

  /// Why there is nothing to fold into.
  public var mergeRefusal: String? {
    "the prompt adds rows in front of the input, which no weight of the base can stand for"
  }

  /// Nothing is merged.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool { false }

  private func encode(random: CounterRandom? = nil, on compute: Compute) {
    guard let prompt, let arena else { return }
    encoder?.forward(into: arena.values(prompt), random: random, on: compute)
    isPromptCurrent = true
  }

  private func random(_ context: StepContext) -> CounterRandom? {
    guard configuration.dropout > 0 else { return nil }
    return CounterRandom(seed: context.seed, purpose: "prompt_encoder.dropout")
      .substream(UInt64(context.step))
  }
}
