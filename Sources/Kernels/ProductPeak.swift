import Tensors

/// How fast this machine multiplies matrices, measured in a few hundredths of a second.
///
/// ```swift
/// let rate = ProductPeak.measure(
///   shapes: [.init(rows: 512, inputSize: 2048, outputSize: 5632)], arithmetic: .bfloat16,
///   on: compute)
/// ```
///
/// It is a plain product by a weight of its own, in the type that the arithmetic likes best: what a
/// step would reach if it were nothing but such products.
public enum ProductPeak {
  /// A product `[rows, inputSize]` by `[inputSize, outputSize]`.
  public struct Shape: Sendable, Hashable {
    /// Rows of activations.
    public let rows: Int
    /// Features that go in.
    public let inputSize: Int
    /// Features that come out.
    public let outputSize: Int

    /// Names a product.
    public init(rows: Int, inputSize: Int, outputSize: Int) {
      self.rows = rows
      self.inputSize = inputSize
      self.outputSize = outputSize
    }
  }

  /// The best rate of any of the shapes, in floating-point operations (two a multiply-add) a second.
  ///
  /// - Parameter seconds: time that each shape takes, about.
  public static func measure(
    shapes: [Shape], arithmetic: Arithmetic, seconds: Double = 0.015, on compute: Compute
  ) -> Double {
    shapes.map { measure($0, arithmetic, seconds, compute) }.max() ?? 0
  }

  /// Multiply-adds that a thread does at most in one product: about 10 ms in f32.
  private static let largestWork = 250_000_000

  private static func measure(
    _ shape: Shape, _ arithmetic: Arithmetic, _ seconds: Double, _ compute: Compute
  ) -> Double {
    guard shape.rows > 0 && shape.inputSize > 0 && shape.outputSize > 0 else { return 0 }
    let room = compute.threadCount * largestWork / (shape.rows * shape.inputSize)
    let outputSize = min(shape.outputSize, max(256, room))
    let operands = Operands(shape, outputSize: outputSize, arithmetic)
    let work = 2 * Double(shape.rows) * Double(shape.inputSize) * Double(outputSize)
    // Once for pages, caches and clocks.
    var best = Int64.max
    operands.multiply(arithmetic, on: compute)
    let start = StepProfiler.now()
    var runs = 0
    repeat {
      let began = StepProfiler.now()
      operands.multiply(arithmetic, on: compute)
      best = min(best, StepProfiler.now() - began)
      runs += 1
    } while runs < 2 || (Double(StepProfiler.now() - start) < seconds * 1e9 && runs < 1000)
    return work / (Double(max(best, 1)) * 1e-9)
  }

  /// Activations, a weight and a result of no meaning.
  private struct Operands: ~Copyable {
    private let input: FloatBuffer
    private let weights: FloatBuffer
    private let output: FloatBuffer
    private let shape: Shape
    private let outputSize: Int

    init(_ shape: Shape, outputSize: Int, _ arithmetic: Arithmetic) {
      self.shape = shape
      self.outputSize = outputSize
      input = FloatBuffer(count: shape.rows * shape.inputSize)
      output = FloatBuffer(count: shape.rows * outputSize)
      let isNarrow = arithmetic == .bfloat16
      weights = FloatBuffer(
        count: (shape.inputSize * outputSize + (isNarrow ? 1 : 0)) / (isNarrow ? 2 : 1))
      input.all.fill(0.5)
      // As two bf16 numbers this is 0.25 and 0.25; zeros could be multiplied faster than others.
      weights.all.fill(Float(bitPattern: 0x3e80_3e80))
    }

    borrowing func multiply(_ arithmetic: Arithmetic, on compute: Compute) {
      let weight = WeightMatrix(
        storage: UnsafeRawPointer(weights.base),
        elementType: arithmetic == .bfloat16 ? .bfloat16 : .float32, inputSize: shape.inputSize,
        outputSize: outputSize)
      Linear.forward(
        input.view(rows: shape.rows, columns: shape.inputSize), weight: weight, bias: nil,
        into: output.view(rows: shape.rows, columns: outputSize), arithmetic: arithmetic,
        on: compute)
    }
  }
}
