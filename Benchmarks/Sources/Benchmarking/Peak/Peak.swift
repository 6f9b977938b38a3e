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
package final class Peak {
  /// The threads that work.
  package let compute: Compute
  private let leastSeconds: Double
  private var products: [ProductShape: Double] = [:]
  private var registers: [Precision: Double] = [:]
  private var bandwidths: [Int: Double] = [:]

  /// - Parameters:
  ///   - leastSeconds: how long each measurement lasts.
  ///   - instructionSet: whose registers; one of those that the processor has.
  package init(threads: Int, leastSeconds: Double, instructionSet: InstructionSet = .best) {
    compute = Self.compute(threads: threads, instructionSet: instructionSet)
    self.leastSeconds = leastSeconds
  }

  /// Threads with the kernels of a set that the processor has.
  static func compute(threads: Int, instructionSet: InstructionSet) -> Compute {
    do {
      return try Compute(threads: threads, instructionSet: instructionSet)
    } catch {
      preconditionFailure(error.description)
    }
  }

  /// Floating-point operations a second of multiply-adds in registers, all threads together, by the
  /// instructions that a precision has here: what no program can exceed.
  ///
  /// Where the processor does not multiply bf16 natively, f32 is the bound of bf16 too.
  package func registerOperationsPerSecond(_ precision: Precision) -> Double {
    if let known = registers[precision] { return known }
    let rate = ProductPeak.measure(precision.arithmetic, seconds: leastSeconds, on: compute)
    registers[precision] = rate
    return rate
  }

  /// Floating-point operations a second of OpenBLAS's f32 products of a shape, all threads together.
  func operationsPerSecond(_ shape: ProductShape) -> Double {
    if let known = products[shape] { return known }
    let rate = PlainProduct(shape, threads: compute.threadCount)
      .operationsPerSecond(leastSeconds: leastSeconds, on: compute)
    products[shape] = rate
    return rate
  }

  /// The same on a job's own shapes: the products with frozen weights of a step, forward and
  /// backward, each as often as a step runs it.
  ///
  /// - Parameter rows: tokens of a product, which are those of a micro-batch.
  package func operationsPerSecond(_ job: Job, rows: Int) -> Double {
    var (operations, seconds) = (0.0, 0.0)
    func add(_ input: Int, _ output: Int, share: Double) {
      for shape in [
        ProductShape(rows: rows, depth: input, columns: output, bTransposed: true),
        ProductShape(rows: rows, depth: output, columns: input, bTransposed: false),
      ] {
        operations += share * shape.operations
        seconds +=
          share * shape.operations / operationsPerSecond(shape)
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
