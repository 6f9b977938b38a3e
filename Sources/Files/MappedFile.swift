import Glibc
import Tensors

/// A whole file in memory, read-only, paged in as it is touched and shared by the ranks of a node.
///
/// The corresponding C function is `mmap` with `PROT_READ` and `MAP_SHARED`. A file that somebody
/// cuts short while it is mapped ends the process (SIGBUS) with a message that names it
/// (`MappedRanges`). `@safe` stands for this: the bytes stay mapped as long as the owner lives.
@safe
public final class MappedFile: @unchecked Sendable {
  // Sendable: all properties are constants, and the bytes are never written.

  /// Where it is.
  public let path: String
  /// All of it; without a base address where it is empty.
  public let bytes: UnsafeRawBufferPointer
  /// What is the same for two processes of one machine where they mapped the same file: its device,
  /// number, size and times.
  public let identity: String

  /// Maps the file at `path`.
  ///
  /// - Throws: `FileError.cannotRead`.
  public init(path: String) throws(FileError) {
    self.path = path
    let (descriptor, byteCount) = try InputFile.descriptor(of: path)
    defer { _ = close(descriptor) }
    if byteCount == 0 {
      // An empty file cannot be mapped.
      unsafe bytes = UnsafeRawBufferPointer(start: nil, count: 0)
    } else {
      let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
      guard let address = unsafe address, unsafe address != MAP_FAILED else {
        throw .reading(path)
      }
      unsafe bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
      unsafe MappedRanges.add(bytes, path: path)
    }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .reading(path) }
    let (modified, changed) = (status.st_mtim, status.st_ctim)
    identity = """
      \(status.st_dev):\(status.st_ino):\(byteCount):\(modified.tv_sec).\(modified.tv_nsec):\
      \(changed.tv_sec).\(changed.tv_nsec)
      """
  }

  deinit {
    // The address is the one that mmap gave, and nobody holds it beyond this owner.
    unsafe MappedRanges.remove(bytes)
    if let base = unsafe bytes.baseAddress {
      unsafe munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }
}
