import Kernels
import Tensors

/// One tensor of the base: frozen where it lies in its file, or trained in the arena.
///
/// A tied head and embedding table are one `Parameter`, so that training it adds both gradients.
public final class Parameter {
  /// The tensor's name in the weight files.
  public let name: String
  /// Its dimensions as stored.
  public let shape: [Int]
  /// How the file stores its numbers.
  public private(set) var storedFormat: WeightFormat
  /// Bytes of it in the file.
  public private(set) var storedBytes: Int
  /// Order of a matrix's dimensions in Hugging Face's model, and so in ``shape``; the file's may
  /// differ.
  public let layout: WeightMatrix.Layout
  /// The values, as a matrix.
  ///
  /// Vectors are [1, n] in f32.
  public private(set) var weight: WeightMatrix
  /// The values rounded to bf16, in memory that the node shares; nil where products read `weight`.
  var rounded: WeightMatrix?
  /// What products with the parameter read.
  public var operand: WeightMatrix { rounded ?? weight }
  /// The values of a vector, [1, n]; nil for a matrix.
  public private(set) var vector: MatrixView?
  /// Where its gradient is summed; nil while it is frozen, which then costs nothing.
  public private(set) var gradient: MatrixView?
  /// Whether transformers has it as a part of a larger tensor, which has no module of its own.
  public internal(set) var isPart = false
  /// Keeps a vector's f32 copy alive.
  private let copy: VectorStorage?

  /// A frozen matrix, used where it lies.
  ///
  /// - Parameters:
  ///   - layout: what `shape` is in.
  ///   - storedBytes: bytes of it in the file, with scales that lie apart.
  init(
    name: String, shape: [Int], weight: WeightMatrix, layout: WeightMatrix.Layout,
    storedBytes: Int? = nil
  ) {
    self.name = name
    self.shape = shape
    self.weight = weight
    self.layout = layout
    storedFormat = weight.format
    self.storedBytes = storedBytes ?? weight.byteCount
    vector = nil
    copy = nil
  }

  /// A frozen vector; vectors are few and small, so they are copied to f32 once.
  init(name: String, vector storage: VectorStorage) {
    self.name = name
    shape = [storage.view.columns]
    copy = storage
    vector = storage.view
    weight = WeightMatrix(storage.view)
    storedFormat = weight.format
    storedBytes = weight.byteCount
    layout = .outputMajor
  }

  /// Whether it trains.
  public var isTrainable: Bool { gradient != nil }

  /// The arithmetic of products with it: a trained weight is always multiplied in f32.
  func arithmetic(_ frozen: Arithmetic) -> Arithmetic { isTrainable ? .float32 : frozen }

  /// Lets a frozen matrix read other values from now on.
  func replace(_ values: MatrixView) {
    weight = WeightMatrix(values, layout: layout)
    rounded = nil
  }

  /// Takes a quantised copy in the place of what is stored.
  func keepQuantized(_ weight: WeightMatrix, byteCount: Int) {
    self.weight = weight
    storedFormat = weight.format
    storedBytes = byteCount
  }

  /// Lets the parameter live in the arena from now on; its present values are copied there.
  func train(values: MatrixView, gradient: MatrixView) {
    if let vector {
      values.copy(from: vector.reshaped(rows: values.rows, columns: values.columns))
      self.vector = values.reshaped(rows: 1, columns: values.count)
    } else {
      weight.copyFloats(into: values, as: layout)
    }
    weight = WeightMatrix(values, layout: layout)
    rounded = nil
    self.gradient = gradient
  }
}

/// The owner of a vector's f32 values.
final class VectorStorage {
  private let buffer: FloatBuffer
  let view: MatrixView

  init(count: Int) {
    buffer = FloatBuffer(count: count)
    view = buffer.view(rows: 1, columns: count)
  }
}
