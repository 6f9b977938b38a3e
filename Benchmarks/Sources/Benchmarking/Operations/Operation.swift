import JSON
import Kernels
import Tensors

/// One call of the kernels with its operands: what is timed, and what is checked.
protocol Operation: AnyObject {
  /// What it computes.
  var name: String { get }
  /// On what sizes.
  var size: String { get }
  /// The arithmetic of its frozen products or of attention; f32 where it has neither.
  var precision: Precision { get }
  /// What bounds its time.
  var bound: Bound { get }
  /// Computes, on operands that stay as they are.
  func run(on compute: Compute)
  /// Puts results that are added to, or overwrite operands, back to where they began.
  func reset()
  /// Each result with what it must be, computed in `Double` one number at a time.
  func results() -> [CheckedResult]
}

extension Operation {
  var precision: Precision { .f32 }
  func reset() {}
}

/// A result, and what it must be.
struct CheckedResult {
  let name: String
  let values: [Double]
  let expected: [Double]
  /// How far the result may lie from it, by norm.
  ///
  /// A sum of n products in f32 has a relative error of about √n·2⁻²⁴ where terms do not cancel;
  /// 2·10⁻⁵ covers every sum here, and is a hundredth of what a wrong term makes.
  var tolerance = 2e-5

  init(_ name: String, _ values: MatrixView, _ expected: [Double]) {
    self.name = name
    self.values = values.elements.map(Double.init)
    self.expected = expected
  }

  init(_ name: String, value: Double, _ expected: Double) {
    self.name = name
    (values, self.expected) = ([value], [expected])
  }

  /// What is wrong; nil where nothing is.
  var failure: String? {
    guard values.count == expected.count else {
      return "\(name) has \(values.count) numbers for \(expected.count)"
    }
    var (difference, size) = (0.0, 0.0)
    for (value, wanted) in zip(values, expected) {
      difference += (value - wanted) * (value - wanted)
      size += wanted * wanted
    }
    let error = (difference / max(size, .leastNormalMagnitude)).squareRoot()
    // Written so that NaN fails.
    if error <= tolerance { return nil }
    return "\(name) is off by \(error) of its norm, \(tolerance) allowed"
  }
}

/// The least time in which an operation could be done.
enum Bound {
  /// That of the products' multiply-adds in registers.
  case products([ProductShape])
  /// That of its arithmetic in registers, or of its memory traffic at the speed of a plain pass,
  /// whichever is longer.
  case roofline(operations: Double, bytes: Double)
  /// That of reading its operands and writing its results once; `workingSet` are the bytes that
  /// they fill, where some are both read and written.
  case memory(bytes: Double, workingSet: Double)

  /// That of reading operands and writing results that do not overlap.
  static func memory(bytes: Double) -> Bound { .memory(bytes: bytes, workingSet: bytes) }

  /// In seconds.
  func seconds(_ peak: Peak, _ precision: Precision) -> Double {
    switch self {
    case .products(let shapes):
      shapes.reduce(0) { $0 + $1.operations } / peak.registerOperationsPerSecond(precision)
    case .roofline(let operations, let bytes):
      max(
        operations / peak.registerOperationsPerSecond(precision),
        bytes / peak.bytesPerSecond(workingSet: Int(bytes)))
    case .memory(let bytes, let set): bytes / peak.bytesPerSecond(workingSet: Int(set))
    }
  }

  /// What it is, in a word.
  var name: String {
    switch self {
    case .products: "registers"
    case .roofline: "registers or memory"
    case .memory: "memory"
    }
  }

  /// Floating-point operations; nil where they do not matter.
  var operations: Double? {
    switch self {
    case .products(let shapes): shapes.reduce(0) { $0 + $1.operations }
    case .roofline(let operations, _): operations
    case .memory: nil
    }
  }

  /// Bytes that must be moved; nil where they do not matter.
  var bytes: Double? {
    switch self {
    case .products: nil
    case .roofline(_, let bytes), .memory(let bytes, _): bytes
    }
  }
}
