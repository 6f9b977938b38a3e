import Diagnostics
import Files
import Glibc
import HDF5

/// The digest of a whole file, behind its last byte: a line `xxh64` and 16 hexadecimal digits.
///
/// HDF5 looks at nothing behind the end that its own header states, so any HDF5 program reads a
/// sealed file; one that changes it breaks the seal. The seal is checked before HDF5 sees the file,
/// because the library does not survive every damage: it checks some of its own structures only
/// after it has believed their sizes, and text attributes are among them.
enum CheckpointSeal {
  /// `\nxxh64 `, 16 digits, `\n`.
  private static let byteCount = 24
  private static let prefix = Array("\nxxh64 ".utf8)
  /// Bytes read at once.
  private static let blockBytes = 1 << 20

  /// The seal of a file that is otherwise complete, to be appended.
  static func seal(of path: String) throws(CheckpointError) -> [UInt8] {
    seal(try digest(of: path, without: 0, .writing).value)
  }

  /// Throws `noSeal` or `damaged` unless the file is as it was when it was sealed.
  static func check(_ path: String) throws(CheckpointError) {
    let (found, stored) = try digest(of: path, without: byteCount, .reading)
    guard stored.starts(with: prefix), stored.count == byteCount,
      let stated = UInt64(
        String(decoding: stored[prefix.count..<(byteCount - 1)], as: UTF8.self), radix: 16)
    else { throw .noSeal(file: path) }
    guard stored == seal(found) else {
      throw .damaged(file: path, expected: stated, found: found)
    }
  }

  /// Whether a file ends as a sealed one does; whether it is sound `check` tells.
  static func ends(_ path: String) -> Bool {
    guard let file = try? OpenFile(path, .reading), let total = try? file.byteCount(),
      total >= byteCount
    else { return false }
    var tail = [UInt8](repeating: 0, count: byteCount)
    guard (try? file.read(into: &tail, at: total - byteCount)) != nil else { return false }
    return tail.starts(with: prefix)
  }

  private static func seal(_ digest: UInt64) -> [UInt8] {
    let digits = String(digest, radix: 16)
    return prefix + Array((String(repeating: "0", count: 16 - digits.count) + digits + "\n").utf8)
  }

  /// The hash of a file but for its last `tailCount` bytes, and those bytes.
  private static func digest(
    of path: String, without tailCount: Int, _ access: HDF5Access
  ) throws(CheckpointError) -> (value: UInt64, tail: [UInt8]) {
    let file = try OpenFile(path, access)
    let total = try file.byteCount()
    var hash = ContentHash()
    var remaining = max(0, total - tailCount)
    var block = [UInt8](repeating: 0, count: blockBytes)
    while remaining > 0 {
      if remaining < block.count { block.removeLast(block.count - remaining) }
      try file.read(into: &block)
      hash.update(block)
      remaining -= block.count
    }
    var tail = [UInt8](repeating: 0, count: min(tailCount, total))
    try file.read(into: &tail)
    return (hash.value, tail)
  }
}

/// A file descriptor that is closed when its owner goes.
private struct OpenFile: ~Copyable {
  private let descriptor: CInt
  private let path: String
  private let access: HDF5Access

  init(_ path: String, _ access: HDF5Access) throws(CheckpointError) {
    self.path = path
    self.access = access
    do throws(FileError) { descriptor = try InputFile.descriptor(of: path).number } catch {
      throw .system(path: path, call: "open", reason: error.reason, access: access)
    }
  }

  deinit { _ = close(descriptor) }

  func byteCount() throws(CheckpointError) -> Int {
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .system("fstat", path, access) }
    return Int(status.st_size)
  }

  /// Fills all of `bytes` with what begins at a place.
  func read(into bytes: inout [UInt8], at offset: Int) throws(CheckpointError) {
    guard lseek(descriptor, off_t(offset), SEEK_SET) == offset else {
      throw .system("lseek", path, access)
    }
    try read(into: &bytes)
  }

  /// Fills all of `bytes`; a file that ends before is an error.
  func read(into bytes: inout [UInt8]) throws(CheckpointError) {
    var done = 0
    while done < bytes.count {
      let start = done
      // Unsafe: the call writes at most to the array's end.
      let count = unsafe bytes.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(
          descriptor, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start)
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        if count == 0 { throw .noSeal(file: path) }
        throw .system("read", path, access)
      }
      done += count
      RunProgress.tick()
    }
  }
}

extension CheckpointError {
  /// The failure of a system call that has just set `errno`.
  static func system(_ call: String, _ path: String, _ access: HDF5Access) -> CheckpointError {
    .system(path: path, call: call, reason: systemReason(errno), access: access)
  }
}
