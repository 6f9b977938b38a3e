import CHDF5
import Files
import Glibc

/// Why text of variable length in an attribute is not read.
public enum HDF5TextFault: Error, Hashable, CustomStringConvertible {
  /// The file does not hold together there.
  case damaged(String)
  /// The attributes of the object are stored where only the library looks: more than eight of them, in
  /// the newer format.
  case dense

  /// What is wrong, and how to mend it.
  public var description: String {
    switch self {
    case .damaged(let what): "\(what). The file is damaged: copy or write it again."
    case .dense:
      "it is one of more than eight attributes in the newer format, of which only those of fixed "
        + "length are read. Write the text as numpy.bytes_, or fewer attributes."
    }
  }
}

/// Reads an object's header from the bytes of a file, without the library: what the library does not
/// survive if it is damaged.
///
/// libhdf5 believes what a file says about text of variable length: where a damaged one states that an
/// object of the global heap has no length it reads for ever, and where the text and its place disagree
/// in length it writes past its memory. A dataset in chunks of no elements, or of fewer dimensions than
/// itself, ends it in a division by zero as soon as it is opened. Here every number is checked before it is used. The layouts are those
/// of the HDF5 File Format Specification, version 3.0: object headers (IV.A.1), dataspace messages
/// (IV.A.2.b), data layout messages (IV.A.2.i), attribute messages (IV.A.2.m), global heap (III.E).
struct ObjectHeader {
  private let file: Int32
  /// Bytes in front of the first that addresses count from.
  private let base: UInt64
  private let byteCount: UInt64
  /// Bytes of headers that may still be read: a chain of blocks may not go round for ever.
  private var budget = 64 << 20

  private enum Message {
    static let dataspace = 0x01
    static let layout = 0x08
    static let attribute = 0x0c
    static let continuation = 0x10
    static let attributeInfo = 0x15
    static let sharedFlag: UInt8 = 2
  }

  /// Reads the text `attribute` of the object whose header lies at `address`.
  ///
  /// `file` is an open descriptor of a file of `byteCount` bytes, whose addresses count from `base`.
  static func text(
    _ attribute: String, address: UInt64, file: Int32, base: UInt64, byteCount: Int
  ) throws(HDF5TextFault) -> [UInt8] {
    var reader = ObjectHeader(file: file, base: base, byteCount: UInt64(byteCount))
    let descriptor = try reader.descriptor(attribute, header: address)
    return try reader.text(descriptor)
  }

  /// Whether the object whose header lies at `address` is a dataset in chunks of no elements, or in
  /// chunks of other dimensions than its own.
  ///
  /// What is damaged otherwise is left to the library to tell.
  static func hasImpossibleChunks(
    address: UInt64, file: Int32, base: UInt64, byteCount: Int
  ) -> Bool {
    var reader = ObjectHeader(file: file, base: base, byteCount: UInt64(byteCount))
    guard let (rank, extents) = try? reader.chunks(header: address), let extents else {
      return false
    }
    // The last is the size of an element. A dataspace that datasets share lies elsewhere.
    return extents.isEmpty || extents.contains(0) || rank.map { $0 + 1 != extents.count } ?? false
  }

  private init(file: Int32, base: UInt64, byteCount: UInt64) {
    self.file = file
    self.base = base
    self.byteCount = byteCount
  }

  // MARK: Headers

  /// A part of an object's header that holds messages.
  private struct Block {
    var fields: Fields
    let isVersion1: Bool
    let hasOrder: Bool
  }

  /// The messages of a header, in all its blocks, until `body` has found what it looks for.
  private mutating func messages<Found>(
    header address: UInt64,
    _ body: (_ type: Int, _ flags: UInt8, _ message: inout Fields) throws(HDF5TextFault) -> Found?
  ) throws(HDF5TextFault) -> Found? {
    var blocks = [try firstBlock(address)]
    while var block = blocks.popLast() {
      while let (type, flags, fields) = try nextMessage(&block) {
        var message = fields
        if type == Message.continuation {
          let place = try message.number(8)
          let size = try message.number(8)
          blocks.append(try continuation(place, size, of: block))
        } else if let found = try body(type, flags, &message) {
          return found
        }
      }
    }
    return nil
  }

