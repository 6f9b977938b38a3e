import Files
import Glibc
import Tensors

/// A whole file in memory, read-only, paged in as it is touched and shared by the ranks of a node.
///
/// The corresponding C function is `mmap` with `PROT_READ` and `MAP_SHARED`. A file that somebody
/// cuts short while it is mapped ends the process (SIGBUS) with a message that names it
/// (`MappedRanges`). `@safe` stands for this: the bytes stay mapped as long as the owner lives.
@safe
final class MappedFile: @unchecked Sendable {
  // Sendable: all properties are constants, and the bytes are never written.
  let path: String
  let bytes: UnsafeRawBufferPointer
  let identity: String

  init(path: String) throws(SafetensorsError) {
    self.path = path
    let (descriptor, byteCount): (CInt, Int)
    do throws(FileError) { (descriptor, byteCount) = try InputFile.descriptor(of: path) } catch {
      throw SafetensorsError(error)
    }
    defer { _ = close(descriptor) }
    // An empty file cannot be mapped, and is too short anyhow.
    guard byteCount >= 8 else { throw .tooShort(path: path, byteCount: byteCount) }
    let address = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0)
    guard let address = unsafe address, unsafe address != MAP_FAILED else {
      throw .unreadable(path: path, reason: systemReason(errno))
    }
    unsafe bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
    unsafe MappedRanges.add(bytes, path: path)
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else {
      throw .unreadable(path: path, reason: systemReason(errno))
    }
    let (modified, changed) = (status.st_mtim, status.st_ctim)
    identity = """
      \(status.st_dev):\(status.st_ino):\(byteCount):\(modified.tv_sec).\(modified.tv_nsec):\
      \(changed.tv_sec).\(changed.tv_nsec)
      """
  }

  deinit {
    unsafe MappedRanges.remove(bytes)
    // The address is the one that mmap gave, and nobody holds it beyond this owner.
    unsafe munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
  }
}
