import JSON
import Kernels
import Model
import Tensors

/// Where a run stands when a method is called.
public struct StepContext {
  /// The optimizer step, from 1.
  public let step: Int
  /// Steps of the whole run.
  public let totalSteps: Int
  /// The run's seed.
  public let seed: UInt64
  /// Threads and kernels, for what a method computes once a step.
  public let compute: Compute
  /// What clipping multiplies the arena's gradients by in the update, for `didStep`.
  public var gradientScale: Float = 1
  /// The share of every value that the update's weight decay took off, for `didStep`.
  public var decay: Float = 0

  /// Names a step of a run.
  public init(step: Int, totalSteps: Int, seed: UInt64, compute: Compute) {
    self.step = step
    self.totalSteps = totalSteps
    self.seed = seed
    self.compute = compute
  }
}

/// A tensor to be stored, by name.
public struct NamedTensor {
  /// Its name in the file.
  public let name: String
  /// Its dimensions.
  public let shape: [Int]
  private enum Source {
    case values([Float])
    case slot(ParameterSlot, ParameterArena)
  }

  private let source: Source

  /// Its values, row-major; copied by each call where they lie in an arena.
  public var values: [Float] {
    switch source {
    case .values(let values): values
    case .slot(let slot, let arena): arena.valueElements(slot)
    }
  }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Names values.
  public init(name: String, shape: [Int], values: [Float]) {
    self.name = name
    self.shape = shape
    source = .values(values)
  }

  /// The same values under another name.
  func named(_ name: String) -> NamedTensor {
    NamedTensor(name: name, shape: shape, source: source)
  }

  private init(name: String, shape: [Int], source: Source) {
    self.name = name
    self.shape = shape
    self.source = source
  }

  /// A tensor of an arena, whose values stay there: an adapter is stored tensor by tensor, without a
  /// second copy of the whole.
  ///
  /// The values are those of the time when they are asked for.
  init(_ slot: ParameterSlot, of arena: ParameterArena) {
    name = slot.name
    shape = slot.shape
    source = .slot(slot, arena)
  }
}

/// What a method keeps besides its trainable tensors (AdaLoRA's averages and pattern).
public struct MethodState {
  /// Tensors by name.
  public var tensors: [NamedTensor] = []
  /// Anything else, as JSON.
  public var fields: [String: JSONValue] = [:]

  /// An empty state.
  public init() {}
}

/// An adapter as its ecosystem stores it.
public struct AdapterExport {
  /// `adapter_config.json`.
  public let configuration: JSONValue
  /// Name of the weight file.
  public let weightFileName: String
  /// Its tensors, to be stored before a step changes them.
  public let tensors: [NamedTensor]
  /// Things a reader of the export should know, each a sentence.
  public let notes: [String]

  /// Describes an adapter directory.
  public init(
    configuration: JSONValue, weightFileName: String = "adapter_model.safetensors",
    tensors: [NamedTensor], notes: [String] = []
  ) {
    self.configuration = configuration
    self.weightFileName = weightFileName
    self.tensors = tensors
    self.notes = notes
  }
}

