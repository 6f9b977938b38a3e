import Files

/// A digest of a whole file in its own header, which programs that do not know it pass over.
///
/// `__metadata__` has `"swift_peft_train.digest": "xxh64:…"`: XXH64 of the file's bytes with sixteen
/// zeros in the place of the digits. It finds what disks and copies do to a file; files of others
/// have none and are read as they are.
enum SafetensorsSeal {
  /// The member of `__metadata__`.
  static let key = "swift_peft_train.digest"
  private static let prefix = "xxh64:"
  private static let digitCount = 16
  /// What stands in the header until the digest is known.
  static let placeholder = prefix + String(repeating: "0", count: digitCount)

  /// The digest's digits and where they go, for a file that is written but for them.
  static func seal(
    header: [UInt8], of pending: borrowing PendingFile, path: String
  ) throws(SafetensorsError) -> (digits: [UInt8], offset: Int) {
    guard let offset = place(in: header) else {
      preconditionFailure("\(path): a header without '\(key)'")
    }
    let digest: UInt64
    do throws(FileError) {
      digest = try pending.digest(of: header, followedByFileFrom: header.count)
    } catch { throw SafetensorsError(error) }
    return (Array(digits(digest).utf8), offset)
  }

  /// Compares the digest of a mapped file; one without passes.
  static func check(
    _ file: MappedFile, metadata: [String: String], headerEnd: Int
  ) throws(SafetensorsError) {
    guard let stated = metadata[key] else { return }
    let header = unsafe Array(file.bytes[..<headerEnd])
    guard stated.hasPrefix(prefix), stated.utf8.count == placeholder.utf8.count,
      let place = place(in: header)
    else {
      throw .damaged(path: file.path, expected: stated, found: "not of that form")
    }
    var hash = ContentHash()
    hash.update(
      header[..<place] + Array(repeating: UInt8(ascii: "0"), count: digitCount)
        + header[(place + digitCount)...])
    // Unsafe: the mapping lives as long as its owner, which the caller holds.
    unsafe hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[headerEnd...]))
    let found = prefix + digits(hash.value)
    guard found == stated else {
      throw .damaged(path: file.path, expected: stated, found: found)
    }
  }

  private static func digits(_ digest: UInt64) -> String {
    let digits = String(digest, radix: 16)
    return String(repeating: "0", count: digitCount - digits.count) + digits
  }

  /// Where the digits stand; nil where the member is written in no way that this program has.
  private static func place(in header: [UInt8]) -> Int? {
    let key = Array("\"\(key)\":\"\(prefix)".utf8)
    guard header.count >= key.count + digitCount else { return nil }
    let last = header.count - key.count - digitCount
    return (0...last).first { header[$0] == key[0] && header[$0...].starts(with: key) }
      .map { $0 + key.count }
  }
}
