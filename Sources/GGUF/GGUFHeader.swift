import Files

/// What a GGUF file says before its data, read and checked in full before anything is used.
///
/// Little-endian: "GGUF", version, counts, the metadata, a line for each tensor (ggml's
/// docs/gguf.md). No number is believed before it was compared with the bytes that are there;
/// nothing is allocated by a number that was not.
struct GGUFHeader {
  /// A tensor's line.
  struct Entry {
    let name: String
    let type: GGUFType
    /// Dimensions, the fastest first.
    let dimensions: [Int]
    /// In the file.
    let bytes: Range<Int>
  }

  /// Lists inside of lists.
  private static let mostDepth = 4
  /// ggml's own limits.
  private static let keyLength = 65_535
  private static let nameLength = 64

  private(set) var version = 0
  private(set) var values: [String: GGUFValue] = [:]
  private(set) var entries: [Entry] = []
  private let file: MappedFile
  private let byteCount: Int
  private var position = 0

  init(_ file: MappedFile) throws(GGUFError) {
    self.file = file
    byteCount = unsafe file.bytes.count
    try readStart()
    let (tensors, keys) = try (
      count("the number of tensors", leastBytes: 32), count("the number of keys", leastBytes: 13)
    )
    for index in 0..<keys { try readKey(index) }
    try readTensors(tensors)
  }

  private mutating func readStart() throws(GGUFError) {
    let magic = try bytes(4, "the first bytes")
    guard text(magic) == "GGUF" else {
      throw wrong(0, "the first bytes", "they are not 'GGUF'")
    }
    let number: UInt32 = try integer("the version")
    if number & 0xffff == 0, number != 0 {
      throw .unsupported(
        path: file.path, what: "it was written for big-endian machines",
        remedy: "Convert the model again without --bigendian.")
    }
    guard number == 2 || number == 3 else {
      throw .unsupported(
        path: file.path, what: "version \(number) of the format is not known",
        remedy: "Versions 2 and 3 are read; convert the model again with a current llama.cpp.")
    }
    version = Int(number)
  }

  // MARK: Metadata

  private mutating func readKey(_ index: Int) throws(GGUFError) {
    let start = position
    let key = try string("key \(index)", most: Self.keyLength)
    let type = try valueType("the type of '\(key)'")
    let value = try value(type, "the value of '\(key)'", depth: 0)
    guard values.updateValue(value, forKey: key) == nil else {
      throw wrong(start, "key \(index)", "'\(key)' is there twice")
    }
  }

  private mutating func valueType(_ place: String) throws(GGUFError) -> GGUFValueType {
    let start = position
    let number: UInt32 = try integer(place)
    guard let type = GGUFValueType(rawValue: number) else {
      throw wrong(start, place, "there is no type \(number)")
    }
    return type
  }

  private mutating func value(
    _ type: GGUFValueType, _ place: String, depth: Int
  ) throws(GGUFError) -> GGUFValue {
    switch type {
    case .string:
      let range = try stringBytes(place)
      return GGUFValue(type: type, elementType: nil, count: 1, bytes: range)
    case .array:
      guard depth < Self.mostDepth else {
        throw wrong(position, place, "lists inside of lists, deeper than \(Self.mostDepth)")
      }
      let element = try valueType("the elements' type, \(place)")
      let number = try count("the number of elements, \(place)", leastBytes: element.leastBytes)
      let start = position
      if let size = element.byteCount {
        // The count was compared with the bytes that are left.
        position += number * size
      } else {
        for _ in 0..<number { _ = try value(element, place, depth: depth + 1) }
      }
      return GGUFValue(
        type: type, elementType: element, count: number, bytes: start..<position)
    default:
      let start = position
      let range = try bytes(type.byteCount ?? 0, place)
      if type == .bool, byte(at: range.lowerBound) > 1 {
        throw wrong(start, place, "a truth value is 0 or 1, not \(byte(at: range.lowerBound))")
      }
      return GGUFValue(type: type, elementType: nil, count: 1, bytes: range)
    }
  }

  // MARK: Tensors

  private mutating func readTensors(_ count: Int) throws(GGUFError) {
    var lines: [(entry: Entry, offset: Int, at: Int)] = []
    var names: Set<String> = []
    for index in 0..<count {
      let start = position
      let name = try string("tensor \(index)", most: Self.nameLength)
      guard names.insert(name).inserted else {
        throw wrong(start, "tensor \(index)", "'\(name)' is there twice")
      }
      lines.append(try readTensor(name, start))
    }
    let alignment = try alignment()
    let (data, overflow) = position.addingReportingOverflow(alignment - 1)
    guard !overflow else { throw wrong(position, "the alignment", "\(alignment) is too much") }
    let start = data / alignment * alignment
    for (entry, offset, at) in lines {
      let (name, size) = (entry.name, entry.bytes.count)
      guard offset % alignment == 0 else {
        throw wrong(
          at, "tensor '\(name)'", "its offset \(offset) is not a multiple of \(alignment)")
      }
      guard start <= byteCount, size <= byteCount - start, offset <= byteCount - start - size else {
        throw wrong(
          at, "tensor '\(name)'",
          "its \(size) bytes from \(offset) on end behind the file's \(byteCount), which is cut "
            + "short or lies")
      }
      let first = start + offset
      entries.append(
        Entry(
          name: name, type: entry.type, dimensions: entry.dimensions, bytes: first..<(first + size))
      )
    }
    let inOrder = zip(entries, lines).sorted {
      $0.0.bytes.lowerBound < $1.0.bytes.lowerBound
    }
    for (before, after) in zip(inOrder, inOrder.dropFirst())
    where before.0.bytes.upperBound > after.0.bytes.lowerBound {
      throw wrong(
        after.1.at, "tensor '\(after.0.name)'", "it overlaps tensor '\(before.0.name)'")
    }
  }

