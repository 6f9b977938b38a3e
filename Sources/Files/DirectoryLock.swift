import Glibc

/// The lock file of a directory: one process at a time writes there.
///
/// It goes with the process, however that ends.
package final class DirectoryLock {
  private let handle: FileDescriptor

  /// Takes the lock; nil where another process has it.
  ///
  /// - Throws: `FileError` where the lock file cannot be made.
  package init?(_ place: OutputPlace) throws(FileError) {
    let path = place.member(".lock")
    try OutputPlace.requireNoLink(path)
    guard let handle = FileDescriptor(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK) else {
      throw .writing(path, "open")
    }
    // A file system without locks (some network ones) is let pass.
    if flock(handle.number, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK { return nil }
    self.handle = handle
  }
}
