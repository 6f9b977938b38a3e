import CHDF5

/// The kinds of object that a group can hold.
public enum HDF5ObjectKind: String, Sendable, Hashable, CustomStringConvertible {
  /// Holds other objects.
  case group
  /// Holds an array.
  case dataset
  /// A named type or a link that leads nowhere; never written by this program.
  case other

  /// The kind in a word.
  public var description: String { rawValue }
}

/// What the elements of a dataset or attribute are, as far as this program tells types apart.
public enum HDF5DataType: Sendable, Hashable, CustomStringConvertible {
  /// A whole number of this many bits, in any byte order; h5py's booleans are 8-bit ones.
  case integer(signed: Bool, bits: Int)
  /// An IEEE 754 number of this many bits.
  case float(bits: Int)
  /// Text, of fixed or of variable length.
  case text(variableLength: Bool)
  /// Anything else, by the number of its HDF5 class.
  case other(classNumber: Int)

  /// NumPy's name of it.
  public var description: String {
    switch self {
    case .integer(let signed, let bits): "\(signed ? "int" : "uint")\(bits)"
    case .float(let bits): "float\(bits)"
    case .text: "text"
    case .other(let number): Self.classNames[number] ?? "a type of class \(number)"
    }
  }

  /// What HDF5 and h5py call the classes that are read nowhere here.
  private static let classNames = [
    2: "a time", 4: "a bit field", 5: "opaque bytes", 6: "a compound (records of named fields)",
    7: "a reference", 9: "lists of variable length", 10: "an array type",
  ]

  /// Whether every stored number of this type is a number of `other`.
  func isContained(in other: HDF5DataType) -> Bool {
    switch (self, other) {
    case (.integer(let signed, let bits), .integer(let otherSigned, let otherBits)):
      signed == otherSigned ? bits <= otherBits : otherSigned && bits < otherBits
    case (.integer, .float), (.float, .float): true
    default: false
    }
  }

  /// Classifies an HDF5 type; `location` is what errors name.
  static func classify(_ type: hid_t, at location: HDF5Location) throws(HDF5Error) -> HDF5DataType {
    let classNumber = try HDF5Call.check("H5Tget_class", location) { H5Tget_class(type).rawValue }
    switch H5T_class_t(rawValue: classNumber) {
    case H5T_INTEGER:
      let sign = try HDF5Call.check("H5Tget_sign", location) { H5Tget_sign(type).rawValue }
      let bits = try byteCount(of: type, at: location) * 8
      return .integer(signed: H5T_sign_t(rawValue: sign) == H5T_SGN_2, bits: bits)
    case H5T_FLOAT:
      return .float(bits: try byteCount(of: type, at: location) * 8)
    case H5T_STRING:
      let variable = try HDF5Call.check("H5Tis_variable_str", location) { H5Tis_variable_str(type) }
      return .text(variableLength: variable > 0)
    case H5T_ENUM:
      let base = try HDF5Handle("H5Tget_super", location) { H5Tget_super(type) }
      return try classify(base.id, at: location)
    default:
      return .other(classNumber: Int(classNumber))
    }
  }

  /// Bytes of one element of an HDF5 type, at least 1.
  static func byteCount(of type: hid_t, at location: HDF5Location) throws(HDF5Error) -> Int {
    // The size is unsigned and 0 on failure; -1 makes it a status like the others.
    try HDF5Call.check("H5Tget_size", location) {
      let size = H5Tget_size(type)
      return size == 0 ? -1 : Int(size)
    }
  }
}

/// A number type that this program reads and writes; HDF5 converts from and to what is stored.
package protocol HDF5Element: BitwiseCopyable, Numeric {
  /// The type in memory.
  static var dataType: HDF5DataType { get }
  /// The same number, if this type has it.
  init?<Source: BinaryInteger>(exactly source: Source)
}

extension UInt8: HDF5Element {
  package static var dataType: HDF5DataType { .integer(signed: false, bits: 8) }
}

extension Int32: HDF5Element {
  package static var dataType: HDF5DataType { .integer(signed: true, bits: 32) }
}

extension UInt32: HDF5Element {
  package static var dataType: HDF5DataType { .integer(signed: false, bits: 32) }
}

extension Int64: HDF5Element {
  package static var dataType: HDF5DataType { .integer(signed: true, bits: 64) }
}

extension UInt64: HDF5Element {
  package static var dataType: HDF5DataType { .integer(signed: false, bits: 64) }
}

extension Float: HDF5Element {
  package static var dataType: HDF5DataType { .float(bits: 32) }
}

extension Double: HDF5Element {
  package static var dataType: HDF5DataType { .float(bits: 64) }
}

extension HDF5Element {
  /// HDF5's identifier of the type in memory; it belongs to the library and is never closed.
  static var memoryType: hid_t {
    switch dataType {
    case .integer(false, 8): chdf5_native_uint8()
    case .integer(true, 32): chdf5_native_int32()
    case .integer(false, 32): chdf5_native_uint32()
    case .integer(true, 64): chdf5_native_int64()
    case .integer(false, 64): chdf5_native_uint64()
    case .float(32): chdf5_native_float()
    case .float(64): chdf5_native_double()
    default: preconditionFailure("\(Self.self) as an HDF5 element")
    }
  }
}