  private mutating func readTensor(
    _ name: String, _ start: Int
  ) throws(GGUFError) -> (entry: Entry, offset: Int, at: Int) {
    let place = "tensor '\(name)'"
    let rank: UInt32 = try integer(place)
    guard (1...4).contains(rank) else {
      throw wrong(start, place, "it has \(rank) dimensions; 1 to 4 are possible")
    }
    var dimensions: [Int] = []
    var elements = 1
    for _ in 0..<rank {
      let size: UInt64 = try integer(place)
      guard size > 0, let size = Int(exactly: size) else {
        throw wrong(start, place, "a dimension of \(size)")
      }
      let (product, overflow) = elements.multipliedReportingOverflow(by: size)
      // As many bits as that are in no file.
      guard !overflow, product <= 1 << 56 else {
        throw wrong(start, place, "its dimensions \(dimensions + [size]) are too large")
      }
      elements = product
      dimensions.append(size)
    }
    let number: UInt32 = try integer(place)
    guard let type = GGUFType(code: number) else {
      throw .unsupported(
        path: file.path,
        what: "\(place) has type \(number), which is unknown or was removed "
          + "from ggml",
        remedy: "Types that are read: \(GGUFType.readable.joined(separator: ", ")).")
    }
    guard dimensions[0] % type.elements == 0 else {
      throw wrong(
        start, place,
        "rows of \(dimensions[0]) numbers are no whole blocks of \(type.elements) "
          + "(\(type.name))")
    }
    let offset: UInt64 = try integer(place)
    guard let offset = Int(exactly: offset) else {
      throw wrong(start, place, "an offset of \(offset)")
    }
    let size = elements / type.elements * type.bytes
    return (Entry(name: name, type: type, dimensions: dimensions, bytes: 0..<size), offset, start)
  }

  private func alignment() throws(GGUFError) -> Int {
    let key = "general.alignment"
    guard let value = values[key] else { return 32 }
    let number = try whole(value, key)
    guard number >= 8, number <= 1 << 20, number & (number - 1) == 0 else {
      throw .badKey(
        path: file.path, key: key, found: "\(number)", expected: "a power of two from 8 on")
    }
    return number
  }

  /// A number that must not be negative, whatever its width.
  private func whole(_ value: GGUFValue, _ key: String) throws(GGUFError) -> Int {
    guard let number = GGUFMetadata(path: file.path, values: [:], file: file).whole(value),
      number >= 0
    else {
      throw .badKey(path: file.path, key: key, found: value.kind, expected: "a whole number")
    }
    return number
  }

  // MARK: Bytes

  /// A count whose elements fit the bytes that are left.
  private mutating func count(_ place: String, leastBytes: Int) throws(GGUFError) -> Int {
    let start = position
    let number: UInt64 = try integer(place)
    let most = (byteCount - position) / leastBytes
    guard number <= UInt64(most) else {
      throw wrong(
        start, place,
        "\(number) of them do not fit into the \(byteCount) bytes of the "
          + "file")
    }
    return Int(number)
  }

  private mutating func bytes(_ count: Int, _ place: String) throws(GGUFError) -> Range<Int> {
    guard count <= byteCount - position else {
      throw wrong(position, place, "the file ends in the middle of it")
    }
    defer { position += count }
    return position..<(position + count)
  }

  private mutating func integer<Number: FixedWidthInteger>(
    _ place: String
  ) throws(GGUFError) -> Number {
    let range = try bytes(MemoryLayout<Number>.size, place)
    return Number(
      littleEndian: unsafe file.bytes.loadUnaligned(
        fromByteOffset: range.lowerBound, as: Number.self))
  }

  private mutating func stringBytes(_ place: String) throws(GGUFError) -> Range<Int> {
    try bytes(try count("the length of \(place)", leastBytes: 1), place)
  }

  private mutating func string(_ place: String, most: Int) throws(GGUFError) -> String {
    let start = position
    let range = try stringBytes(place)
    guard range.count <= most else {
      throw wrong(start, place, "a name of \(range.count) bytes, more than \(most)")
    }
    guard let text = text(range) else { throw wrong(start, place, "its name is not UTF-8") }
    return text
  }

  private func text(_ range: Range<Int>) -> String? {
    unsafe String(validating: file.bytes[range], as: UTF8.self)
  }

  private func byte(at index: Int) -> UInt8 { unsafe file.bytes[index] }

  private func wrong(_ byte: Int, _ place: String, _ problem: String) -> GGUFError {
    .malformed(path: file.path, byte: byte, place: place, problem: problem)
  }
}
