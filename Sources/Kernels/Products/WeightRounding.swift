import CKernels
import Tensors

/// Rounds stored weights to bf16, once, where products would else do so each time.
public enum WeightRounding {
  /// Whether products in bf16 cannot use a weight where it lies, and a copy is no larger.
  ///
  /// Blocks stay as they are: they take fewer bytes than numbers in bf16.
  public static func isUseful(for weight: WeightMatrix) -> Bool {
    guard let type = weight.elementType else { return false }
    return type != .bfloat16 || Int(bitPattern: weight.storage) % 2 != 0
  }

  /// Writes some rows of a weight, as they are counted, as bf16.
  ///
  /// Numbers are what a product would round them to: nearest, ties to even.
  ///
  /// - Parameters:
  ///   - weight: any weight, quantised ones too.
  ///   - rows: which of the stored rows.
  ///   - bytes: where the rounded weight lies.
  ///   - offset: byte at which the weight's first element goes.
  ///   - compute: the threads that compute it.
  public static func round(
    _ weight: WeightMatrix, rows: Range<Int>, into bytes: SharedBytes, at offset: Int,
    on compute: Compute
  ) {
    let columns = weight.storedColumns
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= weight.storedRows
        && offset % 2 == 0 && offset >= 0
        && offset + 2 * rows.upperBound * columns <= bytes.byteCount,
      "rows \(rows) at byte \(offset) of \(bytes.byteCount)")
    compute.forEachBlock(rows.count) { block, worker in
      let row = rows.lowerBound + block
      let scratch = compute.scratch(worker: worker).base
      let linear = compute.kernels.pointee.linear
      let step = Compute.scratchCount
      for piece in 0..<blockCount(columns, step) {
        let elements = blockRange(piece, step, columns)
        var part = weight.part(row: row, element: elements.lowerBound)
        linear.read(scratch, &part, 0, Int64(elements.count))
        linear.narrow(
          (bytes.base + offset + 2 * (row * columns + elements.lowerBound))
            .assumingMemoryBound(to: UInt16.self), scratch, ck_f32, Int64(elements.count))
      }
    }
  }

  /// The rounded weight at a place in memory, which must outlive it.
  public static func rounded(
    _ weight: WeightMatrix, in bytes: SharedBytes, at offset: Int
  ) -> WeightMatrix {
    precondition(offset + 2 * weight.count <= bytes.byteCount)
    return WeightMatrix(
      storage: UnsafeRawPointer(bytes.base + offset), elementType: .bfloat16,
      inputSize: weight.inputSize, outputSize: weight.outputSize, layout: weight.layout)
  }
}
