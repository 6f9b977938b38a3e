/// Reads Megatron's indexed datasets, as `megatron/core/datasets/indexed_dataset.py` writes them.
///
/// `NAME.idx`, little-endian: `MMIDIDX`, two zero bytes, the version 1 (64 bits), a code for the type of
/// ids (8 bits), the numbers of sequences and of document bounds (64 bits each), then the length of
/// each sequence (32 bits), the byte in `NAME.bin` where it begins (64 bits), and the sequence with
/// which each document begins, ended by the number of sequences (64 bits). A document's sequences
/// together are an example. The older `TNTIDX` is not read.
final class MegatronReader: ImportReader {
  private static let magic: [UInt8] = Array("MMIDIDX\0\0".utf8)
  private static let headerBytes = 34
  /// No document has more tokens: the file is damaged, and must not make the reader allocate it.
  private static let tokenLimit = 1 << 28

  private let data: BinaryFile
  /// The index, three times: each part of it is read in its own order.
  private let lengths: BinaryFile
  private let pointers: BinaryFile
  private let documents: BinaryFile
  private let width: Int
  private let isSigned: Bool
  private let sequenceCount: Int
  private let documentCount: Int
  private let documentsStart: Int
  private var document = 0
  private(set) var bytesRead = 0

  static func isHeader(_ head: [UInt8]) -> Bool { head.starts(with: magic) }

  init(_ path: String) throws(PreparationError) {
    let isPart = path.hasSuffix(".bin") || path.hasSuffix(".idx")
    let name = isPart ? String(path.dropLast(4)) : path
    lengths = try BinaryFile(name + ".idx")
    pointers = try BinaryFile(name + ".idx")
    documents = try BinaryFile(name + ".idx")
    data = try BinaryFile(name + ".bin")
    var head: [UInt8] = []
    for byte in 0..<min(9, lengths.byteCount) {
      head.append(UInt8(truncatingIfNeeded: try lengths.number(at: byte, width: 1)))
    }
    guard Self.isHeader(head) else {
      throw .badImport(path: lengths.path, reason: "it does not begin with MMIDIDX")
    }
    let version = try lengths.number(at: 9, width: 8)
    guard version == 1 else {
      throw .badImport(path: lengths.path, reason: "its version is \(version); 1 is known")
    }
    let types = [
      1: (1, false), 2: (1, true), 3: (2, true), 4: (4, true), 5: (8, true), 8: (2, false),
    ]
    let code = try lengths.number(at: 17, width: 1)
    guard let (width, isSigned) = types[code] else {
      throw .badImport(
        path: lengths.path, reason: "ids are of type \(code), which is none of whole numbers")
    }
    (self.width, self.isSigned) = (width, isSigned)
    sequenceCount = try lengths.number(at: 18, width: 8)
    let boundCount = try lengths.number(at: 26, width: 8)
    let room = lengths.byteCount - Self.headerBytes
    guard sequenceCount >= 0, boundCount >= 1, sequenceCount <= room / 12, boundCount <= room / 8,
      12 * sequenceCount + 8 * boundCount <= room
    else {
      throw .badImport(
        path: lengths.path,
        reason: "it has \(lengths.byteCount) bytes, too few for \(sequenceCount) sequences and "
          + "\(boundCount) document bounds")
    }
    documentCount = boundCount - 1
    documentsStart = Self.headerBytes + 12 * sequenceCount
  }

  func next() throws(PreparationError) -> (example: ImportedExample, number: Int)? {
    while document < documentCount {
      let start = try bound(document)
      let end = try bound(document + 1)
      guard start >= 0, start <= end, end <= sequenceCount else {
        throw .badImport(
          path: lengths.path,
          reason:
            "document \(document + 1) goes from sequence \(start) to \(end) of \(sequenceCount)")
      }
      document += 1
      var tokens: [UInt32] = []
      for sequence in start..<end { try read(sequence, into: &tokens) }
      if tokens.isEmpty { continue }
      return (
        ImportedExample(tokens: tokens, counts: [Bool](repeating: true, count: tokens.count)),
        document
      )
    }
    return nil
  }

  private func bound(_ index: Int) throws(PreparationError) -> Int {
    try documents.number(at: documentsStart + 8 * index, width: 8)
  }

  private func read(_ sequence: Int, into tokens: inout [UInt32]) throws(PreparationError) {
    let length = try lengths.number(
      at: Self.headerBytes + 4 * sequence, width: 4, isSigned: true)
    let pointer = try pointers.number(
      at: Self.headerBytes + 4 * sequenceCount + 8 * sequence, width: 8)
    guard length >= 0, tokens.count + length <= Self.tokenLimit, pointer >= 0,
      pointer <= data.byteCount, length <= (data.byteCount - pointer) / width
    else {
      throw .badImport(
        path: data.path,
        reason: "sequence \(sequence + 1) has \(length) ids from byte \(pointer) on; the file has "
          + "\(data.byteCount) bytes")
    }
    tokens.reserveCapacity(tokens.count + length)
    for index in 0..<length {
      let id = try data.number(at: pointer + index * width, width: width, isSigned: isSigned)
      guard let token = UInt32(exactly: id) else {
        throw .badImport(
          path: data.path, reason: "sequence \(sequence + 1) has \(id), which is no token id")
      }
      tokens.append(token)
    }
    bytesRead += length * width
  }
}
