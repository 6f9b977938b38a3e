/// How one number of a stored tensor is written.
///
/// The raw value is the name that safetensors headers use.
public enum ElementType: String, Sendable, CaseIterable, Hashable {
  /// IEEE 754 single precision.
  case float32 = "F32"
  /// IEEE 754 half precision.
  case float16 = "F16"
  /// The upper half of a single: 8 exponent bits, 7 fraction bits.
  case bfloat16 = "BF16"

  /// Bytes of one element.
  public var byteCount: Int {
    switch self {
    case .float32: 4
    case .float16, .bfloat16: 2
    }
  }
}
