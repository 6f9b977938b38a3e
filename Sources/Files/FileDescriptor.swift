import Diagnostics
import Glibc

/// The owner of one open file, which it closes when it goes.
///
/// Calls that a signal interrupts are made again, and writes that take less than they were given go
/// on with the rest: a call of this type does all of its work or throws.
package struct FileDescriptor: ~Copyable {
  /// The system's number of it.
  let number: CInt
  /// What errors call the file.
  let path: String

  /// Opens a file; nil where that fails, with `errno` saying why.
  ///
  /// The corresponding C function is `open` (POSIX.1-2017).
  init?(_ path: String, _ flags: CInt, mode: mode_t = 0o666, named name: String? = nil) {
    var number: CInt
    repeat {
      number = unsafe open(path, flags | O_CLOEXEC, mode)
    } while number < 0 && errno == EINTR
    guard number >= 0 else { return nil }
    self.number = number
    self.path = name ?? path
  }

  /// Takes over an open file.
  init(taking number: CInt, path: String) {
    self.number = number
    self.path = path
  }

  // What must be known to be written is synchronised before.
  deinit { _ = close(number) }

  /// What the file is.
  ///
  /// - Returns: nil where the system does not say, with `errno` saying why.
  var status: stat? {
    var status = stat()
    // Unsafe: the call fills the structure.
    return unsafe fstat(number, &status) == 0 ? status : nil
  }

  /// Writes all bytes at the end of what was written so far.
  ///
  /// The corresponding C function is `write` (POSIX.1-2017).
  func write(_ bytes: [UInt8]) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let start = done
      // Unsafe: the call reads at most to the array's end.
      let count = unsafe bytes.withUnsafeBytes { buffer in
        unsafe Glibc.write(
          number, buffer.baseAddress.map { unsafe $0 + start }, buffer.count - start)
      }
      if count < 0 && errno == EINTR { continue }
      // Nothing taken and no reason given: asking for ever would be a hang.
      guard count > 0 else {
        if count == 0 { errno = EIO }
        throw .writing(path, "write")
      }
      done += count
      RunProgress.tick()
    }
  }

  /// Writes all bytes at a place.
  ///
  /// The corresponding C function is `pwrite` (POSIX.1-2017).
  @unsafe
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = unsafe pwrite(number, rest.baseAddress, rest.count, off_t(offset + done))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        if count == 0 { errno = EIO }
        throw .writing(path, "pwrite")
      }
      done += count
      RunProgress.tick()
    }
  }

  /// Reads the file from a place on, 1 MiB at a time at most.
  ///
  /// The corresponding C function is `pread` (POSIX.1-2017).
  func forEachBlock(from offset: Int, _ body: ([UInt8]) -> Void) throws(FileError) {
    var place = offset
    var block = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      // Unsafe: the call writes at most to the array's end.
      let count = unsafe block.withUnsafeMutableBytes { buffer in
        unsafe pread(number, buffer.baseAddress, buffer.count, off_t(place))
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .writing(path, "pread") }
      if count == 0 { return }
      RunProgress.tick()
      body(count == block.count ? block : Array(block[..<count]))
      place += count
    }
  }

  /// Reads to the end of the file.
  ///
  /// The corresponding C function is `read` (POSIX.1-2017).
  func readAll(expecting byteCount: Int) throws(FileError) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(byteCount)
    var block = [UInt8](repeating: 0, count: min(max(byteCount + 1, 4096), 1 << 20))
    while true {
      // Unsafe: the call writes at most to the array's end.
      let count = unsafe block.withUnsafeMutableBytes { buffer in
        unsafe Glibc.read(number, buffer.baseAddress, buffer.count)
      }
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw .reading(path) }
      if count == 0 { return bytes }
      bytes.append(contentsOf: block[..<count])
      RunProgress.tick()
    }
  }

  /// Makes sure that what was written is on disk.
  ///
  /// The corresponding C function is `fsync` (POSIX.1-2017).
  func synchronize(_ what: String = "fsync") throws(FileError) {
    var status: CInt
    repeat { status = fsync(number) } while status != 0 && errno == EINTR
    // EINVAL: a file system that has nothing to synchronise (some do for directories).
    guard status == 0 || errno == EINVAL else { throw .writing(path, what) }
  }

  /// Makes the names in a directory survive a crash; errors name `path`, which is in it.
  static func synchronize(directory: String, for path: String) throws(FileError) {
    guard let handle = FileDescriptor(directory, O_RDONLY | O_DIRECTORY, named: path) else {
      throw .writing(path, "open of its directory")
    }
    try handle.synchronize("fsync of its directory")
  }
}
