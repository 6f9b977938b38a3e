import CKernels
import Tensors

/// How a base's frozen projections are kept in fewer bits than they are stored in.
public enum BaseQuantization: String, Sendable, CaseIterable {
  /// bitsandbytes' NF4: codes of 4 bits, a scale in f32 for 64 numbers.
  case nf4
  /// ggml's Q8_0: bytes, a scale in f16 for 32 numbers.
  case q8_0

  /// Numbers that share a scale, of which rows must be whole blocks.
  public var blockSize: Int { self == .nf4 ? 64 : 32 }
}

/// Quantises stored weights, once, row by row.
public enum WeightQuantization {
  /// NF4's numbers (Dettmers et al., "QLoRA", 2023, appendix E), by their codes: ascending.
  private static let nf4: [Float] = [
    -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1,
  ]

  /// Bytes that a weight comes to, whole cache lines.
  public static func byteCount(_ weight: WeightMatrix, as format: BaseQuantization) -> Int {
    (codeBytes(weight, format) + 63) & ~63
      + (format == .nf4 ? (4 * weight.count / format.blockSize + 63) & ~63 : 0)
  }

  private static func codeBytes(_ weight: WeightMatrix, _ format: BaseQuantization) -> Int {
    switch format {
    case .nf4: weight.count / 2
    case .q8_0: BlockFormat.q8_0.byteCount(elements: weight.count)
    }
  }

  /// Where the scales of NF4 are.
  private static func scaleOffset(_ weight: WeightMatrix, _ offset: Int) -> Int {
    offset + (codeBytes(weight, .nf4) + 63) & ~63
  }

  /// Writes some rows of a weight, as they are counted.
  ///
  /// - Parameters:
  ///   - weight: rows of whole blocks.
  ///   - format: what it becomes.
  ///   - rows: which of the stored rows.
  ///   - bytes: where the quantised weight lies.
  ///   - offset: byte at which the weight begins, a multiple of 64.
  ///   - compute: the threads that compute it.
  public static func quantize(
    _ weight: WeightMatrix, as format: BaseQuantization, rows: Range<Int>, into bytes: SharedBytes,
    at offset: Int, on compute: Compute
  ) {
    let columns = weight.storedColumns
    precondition(
      columns % format.blockSize == 0 && offset % 64 == 0
        && offset + byteCount(weight, as: format) <= bytes.byteCount,
      "rows \(rows) of \(columns) at byte \(offset) of \(bytes.byteCount)")
    let codes = (bytes.base + offset).assumingMemoryBound(to: UInt8.self)
    let scales = (bytes.base + scaleOffset(weight, offset)).assumingMemoryBound(to: Float.self)
    let order = (0..<16).map { UInt8($0) }
    compute.forEachBlock(rows.count) { block, worker in
      let row = rows.lowerBound + block
      let scratch = compute.scratch(worker: worker).base
      // Whole blocks of both formats.
      let step = Compute.scratchCount
      for piece in 0..<blockCount(columns, step) {
        let elements = blockRange(piece, step, columns)
        var part = weight.part(row: row, element: elements.lowerBound)
        let count = Int64(elements.count)
        compute.kernels.pointee.linear.read(scratch, &part, 0, count)
        let first = row * columns + elements.lowerBound
        switch format {
        case .q8_0:
          ck_quantize_q8_0(codes + BlockFormat.q8_0.byteCount(elements: first), scratch, count)
        case .nf4:
          ck_quantize_codes4(
            codes + first / 2, scales + first / format.blockSize, scratch, count,
            Int64(format.blockSize), nf4, order)
        }
      }
    }
  }

  /// The quantised weight at a place in memory, which must outlive it, and who keeps its table.
  public static func quantized(
    _ weight: WeightMatrix, as format: BaseQuantization, in bytes: SharedBytes, at offset: Int
  ) -> (weight: WeightMatrix, table: AnyObject?) {
    let storage = UnsafeRawPointer(bytes.base + offset)
    switch format {
    case .q8_0:
      let result = WeightMatrix(
        storage: storage, format: .blocks(.q8_0), inputSize: weight.inputSize,
        outputSize: weight.outputSize, layout: weight.layout)
      return (result, nil)
    case .nf4:
      let codes = StoredCodes(
        name: "NF4", map: nf4, blockSize: format.blockSize,
        scales: .plain(UnsafeRawPointer(bytes.base + scaleOffset(weight, offset))),
        columns: weight.storedColumns, rounding: .float32)
      let result = WeightMatrix(
        storage: storage, codes: codes, inputSize: weight.inputSize,
        outputSize: weight.outputSize, layout: weight.layout)
      return (result, codes)
    }
  }
}
