import CKernels
import Tensors

/// Rounds stored weights to bf16, once, where products would else do so each time.
public enum WeightRounding {
  /// Elements that a thread rounds at a time.
  private static let blockSize = 1 << 16

  /// Whether products in bf16 cannot use a weight where it lies.
  public static func isUseful(for weight: WeightMatrix) -> Bool {
    weight.elementType != .bfloat16 || Int(bitPattern: weight.storage) % 2 != 0
  }

  /// Writes some elements of a weight, as they follow each other in memory, as bf16.
  ///
  /// They are what a product would round them to: nearest, ties to even.
  ///
  /// - Parameters:
  ///   - elements: which ones.
  ///   - offset: byte at which the weight's first element goes.
  public static func round(
    _ weight: WeightMatrix, elements: Range<Int>, into bytes: SharedBytes, at offset: Int,
    on compute: Compute
  ) {
    precondition(
      elements.lowerBound >= 0 && elements.upperBound <= weight.inputSize * weight.outputSize
        && offset % 2 == 0 && offset >= 0 && offset + 2 * elements.upperBound <= bytes.byteCount,
      "elements \(elements) at byte \(offset) of \(bytes.byteCount)")
    compute.forEachBlock(blockCount(elements.count, blockSize)) { block, _ in
      let part = blockRange(block, blockSize, elements.count)
      let first = elements.lowerBound + part.lowerBound
      compute.kernels.pointee.linear.narrow(
        (bytes.base + offset + 2 * first).assumingMemoryBound(to: UInt16.self),
        weight.storage + first * weight.elementType.byteCount, weight.elementType.stored,
        Int64(part.count))
    }
  }

  /// The rounded weight at a place in memory, which must outlive it.
  public static func rounded(
    _ weight: WeightMatrix, in bytes: SharedBytes, at offset: Int
  ) -> WeightMatrix {
    precondition(offset + 2 * weight.inputSize * weight.outputSize <= bytes.byteCount)
    return WeightMatrix(
      storage: UnsafeRawPointer(bytes.base + offset), elementType: .bfloat16,
      inputSize: weight.inputSize, outputSize: weight.outputSize, layout: weight.layout)
  }
}
