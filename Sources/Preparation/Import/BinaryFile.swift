import Files
import Foundation

/// Little-endian whole numbers of a file, read through a block that stays in memory.
final class BinaryFile {
  private static let blockSize = 1 << 18

  let path: String
  let byteCount: Int
  private let handle: FileHandle
  private var block: [UInt8] = []
  private var blockStart = 0

  init(_ path: String) throws(PreparationError) {
    self.path = path
    guard let kind = FileKind.at(path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    guard kind != .directory else { throw .unreadable(path: path, reason: "it is a directory") }
    guard let handle = FileHandle(forReadingAtPath: path) else {
      throw .unreadable(path: path, reason: "permission is missing")
    }
    self.handle = handle
    do { byteCount = Int(try handle.seekToEnd()) } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
  }

  deinit { try? handle.close() }

  /// A whole number of `width` bytes at a byte, sign-extended where asked.
  func number(
    at offset: Int, width: Int, isSigned: Bool = false
  ) throws(PreparationError) -> Int {
    guard offset >= 0, width <= byteCount, offset <= byteCount - width else {
      throw .badImport(
        path: path, reason: "it ends at byte \(byteCount), and must go on to \(offset) and further")
    }
    if offset < blockStart || offset + width > blockStart + block.count { try load(offset) }
    var value: UInt64 = 0
    for index in 0..<width {
      value |= UInt64(block[offset - blockStart + index]) << (8 * index)
    }
    let unused = 64 - 8 * width
    return isSigned
      ? Int(Int64(bitPattern: value << unused) >> unused) : Int(truncatingIfNeeded: value)
  }

  private func load(_ offset: Int) throws(PreparationError) {
    do {
      try handle.seek(toOffset: UInt64(offset))
      block = [UInt8](try handle.read(upToCount: Self.blockSize) ?? Data())
      blockStart = offset
    } catch { throw .unreadable(path: path, reason: error.localizedDescription) }
    guard block.count >= min(8, byteCount - offset) else {
      throw .badImport(path: path, reason: "it became shorter while it was read")
    }
  }
}
