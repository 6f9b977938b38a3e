import CKernels

/// A weight matrix as it lies in its file or in the parameter arena: read-only, in its stored
/// format.
///
/// Whatever the layout, a weight maps `inputSize` features to `outputSize` features. A linear layer
/// stores `[output, input]`; GPT-2's `Conv1D` stores `[input, output]`. The storage may start at
/// any byte (safetensors aligns nothing but its header), so kernels must not assume alignment.
/// A format may hold several numbers in a block, so that nothing is addressed but rows and, within
/// a row, parts that the kernels decode (`part`).
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
  /// How numbers are stored.
  public let format: WeightFormat
  /// Features that go in.
  public let inputSize: Int
  /// Features that come out.
  public let outputSize: Int
  /// Order of the dimensions in memory.
  public let layout: Layout
  /// Bytes from one stored row to the next.
  public let rowBytes: Int
  /// Rows of a head whose two halves are stored by turns, as llama.cpp has those of queries and
  /// keys; 0 where rows lie as they are counted.
  public let interleavedHead: Int
  /// What the numbers are made with where that lies apart; somebody keeps it.
  private let codes: UnsafePointer<ck_codes>?

  /// Describes a weight of numbers at `storage`.
  public init(
    storage: UnsafeRawPointer, elementType: ElementType, inputSize: Int, outputSize: Int,
    layout: Layout = .outputMajor
  ) {
    self.init(
      storage: storage, format: .numbers(elementType), inputSize: inputSize,
      outputSize: outputSize, layout: layout)
  }

  /// Describes a weight of numbers or blocks at `storage`.
  ///
  /// - Parameters:
  ///   - storage: its first byte; stays where it is for as long as the weight is used.
  ///   - format: how numbers are stored.
  ///   - inputSize: I, features that go in.
  ///   - outputSize: O, features that come out.
  ///   - layout: whether rows are those of outputs or of inputs.
  ///   - interleavedHead: rows of a head whose halves are stored by turns; 0 for none.
  public init(
    storage: UnsafeRawPointer, format: WeightFormat, inputSize: Int, outputSize: Int,
    layout: Layout = .outputMajor, interleavedHead: Int = 0
  ) {
    let columns = layout == .outputMajor ? inputSize : outputSize
    let rowBytes: Int
    switch format {
    case .numbers(let type): rowBytes = columns * type.byteCount
    case .blocks(let blocks):
      precondition(
        columns % blocks.elements == 0, "rows of \(columns) in blocks of \(blocks.elements)")
      rowBytes = blocks.byteCount(elements: columns)
    case .codes, .int8: preconditionFailure("\(format.name) needs its scales")
    }
    self.init(
      storage: storage, format: format, inputSize: inputSize, outputSize: outputSize,
      layout: layout, rowBytes: rowBytes, interleavedHead: interleavedHead, codes: nil)
  }

  /// A weight in f32 that lies in a view: `[output, input]` or `[input, output]` by `layout`.
  public init(_ view: MatrixView, layout: Layout = .outputMajor) {
    precondition(view.isContiguous, "a weight's rows lie end to end")
    let isOutputMajor = layout == .outputMajor
    self.init(
      storage: UnsafeRawPointer(view.base), elementType: .float32,
      inputSize: isOutputMajor ? view.columns : view.rows,
      outputSize: isOutputMajor ? view.rows : view.columns, layout: layout)
  }

  /// Describes a weight whose scales lie apart.
  init(
    storage: UnsafeRawPointer, format: WeightFormat, inputSize: Int, outputSize: Int,
    layout: Layout, rowBytes: Int, interleavedHead: Int, codes: UnsafePointer<ck_codes>?
  ) {
    self.storage = storage
    self.format = format
    self.inputSize = inputSize
    self.outputSize = outputSize
    self.layout = layout
    self.rowBytes = rowBytes
    self.interleavedHead = interleavedHead
    self.codes = codes
  }

  /// The same values seen as a matrix that maps the outputs to the inputs.
  ///
  /// A token table of that kind maps tokens to hidden features.
  public var turned: WeightMatrix {
    WeightMatrix(
      storage: storage, format: format, inputSize: outputSize, outputSize: inputSize,
      layout: layout == .outputMajor ? .inputMajor : .outputMajor, rowBytes: rowBytes,
      interleavedHead: interleavedHead, codes: codes)
  }

  /// Where it begins in memory, as a number.
  public var address: Int { Int(bitPattern: storage) }
  /// The type of the numbers where they are stored one by one.
  public var elementType: ElementType? { format.elementType }
  /// Rows in memory.
  public var storedRows: Int { layout == .outputMajor ? outputSize : inputSize }
  /// Columns in memory.
  public var storedColumns: Int { layout == .outputMajor ? inputSize : outputSize }
  /// Number of elements.
  public var count: Int { inputSize * outputSize }
  /// Bytes of the matrix, without scales that lie apart.
  public var byteCount: Int {
    if case .codes = format { (count + 1) / 2 } else { storedRows * rowBytes }
  }

  /// The part that begins at a row and an element of it, as the kernels take it: the only address
  /// of a weight.
  package func part(row: Int = 0, element: Int = 0) -> ck_stored {
    ck_stored(
      base: storage, row_bytes: Int64(rowBytes), type: format.code, row: Int64(row),
      element: Int64(element), head: Int64(interleavedHead), codes: codes)
  }

  /// Writes a stored row as f32.
  ///
  /// - Parameters:
  ///   - row: as rows are counted, whatever their order in memory.
  ///   - elements: which of its elements.
  ///   - target: as many floats.
  public func read(
    row: Int, elements: Range<Int>? = nil, into target: UnsafeMutablePointer<Float>
  ) {
    let elements = elements ?? 0..<storedColumns
    precondition(
      row >= 0 && row < storedRows && elements.lowerBound >= 0
        && elements.upperBound <= storedColumns,
      "elements \(elements) of row \(row) of [\(storedRows), \(storedColumns)]")
    var part = part(row: row, element: elements.lowerBound)
    // All instruction sets give the same bits.
    ck_kernels_best().pointee.linear.read(target, &part, 0, Int64(elements.count))
  }
}
