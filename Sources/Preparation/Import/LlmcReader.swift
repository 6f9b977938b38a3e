/// Reads the token files of llm.c: what `write_datafile` in its `dev/data/data_common.py` writes.
///
/// 256 little-endian 32-bit words: a magic number, a version, the number of tokens, then zeros. The
/// tokens follow, of 16 bits for GPT-2 (20240520, version 1) and of 32 bits for Llama 3 (20240801,
/// version 7). A document begins with the end-of-text token of that vocabulary; that is how one long
/// text becomes examples.
final class LlmcReader: ImportReader {
  /// What a header's magic number stands for.
  private struct Kind {
    let magic: Int
    let version: Int
    let width: Int
    let documentStart: UInt32
  }

  private static let kinds = [
    Kind(magic: 20_240_520, version: 1, width: 2, documentStart: 50256),
    Kind(magic: 20_240_801, version: 7, width: 4, documentStart: 128000),
  ]
  private static let headerBytes = 1024
  /// A text without a mark for so long has none: 64 MiB of ids.
  private static let tokenLimit = 1 << 24

  private let file: BinaryFile
  private let kind: Kind
  private let window: Int?
  private let end: Int
  private var position = headerBytes
  private var number = 0

  static func isHeader(_ head: [UInt8]) -> Bool {
    guard head.count >= 4 else { return false }
    let magic = head[..<4].reversed().reduce(0) { $0 << 8 | Int($1) }
    return kinds.contains { $0.magic == magic }
  }

  /// - Parameter window: longest example; a longer document becomes several.
  init(_ path: String, window: Int?) throws(PreparationError) {
    file = try BinaryFile(path)
    self.window = window
    let magic = try file.number(at: 0, width: 4)
    guard let kind = Self.kinds.first(where: { $0.magic == magic }) else {
      throw .badImport(
        path: path,
        reason: "its first word is \(magic); an llm.c token file has 20240520 or 20240801")
    }
    let version = try file.number(at: 4, width: 4)
    guard version == kind.version else {
      throw .badImport(path: path, reason: "its version is \(version); \(kind.version) is known")
    }
    let count = try file.number(at: 8, width: 4)
    end = Self.headerBytes + count * kind.width
    guard end == file.byteCount else {
      throw .badImport(
        path: path,
        reason:
          "it has \(file.byteCount) bytes; \(count) tokens of \(kind.width) bytes behind a header "
          + "of \(Self.headerBytes) are \(end)")
    }
    self.kind = kind
  }

  var bytesRead: Int { position }

  func next() throws(PreparationError) -> (example: ImportedExample, number: Int)? {
    var tokens: [UInt32] = []
    while position < end, tokens.count < window ?? Int.max {
      let token = UInt32(truncatingIfNeeded: try file.number(at: position, width: kind.width))
      if token == kind.documentStart, !tokens.isEmpty { break }
      tokens.append(token)
      position += kind.width
      guard tokens.count <= Self.tokenLimit else {
        throw .badImport(
          path: file.path,
          reason: "\(Self.tokenLimit) tokens pass without the mark of a document "
            + "(\(kind.documentStart)); cut the text with --max-length N --excess-length split")
      }
    }
    guard !tokens.isEmpty else { return nil }
    number += 1
    return (
      ImportedExample(tokens: tokens, counts: [Bool](repeating: true, count: tokens.count)), number
    )
  }
}
