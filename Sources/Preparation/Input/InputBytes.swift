import Files
import Foundation

/// The bytes of a file piece by piece, unpacked where it is compressed with gzip or zstd; its first bytes
/// tell that, not its name.
final class InputBytes {
  private static let fileSize = 1 << 18

  private let path: String
  private let file: FileHandle
  private var unpacker: (any Unpacker)?
  private var packed: ArraySlice<UInt8> = []
  private var isAtEnd = false
  /// How the file is compressed, if it is.
  let compression: Compression?
  /// Bytes of the file as it lies there that were read so far.
  private(set) var fileBytesRead = 0

  init(_ path: String) throws(PreparationError) {
    guard let kind = FileKind.at(path) else {
      throw .unreadable(path: path, reason: "there is no such file")
    }
    guard kind != .directory else {
      throw .unreadable(
        path: path,
        reason: "it is a directory; name its files, all of a kind with '\(path)/*.jsonl'")
    }
    guard let file = FileHandle(forReadingAtPath: path) else {
      throw .unreadable(path: path, reason: "permission is missing")
    }
    self.path = path
    self.file = file
    let first = try Self.read(file, path)
    packed = first[...]
    fileBytesRead = first.count
    isAtEnd = first.isEmpty
    compression = Compression(first)
    do throws(UnpackProblem) { unpacker = try compression?.unpacker() } catch {
      throw .unreadable(path: path, reason: "it is compressed with zstd, and \(error.reason)")
    }
  }

  deinit { try? file.close() }

  private static func read(
    _ file: FileHandle, _ path: String
  ) throws(PreparationError) -> [UInt8] {
    do { return try file.read(upToCount: fileSize).map(Array.init) ?? [] } catch {
      throw .unreadable(path: path, reason: error.localizedDescription)
    }
  }

  /// Appends another piece to `buffer`; false at the end of the file.
  func read(into buffer: inout [UInt8]) throws(PreparationError) -> Bool {
    let start = buffer.count
    while buffer.count == start {
      if packed.isEmpty, !isAtEnd {
        let piece = try Self.read(file, path)
        packed = piece[...]
        fileBytesRead += piece.count
        isAtEnd = piece.isEmpty
      }
      guard let unpacker else {
        if packed.isEmpty { return false }
        buffer.append(contentsOf: packed)
        packed = []
        return true
      }
      let left = packed.count
      do throws(UnpackProblem) { try unpacker.unpack(&packed, into: &buffer) } catch {
        throw damaged(error.reason)
      }
      if isAtEnd, buffer.count == start, packed.count == left {
        guard unpacker.isComplete, packed.isEmpty else { throw damaged("it ends too early") }
        return false
      }
    }
    return true
  }

  private func damaged(_ reason: String) -> PreparationError {
    .unreadable(
      path: path,
      reason: "unpacking it (\(compression?.rawValue ?? "")) fails behind byte "
        + "\(fileBytesRead - packed.count): \(reason); copy or compress the file again")
  }
}
