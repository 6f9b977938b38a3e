import CKernels

/// What turns the codes of a quantised matrix into numbers where that lies apart from them: a
/// table, and scales of blocks or rows.
///
/// ```swift
/// let codes = StoredCodes(
///   name: "NF4", map: table, blockSize: 64, scales: .plain(absmax), columns: 4096,
///   rounding: .bfloat16)
/// let weight = WeightMatrix(storage: bytes, codes: codes, inputSize: 4096, outputSize: 1024)
/// ```
///
/// The layouts are bitsandbytes': codes of four bits over the flattened matrix, the first of a byte
/// in its high half, `number = round(map[code] · scale of the block)`; or bytes, `number = byte ·
/// scale of the row / 127`. It holds on to nothing but its table: scales stay where they are, and
/// whoever uses the weight keeps this.
public final class StoredCodes: @unchecked Sendable {
  // Sendable: the table is written by the initialiser alone.

  /// Where the scales of the blocks are.
  public enum Scales {
    /// Floats, at any address.
    case plain(UnsafeRawPointer)
    /// `map[code] · scale of its block + offset`: codes of 8 bits, a table of 256, scales in f32.
    case nested(
      codes: UnsafeRawPointer, map: [Float], scales: UnsafeRawPointer, blockSize: Int,
      offset: Float)
  }

  let format: WeightFormat
  let table: UnsafePointer<ck_codes>
  private let memory: UnsafeMutablePointer<ck_codes>

  /// Codes of four bits.
  ///
  /// - Parameters:
  ///   - name: the format's, `NF4` or `FP4`.
  ///   - map: the number of each code, 16 of them.
  ///   - blockSize: numbers that share a scale, over the flattened matrix.
  ///   - scales: the scale of each block.
  ///   - columns: numbers of a row.
  ///   - rounding: the type that a number is rounded to.
  public convenience init(
    name: String, map: [Float], blockSize: Int, scales: Scales, columns: Int,
    rounding: ElementType
  ) {
    precondition(map.count == 16 && blockSize > 0, "\(map.count) codes, blocks of \(blockSize)")
    self.init(.codes(name: name), columns: columns)
    withUnsafeMutableBytes(of: &memory.pointee.map) { target in
      map.withUnsafeBytes { target.copyMemory(from: $0) }
    }
    memory.pointee.block = Int64(blockSize)
    memory.pointee.rounding = WeightFormat.numbers(rounding).code
    switch scales {
    case .plain(let scales): memory.pointee.scales = scales
    case .nested(let codes, let map, let scales, let blockSize, let offset):
      precondition(map.count == 256 && blockSize > 0, "\(map.count) codes, blocks of \(blockSize)")
      withUnsafeMutableBytes(of: &memory.pointee.nested_map) { target in
        map.withUnsafeBytes { target.copyMemory(from: $0) }
      }
      memory.pointee.nested = codes.assumingMemoryBound(to: UInt8.self)
      memory.pointee.nested_scales = scales
      memory.pointee.nested_block = Int64(blockSize)
      memory.pointee.nested_offset = offset
    }
  }

  /// Bytes with a scale for each row.
  ///
  /// - Parameter rowScales: floats, at any address.
  /// - Parameter columns: numbers of a row.
  public convenience init(rowScales: UnsafeRawPointer, columns: Int) {
    self.init(.int8, columns: columns)
    memory.pointee.scales = rowScales
  }

  private init(_ format: WeightFormat, columns: Int) {
    self.format = format
    memory = .allocate(capacity: 1)
    memory.initialize(to: ck_codes())
    memory.pointee.columns = Int64(columns)
    table = UnsafePointer(memory)
  }

  deinit { memory.deallocate() }
}

extension WeightMatrix {
  /// Describes a weight of codes at `storage`, whose table and scales `codes` has.
  public init(
    storage: UnsafeRawPointer, codes: StoredCodes, inputSize: Int, outputSize: Int,
    layout: Layout = .outputMajor
  ) {
    let columns = layout == .outputMajor ? inputSize : outputSize
    self.init(
      storage: storage, format: codes.format, inputSize: inputSize, outputSize: outputSize,
      layout: layout, rowBytes: codes.format == .int8 ? columns : columns / 2,
      interleavedHead: 0, codes: codes.table)
  }
}
