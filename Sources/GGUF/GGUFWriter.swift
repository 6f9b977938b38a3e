import Files
import Tensors

/// A value of the metadata that is written.
package enum GGUFNewValue: Sendable {
  /// A string.
  case string(String)
  /// A whole number in 32 bits.
  case count(Int)
  /// A number in f32.
  case number(Float)
  /// A truth value.
  case bool(Bool)
  /// A list of strings.
  case strings([String])
  /// A list of whole numbers in 32 bits with a sign.
  case integers([Int])
  /// A list of numbers in f32.
  case numbers([Float])
  /// A value of another file, as it lies there.
  case raw(type: UInt32, elementType: UInt32?, count: Int, bytes: [UInt8])
}

/// Writes a GGUF file: keys and the tensors' lines at once, then tensor by tensor, row by row.
///
/// ```swift
/// var writer = try GGUFWriter(path: path, metadata: keys, tensors: entries)
/// try writer.write("token_embd.weight") { row, target in … }
/// try writer.finish()
/// ```
///
/// The file appears under its name when it is whole. Types that are written: F32, F16, BF16, Q8_0.
package struct GGUFWriter: ~Copyable {
  /// A tensor that will be written.
  package struct Entry: Sendable {
    package let name: String
    package let type: GGUFType
    /// Dimensions, outermost first.
    package let shape: [Int]

    /// A tensor's line; `type` must be one of those that are written.
    package init(_ name: String, _ type: GGUFType, shape: [Int]) {
      precondition(
        ["F32", "F16", "BF16", "Q8_0"].contains(type.name), "\(type.name) is not written")
      (self.name, self.type, self.shape) = (name, type, shape)
    }

    var columns: Int { shape.last ?? 1 }
    var rows: Int { shape.dropLast().reduce(1, *) }
    var rowBytes: Int { columns / type.elements * type.bytes }
    var byteCount: Int { rows * rowBytes }
  }

  private static let alignment = 32

  private let entries: [Entry]
  private let offsets: [Int]
  private let pending: PendingFile
  private let row: FloatBuffer

  /// Makes the file and writes all but the tensors' data.
  ///
  /// - Throws: `FileError`.
  package init(
    path: String, metadata: [(key: String, value: GGUFNewValue)], tensors: [Entry]
  ) throws(FileError) {
    var header = Bytes()
    header.bytes = Array("GGUF".utf8)
    header.add(UInt32(3))
    header.add(UInt64(tensors.count))
    header.add(UInt64(metadata.count))
    for (key, value) in metadata {
      header.add(key)
      header.add(value)
    }
    var offset = 0
    var offsets: [Int] = []
    for entry in tensors {
      header.add(entry.name)
      header.add(UInt32(entry.shape.count))
      for size in entry.shape.reversed() { header.add(UInt64(size)) }
      header.add(entry.type.code)
      header.add(UInt64(offset))
      offsets.append(offset)
      offset = Self.aligned(offset + entry.byteCount)
    }
    while header.bytes.count % Self.alignment != 0 { header.bytes.append(0) }
    let start = header.bytes.count
    let file = try PendingFile(path: path)
    try file.write(header.bytes, at: 0)
    if let last = tensors.last, let place = offsets.last {
      // The last tensor's padding, and with it the file's length.
      let end = start + place + last.byteCount
      let zeros = [UInt8](repeating: 0, count: Self.aligned(end) - end)
      if !zeros.isEmpty { try file.write(zeros, at: end) }
    }
    entries = tensors
    self.offsets = offsets.map { start + $0 }
    row = FloatBuffer(count: tensors.map(\.columns).max() ?? 1)
    pending = file
  }

  private static func aligned(_ size: Int) -> Int {
    (size + alignment - 1) / alignment * alignment
  }

  /// Writes a tensor from f32, rounded to its type.
  ///
  /// - Parameter name: a tensor that was declared.
  /// - Parameter fill: sets row `row`, [1, columns].
  /// - Throws: `FileError`.
  package mutating func write(
    _ name: String, fill: (_ row: Int, _ target: MatrixView) throws -> Void
  ) throws {
    guard let index = entries.firstIndex(where: { $0.name == name }) else {
      preconditionFailure("\(name) was not declared")
    }
    let entry = entries[index]
    let target = row.view(rows: 1, columns: entry.columns)
    for row in 0..<entry.rows {
      try fill(row, target)
      try pending.write(
        Quantizer.bytes(of: target, as: entry.type), at: offsets[index] + row * entry.rowBytes)
    }
  }

  /// Syncs the file and gives it its name.
  ///
  /// - Throws: `FileError`.
  package consuming func finish() throws(FileError) { try pending.publish() }
}

/// Rows in a type that is written.
enum Quantizer {
  static func bytes(of row: MatrixView, as type: GGUFType) -> [UInt8] {
    if type.name == "Q8_0" { return BlockFormat.quantizedQ8_0(row) }
    guard let elementType = type.format?.elementType else {
      preconditionFailure("\(type.name) is not written")
    }
    return HalfPrecision.bytes(of: row, as: elementType)
  }
}

/// Little-endian bytes of a header.
private struct Bytes {
  var bytes: [UInt8] = []

  mutating func add(_ number: some FixedWidthInteger) {
    for shift in stride(from: 0, to: number.bitWidth, by: 8) {
      bytes.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  mutating func add(_ text: String) {
    add(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }

  mutating func add(_ value: GGUFNewValue) {
    switch value {
    case .string(let text):
      add(GGUFValueType.string.rawValue)
      add(text)
    case .count(let number):
      add(GGUFValueType.uint32.rawValue)
      add(UInt32(number))
    case .number(let number):
      add(GGUFValueType.float32.rawValue)
      add(number.bitPattern)
    case .bool(let value):
      add(GGUFValueType.bool.rawValue)
      add(value ? UInt8(1) : 0)
    case .raw(let type, let elementType, let count, let bytes):
      add(type)
      if let elementType {
        add(elementType)
        add(UInt64(count))
      } else if type == GGUFValueType.string.rawValue {
        add(UInt64(bytes.count))
      }
      self.bytes += bytes
    case .strings(let list):
      start(.string, list.count)
      list.forEach { add($0) }
    case .integers(let list):
      start(.int32, list.count)
      list.forEach { add(Int32($0)) }
    case .numbers(let list):
      start(.float32, list.count)
      list.forEach { add($0.bitPattern) }
    }
  }

  private mutating func start(_ element: GGUFValueType, _ count: Int) {
    add(GGUFValueType.array.rawValue)
    add(element.rawValue)
    add(UInt64(count))
  }
}
