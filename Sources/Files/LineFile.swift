import Glibc

/// A text file that grows by whole lines.
///
/// A line that cannot be written in full is taken back, so that the file never ends in half a line.
package final class LineFile {
  package let path: String
  private let handle: FileDescriptor

  /// Starts with these lines, written at once, and goes on behind them.
  ///
  /// - Throws: `FileError`.
  package init(path: String, lines: [String]) throws(FileError) {
    self.path = path
    try PendingFile.write(lines.map { $0 + "\n" }.joined(), to: path)
    guard let handle = FileDescriptor(path, O_WRONLY | O_APPEND | O_NOFOLLOW) else {
      throw .writing(path, "open")
    }
    self.handle = handle
  }

  /// Appends a line.
  ///
  /// - Throws: `FileError.cannotWrite`; the file is then as it was.
  package func append(_ line: String) throws(FileError) {
    try append(bytes: Array((line + "\n").utf8))
  }

  /// Appends bytes, all of them or none: a record of a format that has no lines.
  ///
  /// - Throws: `FileError.cannotWrite`; the file is then as it was.
  package func append(bytes: [UInt8]) throws(FileError) {
    let end = handle.status?.st_size
    do throws(FileError) { try handle.write(bytes) } catch {
      if let end { _ = ftruncate(handle.number, end) }
      throw error
    }
  }

  /// Makes sure that all lines so far are on disk.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func synchronize() throws(FileError) { try handle.synchronize() }
}
