/// A weight matrix as it lies in its file or in the parameter arena: read-only, in its stored type.
///
/// Whatever the layout, a weight maps `inputSize` features to `outputSize` features. A linear layer
/// stores `[output, input]`; GPT-2's `Conv1D` stores `[input, output]`. The storage may start at any
/// byte (safetensors aligns nothing but its header), so kernels must not assume alignment.
/// It owns nothing: the mapped file or the arena outlives it.
@safe
public struct WeightMatrix {
  /// Which of the two dimensions is the outer one in memory.
  public enum Layout: Sendable, Hashable {
    /// `[output, input]`: `y = x Wᵀ`.
    case outputMajor
    /// `[input, output]`: `y = x W` (GPT-2's `Conv1D`).
    case inputMajor
  }

  /// First byte.
  public let storage: UnsafeRawPointer
  /// How an element is stored.
  public let elementType: ElementType
  /// Features that go in.
  public let inputSize: Int
  /// Features that come out.
  public let outputSize: Int
  /// Order of the dimensions in memory.
  public let layout: Layout

  /// Describes a weight at `storage`.
  public init(
    storage: UnsafeRawPointer, elementType: ElementType, inputSize: Int, outputSize: Int,
    layout: Layout = .outputMajor
  ) {
    self.storage = storage
    self.elementType = elementType
    self.inputSize = inputSize
    self.outputSize = outputSize
    self.layout = layout
  }

  /// A weight in f32 that lies in a view: `[output, input]` or `[input, output]` by `layout`.
  public init(_ view: MatrixView, layout: Layout = .outputMajor) {
    precondition(view.isContiguous, "a weight's rows lie end to end")
    storage = UnsafeRawPointer(view.base)
    elementType = .float32
    self.layout = layout
    switch layout {
    case .outputMajor: (outputSize, inputSize) = (view.rows, view.columns)
    case .inputMajor: (inputSize, outputSize) = (view.rows, view.columns)
    }
  }

  /// Rows in memory.
  public var storedRows: Int { layout == .outputMajor ? outputSize : inputSize }
  /// Columns in memory.
  public var storedColumns: Int { layout == .outputMajor ? inputSize : outputSize }
}
