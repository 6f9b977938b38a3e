import JSON

/// What the header of a file says of one tensor.
struct HeaderEntry: Sendable {
  let name: String
  let type: StoredType
  let shape: [Int]
  /// In the file, from its first byte.
  let byteRange: Range<Int>
}

/// The header of a safetensors file, read and checked in full before anything is used.
///
/// 8 bytes of length, little-endian; a JSON object padded with blanks; the data. Names map to
/// `{"dtype", "shape", "data_offsets"}`; `__metadata__` maps strings to strings. Unlike the reference,
/// which lets the last one win, a name that comes twice is refused, as the format demands.
struct SafetensorsHeader: Sendable {
  /// The format's limit on the header.
  static let byteLimit = 100_000_000
  /// The key that is not a tensor.
  static let metadataKey = "__metadata__"

  let metadata: [String: String]
  /// Bytes of length and header: where the data begin.
  let byteCount: Int
  /// In the order of their data.
  let entries: [HeaderEntry]

  /// Reads and checks the header of the file at `path`, whose bytes are `bytes`.
  init(path: String, bytes: UnsafeRawBufferPointer) throws(SafetensorsError) {
    // The file was found to hold at least these 8 bytes.
    let stated = UInt64(littleEndian: unsafe bytes.loadUnaligned(as: UInt64.self))
    let limit = min(bytes.count - 8, Self.byteLimit)
    guard stated <= UInt64(limit) else {
      throw .headerLength(path: path, stated: stated, limit: limit)
    }
    let dataStart = 8 + Int(stated)
    let header = unsafe Array(bytes[8..<dataStart])
    guard header.first == UInt8(ascii: "{") else {
      throw .headerField(
        path: path, field: "the first byte", found: header.first.map { "\($0)" } ?? "missing",
        expected: "'{'")
    }
    let document: JSONNode
    do { document = try JSONNode(parsing: header) } catch {
      throw .headerSyntax(path: path, error: error)
    }
    var metadata: [String: String] = [:]
    var entries: [HeaderEntry] = []
    for (name, value) in document.object?.members ?? [] {
      if name == Self.metadataKey {
        metadata = try Self.metadata(value, path)
      } else {
        entries.append(try Self.entry(name, value, path, dataStart))
      }
    }
    // Empty tensors share their place with the next one, so the end decides among equal beginnings.
    entries.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound)
        < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var end = dataStart
    for entry in entries {
      guard entry.byteRange.lowerBound == end else {
        throw .gapOrOverlap(
          path: path, tensor: entry.name, begin: entry.byteRange.lowerBound - dataStart,
          expected: end - dataStart)
      }
      end = entry.byteRange.upperBound
    }
    guard end == bytes.count else {
      throw .wrongFileSize(path: path, expected: end, found: bytes.count)
    }
    self.metadata = metadata
    byteCount = dataStart
    self.entries = entries
  }

  private static func metadata(
    _ value: JSONNode, _ path: String
  ) throws(SafetensorsError) -> [String: String] {
    guard let object = value.object else {
      throw .headerField(
        path: path, field: metadataKey, found: value.kind, expected: "an object of strings")
    }
    var result: [String: String] = [:]
    for (key, value) in object.members {
      guard let text = value.string else {
        throw .headerField(
          path: path, field: "\(metadataKey).\(key)", found: value.kind, expected: "a string")
      }
      result[key] = text
    }
    return result
  }

  private static func entry(
    _ name: String, _ value: JSONNode, _ path: String, _ dataStart: Int
  ) throws(SafetensorsError) -> HeaderEntry {
    guard let typeName = value["dtype"]?.string else {
      throw .headerField(
        path: path, field: "dtype of '\(name)'", found: value["dtype"]?.kind ?? "missing",
        expected: "a string")
    }
    guard let type = StoredType(rawValue: typeName) else {
      throw .unknownType(path: path, tensor: name, name: typeName)
    }
    let shape = try sizes(value["shape"], "shape of '\(name)'", path)
    let offsets = try sizes(value["data_offsets"], "data_offsets of '\(name)'", path)
    guard offsets.count == 2 else {
      throw .headerField(
        path: path, field: "data_offsets of '\(name)'", found: "\(offsets)",
        expected: "two numbers")
    }
    var bits = type.bitCount
    for dimension in shape {
      let (product, overflow) = bits.multipliedReportingOverflow(by: dimension)
      if overflow { throw .badSize(path: path, tensor: name, shape: shape, type: typeName) }
      bits = product
    }
    guard bits % 8 == 0 else {
      throw .badSize(path: path, tensor: name, shape: shape, type: typeName)
    }
    let (begin, end) = (offsets[0], offsets[1])
    guard begin <= end, end - begin == bits / 8, end <= Int.max - dataStart else {
      throw .wrongByteRange(path: path, tensor: name, expected: bits / 8, begin: begin, end: end)
    }
    return HeaderEntry(
      name: name, type: type, shape: shape, byteRange: (dataStart + begin)..<(dataStart + end))
  }

  /// A list of sizes, none of them negative.
  private static func sizes(
    _ value: JSONNode?, _ field: String, _ path: String
  ) throws(SafetensorsError) -> [Int] {
    guard let elements = value?.array else {
      throw .headerField(
        path: path, field: field, found: value?.kind ?? "missing", expected: "a list of sizes")
    }
    var result: [Int] = []
    for element in elements {
      guard let size = element.integer, size >= 0 else {
        throw .headerField(
          path: path, field: field, found: element.integer.map { "\($0)" } ?? element.kind,
          expected: "a list of sizes")
      }
      result.append(size)
    }
    return result
  }
}
