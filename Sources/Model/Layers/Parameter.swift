import Kernels
import Tensors

/// One tensor of the base: frozen where it lies in its file, or trained in the arena.
///
/// A tied head and embedding table are one `Parameter`, so that training it adds both gradients.
public final class Parameter {
  /// The tensor's name in the weight files.
  public let name: String
  /// What the file calls it.
  let storedName: String
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
  public private(set) var matrix: WeightMatrix
  /// The values rounded to bf16, in memory that the node shares; nil where products read `matrix`.
  var rounded: WeightMatrix?
  /// Whether a run would round it that this one only plans.
  var willBeRounded = false
  /// What products with the parameter read.
  public var operand: WeightMatrix { rounded ?? matrix }
  /// The values of a vector, [1, n]; nil for a matrix.
  public private(set) var vector: MatrixView?
  /// Where its gradient is summed; nil while it is frozen, which then costs nothing.
  public private(set) var gradient: MatrixView?
  /// Whether transformers has it as a part of a larger tensor, which has no module of its own.
  public internal(set) var isPart = false
  /// Keeps a vector's f32 copy alive.
  private let copy: OwnedMatrix?

  /// A frozen matrix, used where it lies.
  ///
  /// - Parameters:
  ///   - layout: what `shape` is in.
  ///   - storedBytes: bytes of it in the file, with scales that lie apart.
  init(
    name: String, storedName: String? = nil, shape: [Int], matrix: WeightMatrix,
    layout: WeightMatrix.Layout, storedBytes: Int? = nil
  ) {
    self.name = name
    self.storedName = storedName ?? name
    self.shape = shape
    self.matrix = matrix
    self.layout = layout
    storedFormat = matrix.format
    self.storedBytes = storedBytes ?? matrix.byteCount
    vector = nil
    copy = nil
  }

  /// A frozen vector; vectors are few and small, so they are copied to f32 once.
  init(name: String, vector storage: OwnedMatrix) {
    self.name = name
    storedName = name
    shape = [storage.view.columns]
    copy = storage
    vector = storage.view
    matrix = WeightMatrix(storage.view)
    storedFormat = matrix.format
    storedBytes = matrix.byteCount
    layout = .outputMajor
  }

  /// Whether it trains.
  public var isTrainable: Bool { gradient != nil }

  /// The arithmetic of products with it: a trained weight is always multiplied in f32.
  func arithmetic(_ frozen: Arithmetic) -> Arithmetic { isTrainable ? .float32 : frozen }

  /// Lets a frozen matrix read other values from now on.
  func replace(_ values: MatrixView) {
    matrix = WeightMatrix(values, layout: layout)
    rounded = nil
  }

  /// Counts as a quantised copy would, and goes on reading what is stored.
  func planQuantized(_ format: WeightFormat, byteCount: Int) {
    storedFormat = format
    storedBytes = byteCount
  }

  /// Takes a quantised copy in the place of what is stored.
  func keepQuantized(_ matrix: WeightMatrix, byteCount: Int) {
    self.matrix = matrix
    storedFormat = matrix.format
    storedBytes = byteCount
  }

  /// Lets the parameter live in the arena from now on; its present values are copied there, where the
  /// arena has memory.
  func makeTrainable(values: MatrixView, gradient: MatrixView) {
    if let vector {
      if !values.isPlanned {
        values.copy(from: vector.reshaped(rows: values.rows, columns: values.columns))
      }
      self.vector = values.reshaped(rows: 1, columns: values.count)
    } else if !values.isPlanned {
      matrix.copyFloats(into: values, as: layout)
    }
    matrix = WeightMatrix(values, layout: layout)
    rounded = nil
    self.gradient = gradient
  }
}
