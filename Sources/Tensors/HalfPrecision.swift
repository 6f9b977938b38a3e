/// Conversions between f32 and the 16-bit types, on bit patterns; exact one way, rounded to the
/// nearest and ties to even the other.
///
/// They are written without branches, so that loops over them become vector code on any processor.
public enum HalfPrecision {
  /// The f32 of a bf16's bits.
  @inlinable
  public static func float(bfloat16 bits: UInt16) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
  }

  /// The f32 of an f16's bits.
  @inlinable
  public static func float(float16 bits: UInt16) -> Float {
    let magnitude = UInt32(bits & 0x7fff)
    // The exponents' biases differ by 112; the product also normalises subnormals.
    let scaled = (Float(bitPattern: magnitude << 13) * 0x1p112).bitPattern
    let special: UInt32 = magnitude >= 0x7c00 ? 0x7f80_0000 : 0
    return Float(bitPattern: scaled | special | UInt32(bits & 0x8000) << 16)
  }

  /// The bits of the bf16 nearest to `value`; NaN stays NaN.
  @inlinable
  public static func bfloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let rounded = UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
    return value == value ? rounded : 0x7fc0
  }

  /// The bits of the f16 nearest to `value`; beyond its range infinite, NaN stays NaN.
  @inlinable
  public static func float16(_ value: Float) -> UInt16 {
    let sign = UInt16(truncatingIfNeeded: value.bitPattern >> 16) & 0x8000
    let magnitude = value.bitPattern & 0x7fff_ffff
    // Subnormal results: adding 0.5 aligns the fraction so that the addition itself rounds.
    let tiny = (Float(bitPattern: magnitude) + 0.5).bitPattern &- Float(0.5).bitPattern
    // Normal results: move the exponent's bias and round the 13 bits that go.
    let normal = (magnitude &- (112 << 23) &+ 0xfff &+ ((magnitude >> 13) & 1)) >> 13
    var result = magnitude < 0x3880_0000 ? tiny : normal
    // From 65520 on the nearest is infinity.
    result = magnitude >= 0x477f_f000 ? 0x7c00 : result
    result = magnitude > 0x7f80_0000 ? 0x7e00 : result
    return sign | UInt16(truncatingIfNeeded: result)
  }

  /// Converts `count` stored elements, which may lie at any address, to f32.
  public static func expand(
    _ source: UnsafeRawPointer, _ type: ElementType, count: Int,
    into target: UnsafeMutablePointer<Float>
  ) {
    switch type {
    case .float32:
      UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: 4 * count)
    case .float16:
      for i in 0..<count {
        target[i] = float(float16: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    case .bfloat16:
      for i in 0..<count {
        target[i] = float(bfloat16: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    }
  }

  /// Rounds `count` floats to `type` and stores them, at any address.
  public static func round(
    _ source: UnsafePointer<Float>, count: Int, to type: ElementType,
    into target: UnsafeMutableRawPointer
  ) {
    switch type {
    case .float32: target.copyMemory(from: source, byteCount: 4 * count)
    case .float16:
      for i in 0..<count {
        target.storeBytes(of: float16(source[i]), toByteOffset: 2 * i, as: UInt16.self)
      }
    case .bfloat16:
      for i in 0..<count {
        target.storeBytes(of: bfloat16(source[i]), toByteOffset: 2 * i, as: UInt16.self)
      }
    }
  }

  /// The numbers of a row, rounded to `type`.
  public static func bytes(of row: MatrixView, as type: ElementType) -> [UInt8] {
    precondition(row.rows == 1, "\(row.rows) rows")
    let count = row.columns * type.byteCount
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      if let base = buffer.baseAddress {
        round(row.base, count: row.columns, to: type, into: UnsafeMutableRawPointer(base))
      }
      initialized = count
    }
  }

  /// The index of the first element that is infinite or not a number.
  ///
  /// All exponent bits set means either, so the 16-bit types are never converted.
  public static func firstNonFinite(
    _ source: UnsafeRawPointer, _ type: ElementType, count: Int
  ) -> Int? {
    switch type {
    case .float32: firstMasked(source, count: count, mask: 0x7f80_0000 as UInt32)
    case .float16: firstMasked(source, count: count, mask: 0x7c00 as UInt16)
    case .bfloat16: firstMasked(source, count: count, mask: 0x7f80 as UInt16)
    }
  }

  /// The first element whose bits under `mask` are all set; blocks are scanned without a branch.
  @inline(__always)
  private static func firstMasked<Word: FixedWidthInteger & UnsignedInteger>(
    _ source: UnsafeRawPointer, count: Int, mask: Word
  ) -> Int? {
    let size = MemoryLayout<Word>.size
    var start = 0
    while start < count {
      let end = min(start + 4096, count)
      var found: Word = 0
      for i in start..<end {
        let word = source.loadUnaligned(fromByteOffset: i * size, as: Word.self)
        found |= (word & mask) == mask ? 1 : 0
      }
      if found != 0 {
        return (start..<end).first {
          source.loadUnaligned(fromByteOffset: $0 * size, as: Word.self) & mask == mask
        }
      }
      start = end
    }
    return nil
  }
}
