import Glibc

/// A file that is written aside and appears under its name only when it is whole and on disk.
///
/// ```swift
/// let pending = try PendingFile(path: "run/config.yaml")
/// try pending.write(bytes)
/// try pending.publish()
/// ```
///
/// Until `publish` a reader sees the old file or none; a crash leaves the partial file, which the
/// next writer of the same name removes. One that goes without having been published is removed.
/// Its permissions are those that the process's umask leaves.
package struct PendingFile: ~Copyable {
  /// Where the finished file will be, as the user named it.
  package let path: String
  /// Where it is being written, by libraries that open by name too.
  ///
  /// It is in the same directory, so that the rename is atomic.
  package let partialPath: String
  private let target: String
  private let parent: String
  private let handle: FileDescriptor

  /// What a partial file's name has between the final name and random digits.
  package static let marker = PartialName.marker

  /// Attempts to find a name that nobody has.
  private static let attempts = 100

  /// Makes the partial file, and removes those of dead writers.
  ///
  /// - Throws: `FileError` where the place is taken by something else or cannot be written.
  package init(path: String) throws(FileError) { try self.init(OutputPlace(file: path)) }

  /// The same for a place that was looked at before.
  package init(_ place: OutputPlace) throws(FileError) {
    let (parent, name) = (place.parent, place.name)
    PartialName.removeLeftovers(of: name, in: parent)
    for _ in 0..<Self.attempts {
      let partial = "\(parent)/\(PartialName.next(name))"
      let flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW
      UnfinishedOutputs.add(partial)
      guard let handle = FileDescriptor(partial, flags, named: place.path) else {
        let reason = errno
        UnfinishedOutputs.remove(partial)
        errno = reason
        if errno == EEXIST { continue }
        throw .writing(place.path, "open")
      }
      guard PartialName.hold(handle) else {
        UnfinishedOutputs.remove(partial)
        continue
      }
      path = place.path
      partialPath = partial
      target = place.target
      self.parent = parent
      self.handle = handle
      return
    }
    throw .cannotWrite(path: place.path, call: "open", reason: "no free name for a partial file")
  }

  /// Writes a whole file at once.
  ///
  /// - Throws: `FileError`; an earlier file of that name is then untouched.
  package static func write(_ bytes: [UInt8], to path: String) throws(FileError) {
    let pending = try PendingFile(path: path)
    try pending.write(bytes)
    try pending.publish()
  }

  /// Writes a whole text file at once.
  ///
  /// - Throws: `FileError`; an earlier file of that name is then untouched.
  package static func write(_ text: String, to path: String) throws(FileError) {
    try write(Array(text.utf8), to: path)
  }

  /// Appends bytes.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func write(_ bytes: [UInt8]) throws(FileError) { try handle.write(bytes) }

  /// Appends bytes behind what other writers of the partial file have left there.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func append(_ bytes: [UInt8]) throws(FileError) {
    guard let end = handle.status?.st_size else { throw .writing(path, "fstat") }
    try write(bytes, at: Int(end))
  }

  /// Writes bytes at a place in the file.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func write(_ bytes: [UInt8], at offset: Int) throws(FileError) {
    // `withUnsafeBytes` does not keep the error's type.
    let result = unsafe bytes.withUnsafeBytes { buffer in
      Result { () throws(FileError) in try unsafe handle.write(buffer, at: offset) }
    }
    try result.get()
  }

  /// The digest of some bytes and then of the file from `offset` on.
  ///
  /// - Throws: `FileError.cannotWrite`: what was written cannot be read.
  package func digest(of start: [UInt8], followedByFileFrom offset: Int) throws(FileError) -> UInt64
  {
    var hash = ContentHash()
    hash.update(start)
    try handle.forEachBlock(from: offset) { hash.update($0) }
    return hash.value
  }

  /// Writes bytes at a place in the file.
  ///
  /// - Throws: `FileError.cannotWrite`.
  @unsafe
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
    try unsafe handle.write(bytes, at: offset)
  }

  /// Makes sure that the bytes are on disk, gives the file its name, and makes sure of that.
  ///
  /// - Throws: `FileError.cannotWrite`; where the rename was not made, an earlier file of that name
  ///   is untouched. The corresponding C functions are `fsync` and `rename` (POSIX.1-2017).
  package consuming func publish() throws(FileError) {
    try handle.synchronize()
    // Unsafe: the call reads the paths.
    try UnfinishedOutputs.publishing { () throws(FileError) in
      guard unsafe rename(partialPath, target) == 0 else { throw .writing(path, "rename") }
    }
    try FileDescriptor.synchronize(directory: parent, for: path)
  }

  // After a rename there is nothing left under the partial name; before it, what lies there is of
  // no use to anybody.
  deinit {
    _ = unsafe unlink(partialPath)
    UnfinishedOutputs.remove(partialPath)
  }
}
