import Glibc
import Tensors

/// A whole file in memory, read-only, paged in as it is touched and shared by the ranks of a node.
///
/// The corresponding C function is `mmap` with `PROT_READ` and `MAP_SHARED`. A file that somebody
/// cuts short while it is mapped ends the process (SIGBUS) with a message that names it
/// (`MappedRanges`). `@safe` stands for this: the bytes stay mapped as long as the owner lives.
@safe
package final class MappedFile: @unchecked Sendable {
  // Sendable: all properties are constants, and the bytes are never written.

  package let path: String
  /// All of it; without a base address where it is empty.
  package let bytes: UnsafeRawBufferPointer
  /// What is the same for two processes of one machine where they mapped the same file: its device,
  /// number, size and times.
  package let identity: String
  /// Keeps bytes that came from elsewhere.
  private let owner: SharedBytes?
  /// Where they begin there.
  private let start: Int

  /// Stands for a file whose bytes the processes of a node received.
  ///
  /// - Parameters:
  ///   - path: where the file is, perhaps not on this node.
  ///   - owner: the memory, which is kept for as long as the file.
  ///   - range: its bytes in memory that all of them share.
  ///   - place: what distinguishes it from other copies on the node.
  package init(
    path: String, received owner: SharedBytes, _ range: Range<Int>, place: String = ""
  ) {
    self.path = path
    self.owner = owner
    start = range.lowerBound
    unsafe bytes = UnsafeRawBufferPointer(
      start: UnsafeRawPointer(owner.base) + range.lowerBound, count: range.count)
    identity = "received \(path) \(range.count) \(place)"
  }

  /// Maps the file at `path`.
  ///
  /// - Throws: `FileError.cannotRead`.
  package init(path: String) throws(FileError) {
    self.path = path
    (owner, start) = (nil, 0)
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

  package var byteCount: Int { unsafe bytes.count }

  /// All bytes, which nobody writes and which stay mapped as long as this lives.
  package var view: ByteView {
    unsafe ByteView(UnsafeMutableRawPointer(mutating: bytes.baseAddress), count: bytes.count)
  }

  /// Which of its bytes begin at an address; nil where they are not all in it.
  package func range(at address: Int, count: Int) -> Range<Int>? {
    let start = unsafe address - Int(bitPattern: bytes.baseAddress)
    return start >= 0 && start + count <= byteCount ? start..<(start + count) : nil
  }

  /// Copies some of the bytes.
  ///
  /// - Parameters:
  ///   - range: of the file, in bytes.
  ///   - target: where they go.
  ///   - place: of the first one in `target`, which has room for all.
  package func copy(_ range: Range<Int>, into target: SharedBytes, at place: Int) {
    precondition(
      place >= 0 && place + range.count <= target.byteCount,
      "\(range) at \(place) of \(target.byteCount)")
    // Both ranges were checked: the one by the slice, the other above.
    unsafe UnsafeMutableRawBufferPointer(start: target.base + place, count: range.count)
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Lets the system read some of the bytes before they are asked for.
  package func prefetch(_ range: Range<Int>) {
    guard owner == nil, let base = unsafe bytes.baseAddress else { return }
    let page = sysconf(Int32(_SC_PAGESIZE))
    let start = range.lowerBound / page * page
    // A hint, of pages of this mapping.
    _ = unsafe madvise(
      UnsafeMutableRawPointer(mutating: base) + start, range.upperBound - start, MADV_WILLNEED)
  }

  /// Lets go of pages that this mapping does not need for now; they stay in the system's cache.
  ///
  /// Each mapping of a file holds pages of its own count: a rank that reads a file in two would else seem
  /// to have it twice.
  package func release(_ range: Range<Int>) {
    guard owner == nil else { return }
    // Checked by the slice.
    unsafe MappedRanges.releasePages(UnsafeRawBufferPointer(rebasing: bytes[range]))
  }

  /// Gives up bytes that were received, for good.
  ///
  /// They read as zeros then. A file keeps its own.
  package func discard(_ range: Range<Int>) {
    owner?.discard((start + range.lowerBound)..<(start + range.upperBound))
  }

  deinit {
    guard owner == nil else { return }
    // The address is the one that mmap gave, and nobody holds it beyond this owner.
    unsafe MappedRanges.remove(bytes)
    if let base = unsafe bytes.baseAddress {
      unsafe munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
    }
  }
}
