import Glibc

/// Files that are read: regular ones alone, so that opening never waits and reading ends.
///
/// Links are followed, since a model in Hugging Face's cache consists of them; what they lead to
/// must be a file.
package enum InputFile {
  /// All bytes of a file.
  ///
  /// - Throws: `FileError.cannotRead`, which says what is there where it is no file.
  package static func bytes(of path: String) throws(FileError) -> [UInt8] {
    let (number, byteCount) = try descriptor(of: path)
    return try FileDescriptor(taking: number, path: path).readAll(expecting: byteCount)
  }

  /// Opens a file for reading; whoever called closes the descriptor.
  ///
  /// - Returns: the descriptor, and the file's length in bytes.
  /// - Throws: `FileError.cannotRead`.
  package static func descriptor(
    of path: String
  ) throws(FileError) -> (number: CInt, byteCount: Int) {
    var number: CInt
    // Opening a pipe without O_NONBLOCK would wait for somebody to write into it.
    repeat {
      number = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    } while number < 0 && errno == EINTR
    guard number >= 0 else { throw .reading(path) }
    var status = stat()
    let isKnown = unsafe fstat(number, &status) == 0
    let reason = isKnown ? FileKind(status.st_mode).problem : systemReason(errno)
    if let reason {
      _ = close(number)
      throw .cannotRead(path: path, reason: reason)
    }
    return (number, Int(status.st_size))
  }

  /// Throws `FileError.cannotRead` unless there is a file, for libraries that open by name.
  ///
  /// - Returns: its length in bytes.
  @discardableResult
  package static func check(_ path: String) throws(FileError) -> Int {
    let (number, byteCount) = try descriptor(of: path)
    _ = close(number)
    return byteCount
  }
}