  /// The sixteen bytes that stand for the text: its length, and where it is.
  private mutating func descriptor(
    _ attribute: String, header address: UInt64
  ) throws(HDF5TextFault) -> Fields {
    var isDense = false
    let found = try messages(header: address) {
      (type, flags, message) throws(HDF5TextFault) -> Fields? in
      switch type {
      case Message.attribute:
        guard flags & Message.sharedFlag == 0 else { throw .dense }
        return try Self.value(ofAttribute: &message, named: attribute)
      case Message.attributeInfo: isDense = true
      default: break
      }
      return nil
    }
    if let found { return found }
    throw isDense ? .dense : .damaged("it is not in its object's header")
  }

  /// A dataset's dimensions, and the extents of its chunks with the size of an element behind them; nil
  /// where it has none.
  private mutating func chunks(
    header address: UInt64
  ) throws(HDF5TextFault) -> (rank: Int?, extents: [UInt64]?) {
    var (rank, extents): (Int?, [UInt64]?) = (nil, nil)
    _ = try messages(header: address) {
      (type, flags, message) throws(HDF5TextFault) -> Bool? in
      switch type {
      case Message.dataspace where flags & Message.sharedFlag == 0:
        _ = try message.number(1)
        rank = Int(try message.number(1))
      case Message.layout: extents = try Self.chunkExtents(&message)
      default: break
      }
      return nil
    }
    return (rank, extents)
  }

  private static func chunkExtents(_ message: inout Fields) throws(HDF5TextFault) -> [UInt64]? {
    let chunked: UInt64 = 2
    let version = try message.number(1)
    var (rank, width) = (0, 4)
    switch version {
    case 1, 2:
      rank = Int(try message.number(1))
      guard try message.number(1) == chunked else { return nil }
      _ = try message.take(5 + 8)
    case 3:
      guard try message.number(1) == chunked else { return nil }
      rank = Int(try message.number(1))
      _ = try message.take(8)
    case 4:
      guard try message.number(1) == chunked else { return nil }
      _ = try message.number(1)
      rank = Int(try message.number(1))
      width = Int(try message.number(1))
      guard (1...8).contains(width) else { return nil }
    default: return nil
    }
    var extents: [UInt64] = []
    for _ in 0..<rank { extents.append(try message.number(width)) }
    return extents
  }

  private mutating func firstBlock(_ address: UInt64) throws(HDF5TextFault) -> Block {
    var start = try bytes(at: address, count: 4)
    if start.rest.elementsEqual("OHDR".utf8) {
      // Signature, version, flags; then what the flags say.
      var fixed = try bytes(at: address, count: 6)
      _ = try fixed.number(5)
      let flags = UInt8(try fixed.number(1))
      let front = 6 + (flags & 0x20 != 0 ? 16 : 0) + (flags & 0x10 != 0 ? 4 : 0)
      let width = 1 << Int(flags & 3)
      var sized = try bytes(at: try sum(address, UInt64(front)), count: width)
      let size = try sized.number(width)
      return Block(
        fields: try bytes(at: try sum(address, UInt64(front + width)), size: size),
        isVersion1: false, hasOrder: flags & 4 != 0)
    }
    guard try start.number(1) == 1 else { throw .damaged("its object has no header") }
    // Version, a byte, the number of messages, references, the size; aligned to eight bytes.
    var front = try bytes(at: address, count: 16)
    _ = try front.number(8)
    let size = try front.number(4)
    return Block(
      fields: try bytes(at: try sum(address, 16), size: size), isVersion1: true, hasOrder: false)
  }

  private mutating func continuation(
    _ address: UInt64, _ size: UInt64, of block: Block
  ) throws(HDF5TextFault) -> Block {
    var fields = try bytes(at: address, size: size)
    if !block.isVersion1 {
      guard try fields.take(4).rest.elementsEqual("OCHK".utf8) else {
        throw .damaged("a part of its object's header is something else")
      }
      // A checksum ends the block.
      fields = try fields.take(fields.count - 4)
    }
    return Block(fields: fields, isVersion1: block.isVersion1, hasOrder: block.hasOrder)
  }

  /// The next message of a block: its type, its flags, what it says.
  private func nextMessage(
    _ block: inout Block
  ) throws(HDF5TextFault) -> (type: Int, flags: UInt8, message: Fields)? {
    let front = block.isVersion1 ? 8 : block.hasOrder ? 6 : 4
    // Less than a message is a gap.
    guard block.fields.count >= front else { return nil }
    var head = try block.fields.take(front)
    let type = Int(try head.number(block.isVersion1 ? 2 : 1))
    let size = Int(try head.number(2))
    let flags = UInt8(try head.number(1))
    return (type, flags, try block.fields.take(size))
  }

