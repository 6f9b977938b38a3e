import CKernels

/// How fast this processor multiplies and adds, measured in a few hundredths of a second.
///
/// ```swift
/// let rate = ProductPeak.measure(.bfloat16, on: compute)
/// ```
///
/// It is what the processor can do, whatever our products make of it: each thread runs multiply-adds
/// that depend on nothing but registers, by the instructions that the arithmetic has there. In bf16
/// these are the bf16 instructions where the processor has them, else those of f32.
public enum ProductPeak {
  /// Rounds of some dozens of instructions that a thread runs at a time: about a millisecond.
  private static let rounds: Int64 = 100_000

  /// The best rate of all threads together, in floating-point operations (two a multiply-add) a
  /// second.
  ///
  /// - Parameters:
  ///   - arithmetic: that of the multiply-adds.
  ///   - seconds: time that it takes, about.
  ///   - compute: the threads that compute it.
  public static func measure(
    _ arithmetic: Arithmetic, seconds: Double = 0.03, on compute: Compute
  ) -> Double {
    let kernels = compute.product.kernels.pointee
    let isNative = compute.engine(arithmetic) == .bfloat16
    let peak = (isNative ? kernels.peak_bf16 : nil) ?? kernels.peak
    var result: Float = 0
    let operations = peak(1, &result) * Double(rounds) * Double(compute.threadCount)
    var best = Int64.max
    let start = StepProfiler.now()
    repeat {
      let began = StepProfiler.now()
      compute.forEachBlock(compute.threadCount) { _, worker in
        _ = peak(rounds, compute.scratch(worker: worker).base)
      }
      best = min(best, StepProfiler.now() - began)
    } while Double(StepProfiler.now() - start) < seconds * 1e9
    return operations / (Double(max(best, 1)) * 1e-9)
  }
}