/// A fine-tuning method: what trains, how it enters the model, and what belongs to a step.
///
/// The life of a method, in this order:
///
/// 1. `prepareToLoad`, where an adapter will be loaded, says which tensors there will be;
/// 2. `declare` names its tensors, last block first;
/// 3. `attach` gets the arena and gives the model its hooks (or trains base parameters);
/// 4. `initialize` draws the start from the seed; `load` then puts an adapter in its place;
/// 5. `prepareRun`, when the run's length is known;
/// 6. each step: `prepareStep`, micro-batches of forward and backward, the reduction,
///    `didReduceGradients`, clipping and the optimizer, `didStep`;
/// 7. `export` at the end.
///
/// A method knows the model and never MPI: what it computes from reduced gradients is the same on
/// every rank because its inputs are. The trainer compares it in every step nevertheless.
public protocol PEFTMethod: AnyObject {
  /// The name on the command line.
  static var methodName: String { get }
  /// `peft_type` in `adapter_config.json`; nil for what Hugging Face PEFT does not have.
  static var peftType: String? { get }
  /// The fields that a user may set, each once: everything that lists, parses or explains them
  /// derives from here.
  static var fields: [MethodField] { get }
  /// The usual learning rate, which may depend on the fields given.
  static func suggestedRate(_ fields: [String: JSONValue]) -> SuggestedRate
  /// Whether an `adapter_config.json` is this method's.
  static func recognizes(_ configuration: JSONValue) -> Bool
  /// What the adapter's files hold of a checkpoint's tensors.
  ///
  /// A checkpoint keeps what training needs, the files what inference needs. The configuration, which
  /// is the one that `export(baseName:)` wrote, says which of it that is: no base is needed.
  static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) -> AdapterExport
  /// Reads the fields.
  ///
  /// - Throws: `PEFTError` naming a field that is unknown or not supported.
  init(_ options: MethodOptions) throws(PEFTError)
  /// Learns of the tensors that `load` will bring, before anything is declared.
  ///
  /// - Returns: what the user should know, each a sentence: an export without its encoder goes on as
  ///   a plain prompt.
  func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String]
  /// Declares the trainable tensors.
  func declare(in plan: inout ParameterArenaPlan, for decoder: Decoder) throws(PEFTError)
  /// Gives the model its hooks.
  func attach(to decoder: Decoder, arena: ParameterArena) throws(PEFTError)
  /// Draws the start of every tensor from the seed.
  func initialize(seed: UInt64, decoder: Decoder) throws(PEFTError)
  /// Reads tensors of an adapter by their names in the weight file, or a checkpoint's.
  func load(_ tensors: [NamedTensor]) throws(PEFTError)
  /// Checks a schedule against the run's length, once it is known.
  ///
  /// - Returns: what the user should know, each a sentence.
  func prepareRun(totalSteps: Int) throws(PEFTError) -> [String]
  /// Factor on the learning rate of a tensor (LoRA+).
  func learningRateFactor(of slot: ParameterSlot) -> Double
  /// Runs before a step's first forward (an encoder with dropout makes its prompt).
  func prepareStep(_ context: StepContext)
  /// Runs after the reduction and before clipping: terms and derivatives of *reduced* gradients.
  func didReduceGradients(_ context: StepContext)
  /// Runs after the update, with new values and, times `gradientScale`, the update's gradients.
  func didStep(_ context: StepContext)
  /// What else every rank keeps a copy of and changes alike, by name: views that stay where they are
  /// from `attach` on.
  var replicas: [(name: String, values: MatrixView)] { get }
  /// Figures of the last step for its log line, by name.
  var figures: [String: JSONValue] { get }
  /// What a checkpoint keeps besides the tensors.
  var state: MethodState { get }
  /// Takes a checkpoint's state back, after its tensors are in the arena.
  func restore(_ state: MethodState) throws(PEFTError)
  /// The adapter in its ecosystem's format; nil for `full`, whose result is a model.
  func export(baseName: String) -> AdapterExport?
  /// Whether the adapter folds into the base's weights; if not, why.
  var mergeRefusal: String? { get }
  /// Bytes that the method holds besides the arena, for the memory plan.
  var byteCount: Int { get }
  /// Adds the adapter to a base tensor's values in f32; returns whether it changed them.
  ///
  /// - Parameters:
  ///   - values: its values as stored, [rows, columns].
  ///   - name: the tensor's name in the base.
  ///   - decoder: the base, with the method attached.
  func merge(into values: MatrixView, of name: String, decoder: Decoder) -> Bool
}

extension PEFTMethod {
  /// The name on the command line.
  public var name: String { Self.methodName }
  /// PEFT's methods are told by `peft_type`.
  public static func recognizes(_ configuration: JSONValue) -> Bool {
    peftType != nil && configuration["peft_type"]?.string == peftType
  }
  /// Most methods store what they train, less an encoder that only training needs.
  public static func export(
    _ tensors: [NamedTensor], configuration: JSONValue, notes: [String]
  ) -> AdapterExport {
    AdapterExport(
      configuration: configuration,
      tensors: tensors.filter { !$0.name.hasPrefix("prompt_encoder.") }, notes: notes)
  }
  /// Most methods hold nothing else.
  public var byteCount: Int { 0 }
  /// Most methods take what comes.
  public func prepareToLoad(_ tensors: [NamedTensor]) throws(PEFTError) -> [String] { [] }
  /// Most methods have no schedule.
  public func prepareRun(totalSteps: Int) throws(PEFTError) -> [String] { [] }
  /// Most methods train everything at one rate.
  public func learningRateFactor(of slot: ParameterSlot) -> Double { 1 }
  /// Most methods keep everything in the arena.
  public var replicas: [(name: String, values: MatrixView)] { [] }
  /// Most methods have nothing to tell of a step.
  public var figures: [String: JSONValue] { [:] }
  /// Most methods do nothing here.
  public func prepareStep(_ context: StepContext) {}
  /// Most methods do nothing here.
  public func didReduceGradients(_ context: StepContext) {}
  /// Most methods do nothing here.
  public func didStep(_ context: StepContext) {}
  /// Most methods keep nothing else.
  public var state: MethodState { MethodState() }
  /// Most methods keep nothing else.
  public func restore(_ state: MethodState) throws(PEFTError) {}
}
