import COpenBLAS
import Foundation
import Kernels
import Tensors

/// What this machine can do at most, measured when asked and remembered.
///
/// ```swift
/// let peak = Peak(threads: 2, leastSeconds: 0.1)
/// let bound = peak.operationsPerSecond(job, rows: 512, precision: .f32)
/// ```
public final class Peak {
  /// The threads that work.
  public let compute: Compute
  private let leastSeconds: Double
  private var products: [ProductKey: Double] = [:]
  private var bandwidths: [Int: Double] = [:]

  private struct ProductKey: Hashable {
    let shape: ProductShape
    let precision: Precision
  }

  /// - Parameter leastSeconds: how long each measurement lasts.
  public init(threads: Int, leastSeconds: Double) {
    compute = Compute(threads: threads)
    self.leastSeconds = leastSeconds
  }

  /// Floating-point operations a second of plain products of a shape, all threads together: the
  /// better library's.
  ///
  /// Where the processor does not multiply bf16 natively, f32 is the bound of bf16 too.
  func operationsPerSecond(_ shape: ProductShape, precision: Precision) -> Double {
    let native = precision == .f32 || Compute.hasNativeBFloat16 ? precision : .f32
    let key = ProductKey(shape: shape, precision: native)
    if let known = products[key] { return known }
    let speeds = PlainProduct.Library.allCases.compactMap { library in
      PlainProduct(shape, precision: native, library: library, threads: compute.threadCount)?
        .operationsPerSecond(leastSeconds: leastSeconds, on: compute)
    }
    let best = speeds.max() ?? 0
    products[key] = best
    return best
  }

  /// The same on a job's own shapes: the products with frozen weights of a step, forward and
  /// backward, each as often as a step runs it.
  ///
  /// - Parameter rows: tokens of a product, which are those of a micro-batch.
  public func operationsPerSecond(_ job: Job, rows: Int, precision: Precision) -> Double {
    var (operations, seconds) = (0.0, 0.0)
    func add(_ input: Int, _ output: Int, share: Double) {
      for shape in [
        ProductShape(rows: rows, depth: input, columns: output, bTransposed: true),
        ProductShape(rows: rows, depth: output, columns: input, bTransposed: false),
      ] {
        operations += share * shape.operations
        seconds +=
          share * shape.operations / operationsPerSecond(shape, precision: precision)
      }
    }
    for projection in job.shape.projections {
      add(projection.inputSize, projection.outputSize, share: Double(job.shape.blockCount))
    }
    add(job.shape.hiddenSize, job.shape.vocabularySize, share: job.countedShare)
    return operations / seconds
  }

  /// Bytes a second, read and written together, of a plain pass over a working set of about `bytes`,
  /// all threads together: a copy of one half to the other, or a change of sign in place, whichever
  /// is faster.
  ///
  /// Small sets stay in a cache, as they do between the kernels of a step; so the bound has the size
  /// of what is compared with it.
  func bytesPerSecond(workingSet bytes: Int) -> Double {
    let size = max(bytes, 65536 * compute.threadCount).roundedToPowerOfTwo(limit: 1 << 30)
    if let known = bandwidths[size] { return known }
    let set = OwnedMatrix(1, size / 4, seed: 1)
    let result = max(
      bytesPerSecond(set.view, copying: true), bytesPerSecond(set.view, copying: false))
    bandwidths[size] = result
    return result
  }

  private func bytesPerSecond(_ set: MatrixView, copying: Bool) -> Double {
    let count = copying ? set.count / 2 : set.count
    let step = max(4096, count / (4 * compute.threadCount))
    let seconds = Stopwatch.secondsPerCall(leastSeconds: leastSeconds) {
      compute.forEachBlock((count + step - 1) / step) { block, _ in
        let start = set.base + block * step
        let length = min(step, count - block * step)
        if copying {
          memcpy(start + count, start, 4 * length)
        } else {
          // By -1: a factor of 1 may be skipped, and others would end in zeros.
          cblas_sscal(CInt(length), -1, start, 1)
        }
      }
    }
    return Double(8 * count) / seconds
  }
}

extension Int {
  /// The nearest power of two by ratio, none above `limit`.
  fileprivate func roundedToPowerOfTwo(limit: Int) -> Int {
    let exponent = Foundation.log2(Double(Swift.max(self, 1))).rounded()
    return Swift.min(1 << Int(exponent), limit)
  }
}
