/// The type of a value in the metadata, by its number in the file.
enum GGUFValueType: UInt32, Sendable {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// Bytes of a value; nil where they differ from value to value.
  var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }

  /// Bytes that one takes at the least.
  var leastBytes: Int {
    switch self {
    case .string: 8
    case .array: 12
    default: byteCount ?? 1
    }
  }
}

/// A value of the metadata, as it lies in the file: lists are read when somebody asks for them.
struct GGUFValue: Sendable {
  let type: GGUFValueType
  /// Of a list: the type and number of its elements.
  let elementType: GGUFValueType?
  let count: Int
  /// The value's bytes, in the file; of a string those behind its length, of a list its elements.
  let bytes: Range<Int>

  /// What it is, in words.
  var kind: String {
    switch type {
    case .string: "a string"
    case .bool: "a truth value"
    case .float32, .float64: "a number"
    case .array: "a list of \(count)"
    default: "a whole number"
    }
  }
}