  /// The value in an attribute's message; nil where it is another attribute's.
  private static func value(
    ofAttribute message: inout Fields, named name: String
  ) throws(HDF5TextFault) -> Fields? {
    let version = try message.number(1)
    guard (1...3).contains(version) else { throw .damaged("its version is unknown") }
    _ = try message.number(1)
    let sizes = [try message.number(2), try message.number(2), try message.number(2)].map(Int.init)
    if version == 3 { _ = try message.number(1) }
    // The first version pads name, type and extent to eight bytes.
    func padded(_ size: Int) -> Int { version == 1 ? (size + 7) / 8 * 8 : size }
    let found = try message.take(padded(sizes[0])).rest.prefix { $0 != 0 }
    guard Array(found) == Array(name.utf8) else { return nil }
    _ = try message.take(padded(sizes[1]))
    _ = try message.take(padded(sizes[2]))
    return try message.take(16)
  }

  // MARK: The global heap

  private mutating func text(_ descriptor: Fields) throws(HDF5TextFault) -> [UInt8] {
    var descriptor = descriptor
    let length = try descriptor.number(4)
    let heap = try descriptor.number(8)
    let wanted = try descriptor.number(4)
    guard length > 0 else { return [] }
    var front = try bytes(at: heap, count: 16)
    guard try front.take(4).rest.elementsEqual("GCOL".utf8) else {
      throw .damaged("where its text should be is something else")
    }
    _ = try front.number(4)
    let end = try sum(heap, try front.number(8))
    var place = try sum(heap, 16)
    while try sum(place, 16) <= end {
      var object = try bytes(at: place, count: 16)
      let index = try object.number(2)
      _ = try object.number(6)
      let size = try object.number(8)
      // The rest is free.
      if index == 0 { break }
      if index == wanted {
        guard size >= length else { throw .damaged("its text is shorter than it says") }
        return Array(try bytes(at: try sum(place, 16), size: length).rest.prefix { $0 != 0 })
      }
      guard size <= byteCount else { break }
      place = try sum(place, 16 + (size + 7) / 8 * 8)
    }
    throw .damaged("its text is not where it says")
  }

  // MARK: Bytes

  private func sum(_ address: UInt64, _ offset: UInt64) throws(HDF5TextFault) -> UInt64 {
    let (sum, overflow) = address.addingReportingOverflow(offset)
    guard !overflow else { throw .damaged("it points outside of the file") }
    return sum
  }

  private mutating func bytes(at address: UInt64, size: UInt64) throws(HDF5TextFault) -> Fields {
    guard size <= UInt64(max(budget, 0)) else {
      throw .damaged("it is longer than any that is written")
    }
    return try bytes(at: address, count: Int(size))
  }

  /// Reads `count` bytes, which is within the budget.
  private mutating func bytes(at address: UInt64, count: Int) throws(HDF5TextFault) -> Fields {
    let start = try sum(address, base)
    guard try sum(start, UInt64(count)) <= byteCount else {
      throw .damaged("it points outside of the file")
    }
    budget -= count
    guard budget >= 0 else { throw .damaged("its object's header goes on for ever") }
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let start = Int(start) + done
      // Unsafe: the call writes at most to the array's end.
      let read = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe pread(
          file, buffer.baseAddress.map { unsafe $0 + done }, count - done, off_t(start))
      }
      if read < 0 && errno == EINTR { continue }
      guard read > 0 else { throw .damaged("\(read < 0 ? systemReason(errno) : "the file ends")") }
      done += read
    }
    return Fields(bytes[...])
  }
}

/// Bytes that are taken from the front, little end first.
private struct Fields {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  var count: Int { rest.count }

  /// The next bytes.
  mutating func take(_ count: Int) throws(HDF5TextFault) -> Fields {
    guard count >= 0, count <= rest.count else {
      throw .damaged("a part of its object's header is too short")
    }
    defer { rest = rest.dropFirst(count) }
    return Fields(rest.prefix(count))
  }

  /// The next number of up to eight bytes.
  mutating func number(_ width: Int) throws(HDF5TextFault) -> UInt64 {
    try take(width).rest.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }
}
