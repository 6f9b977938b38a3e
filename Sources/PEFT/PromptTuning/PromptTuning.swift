import JSON
import Kernels
import Model
import Tensors

/// Prompt tuning (Lester, Al-Rfou and Constant 2021, arXiv:2104.08691): trained rows in front of
/// every sequence's embeddings.
///
///     X = [ E ; embed(tokens) ]        E [P, hidden], the same for every sequence
///
/// Parameters: P·hidden. Virtual rows take the positions 0 ..< P, see each other causally, and are
/// never scored; the first real token stands at position P. Backward is that of any embedding: the
/// gradient of E is the sum of the virtual rows' gradients over all sequences. It cannot be folded
/// into the base: it adds rows, not weights.
public final class PromptTuning: PEFTMethod {
  /// `prompt-tuning`.
  public static let methodName = "prompt-tuning"
  /// `PROMPT_TUNING`.
  public static let peftType: String? = "PROMPT_TUNING"
  /// What a user may set.
  public static let fields: [MethodField] = PromptTuningConfiguration.fields
  /// See `SuggestedRate`.
  public static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate {
    .constant(0.3)
  }
  private let configuration: PromptTuningConfiguration
  private var slot: ParameterSlot?
  private var arena: ParameterArena?
  private var decoder: DecoderConfiguration?
  private var isLoading = false

  /// Reads the method's fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  public init(_ options: MethodOptions) throws(PEFTError) {
    configuration = try PromptTuningConfiguration(options)
  }

  /// A prompt from a file needs no start of its own.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] {
    isLoading = true
    return []
  }

  /// Declares the prompt.
  public func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder)
    throws(PEFTError)
  {
    let base = decoder.configuration
    try configuration.fields.check(base, width: base.hiddenSize)
    self.decoder = base
    slot = plan.declare(promptEmbeddings, shape: [configuration.fields.count, base.hiddenSize])
  }

  /// Puts the prompt in front of the sequences.
  public func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError) {
    guard let slot else { return }
    self.arena = arena
    var hooks = HookSet()
    hooks.embedding = PromptRows(TrainedMatrix(slot, in: arena))
    try hooks.attach(to: decoder, as: name, arena: arena)
  }

  /// Draws N(0, 1), or copies embedding rows: of random tokens, or of the given text's, repeated
  /// cyclically.
  public func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError) {
    guard let slot, let arena else { return }
    let random = CounterRandom(seed: seed, purpose: slot.name)
    let values = arena.values(slot)
    let vocabulary = decoder.configuration.vocabularySize
    switch configuration.initialization {
    case .random: random.fillNormal(values, standardDeviation: 1)
    case .sampleVocabulary:
      let ids = (0..<values.rows).map { row in
        Int(random.integer(UInt64(row), below: UInt64(vocabulary)))
      }
      copyEmbeddings(ids, of: decoder, into: values)
    case .text(let ids):
      if ids.isEmpty {
        if isLoading { return }
        throw .inconsistentFields(
          "prompt_tuning_init is TEXT and the text gives no token", source: configuration.source)
      }
      for id in ids where id < 0 || id >= vocabulary {
        throw .unsupportedField(
          name: "prompt_tuning_init_token_ids", value: "\(id)",
          expected: "token ids below \(vocabulary)", source: configuration.source)
      }
      copyEmbeddings(
        (0..<values.rows).map { ids[$0 % ids.count] }, of: decoder, into: values)
    }
  }

  /// Takes the prompt.
  public func load(_ tensors: [NamedTensor]) throws(PEFTError) {
    guard let arena else { return }
    try loadAll(tensors, into: arena, source: "the adapter")
  }

  /// The adapter in PEFT's format.
  public func export(baseName: String) -> AdapterExport? {
    guard let arena, let decoder else { return nil }
    return AdapterExport(
      configuration: configuration.json(baseName: baseName, decoder: decoder),
      tensors: storedTensors(of: arena))
  }

  /// Why there is nothing to fold into.
  public var mergeRefusal: String? {
    "the prompt adds rows in front of the input, which no weight of the base can stand for"
  }

  /// Nothing is merged.
  public func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool { false }

  private func copyEmbeddings(_ ids: [Int], of decoder: Decoder, into values: MatrixView) {
    let (tokens, compute) = (IndexBuffer(ids), Compute(threads: 1))
    withExtendedLifetime(tokens) {
      Embedding.forward(
        tokens.all, table: decoder.table.matrix, into: values, on: compute)
    }
    // PEFT looks tokens up by the module, which scales them.
    Elementwise.scale(values, by: Float(decoder.configuration.tokenScale), on: compute)
  }
}

/// Trained rows in front of every sequence.
final class PromptRows: EmbeddingHook {
  private let tensor: TrainedMatrix  // [P, hidden]

  init(_ tensor: TrainedMatrix) { self.tensor = tensor }

  var virtualTokenCount: Int { tensor.values.rows }
  var rows: MatrixView { tensor.values }

  func addGradient(_ dRows: MatrixView, on compute: Compute) {
    Elementwise.add(dRows, addingTo: tensor.gradient, on: compute)
  }
}
