import Glibc

/// A directory that is filled aside and takes its name when it is whole and on disk.
///
/// ```swift
/// let pending = try PendingDirectory(OutputPlace(directory: "merged/"))
/// …  // files into pending.partialPath
/// try pending.publish()
/// ```
///
/// Making one says whether the place can be written at all, before anything is computed for it.
/// Until `publish` a reader sees the old directory or none, and afterwards the new one: the two are
/// exchanged in one step where the file system can (`RENAME_EXCHANGE`), else the old one goes aside
/// first and comes back if the process dies in between. An empty directory that cannot be exchanged,
/// as a mount point cannot, is filled file by file when all files are whole. Two writers of one place have directories
/// of their own; of two that may not replace anything the second is refused.
package struct PendingDirectory: ~Copyable {
  /// The place, as the user named it.
  package let path: String
  /// Where the files are written.
  package let partialPath: String
  private let place: OutputPlace
  private let isReplacing: Bool
  /// Whether the files move into the directory that is there, one by one.
  private let isInside: Bool
  private let handle: FileDescriptor

  private static let attempts = 100

  /// Makes the partial directory, and removes those of dead writers.
  ///
  /// - Parameter place: where the complete directory will be.
  /// - Parameter replacing: whether an earlier directory of that name goes; else it must be missing
  ///   or empty.
  /// - Throws: `FileError`.
  package init(_ place: OutputPlace, replacing: Bool = false) throws(FileError) {
    self.place = place
    path = place.path
    isReplacing = replacing
    Self.recover(place)
    if !replacing, let found = Self.foreign(place) {
      throw .notEmpty(path: place.path, found: found)
    }
    try OutputPlace.createDirectory(place.parent, for: place.path)
    PartialName.removeLeftovers(of: place.name, in: place.parent)
    if FileKind.of(place.target) == .directory {
      PartialName.removeLeftovers(of: place.name, in: place.target)
    }
    var inside = false
    for _ in 0..<Self.attempts {
      let partial =
        "\(inside ? place.target : place.parent)/\(PartialName.next(place.name))"
      UnfinishedOutputs.add(partial)
      guard unsafe mkdir(partial, 0o777) == 0 else {
        let reason = errno
        UnfinishedOutputs.remove(partial)
        errno = reason
        if errno == EEXIST { continue }
        // The parent may not be written to, and the directory itself may.
        if !inside, !replacing, FileKind.of(place.target) == .directory {
          inside = true
          continue
        }
        throw .writing(place.path, "mkdir")
      }
      if !inside, !replacing, !Self.canExchange(partial, place.target) {
        _ = unsafe rmdir(partial)
        UnfinishedOutputs.remove(partial)
        inside = true
        continue
      }
      let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
      guard let handle = FileDescriptor(partial, flags, named: place.path) else {
        let error = FileError.writing(place.path, "open of its directory")
        _ = unsafe rmdir(partial)
        UnfinishedOutputs.remove(partial)
        throw error
      }
      guard PartialName.hold(handle) else {
        UnfinishedOutputs.remove(partial)
        continue
      }
      partialPath = partial
      isInside = inside
      self.handle = handle
      return
    }
    throw .cannotWrite(
      path: place.path, call: "mkdir", reason: "no free name for a partial directory")
  }

  /// Brings back a directory whose successor never came, because the process died in between.
  package static func recover(_ place: OutputPlace) {
    guard FileKind.of(place.target) == nil else { return }
    let names = PartialName.all(
      of: place.name, in: place.parent, marker: PartialName.asideMarker)
    for name in names.prefix(1) {
      // Unsafe: the call reads the paths. Where it fails, what is missing stays missing.
      _ = unsafe rename("\(place.parent)/\(name)", place.target)
    }
  }

  /// Makes sure that the directory's names are on disk, gives it its own, and makes sure of that.
  ///
  /// - Throws: `FileError`; where the name was not given, an earlier directory is untouched.
  package consuming func publish() throws(FileError) {
    try handle.synchronize("fsync of its directory")
    if isInside {
      return try UnfinishedOutputs.publishing { () throws(FileError) in try moveIn() }
    }
    try UnfinishedOutputs.publishing { () throws(FileError) in try takeName() }
    try FileDescriptor.synchronize(directory: place.parent, for: path)
    Self.removeAside(place)
  }

  /// Gives the directory its name.
  private func takeName() throws(FileError) {
    // An empty directory is replaced by a rename too.
    if unsafe rename(partialPath, place.target) != 0 {
      guard isReplacing, errno == ENOTEMPTY || errno == EEXIST else {
        if errno == ENOTEMPTY || errno == EEXIST {
          throw .notEmpty(
            path: path, found: DirectoryEntries.names(place.target).sorted().first ?? "another's")
        }
        throw .writing(path, "rename")
      }
      try exchange()
    }
  }

  /// A name in the directory that is no partial one of it.
  private static func foreign(_ place: OutputPlace) -> String? {
    let partial = Set(PartialName.all(of: place.name, in: place.target))
    return DirectoryEntries.names(place.target).sorted().first { !partial.contains($0) }
  }

  /// Whether a directory can take the place of another, which is empty or not there.
  ///
  /// Both are empty still, so trying it does no harm.
  private static func canExchange(_ partial: String, _ target: String) -> Bool {
    guard FileKind.of(target) == .directory else { return true }
    if exchange(partial, target) { return exchange(partial, target) }
    // Only these say that it is the place; else the call is not known here.
    return errno != EXDEV && errno != EBUSY && errno != EACCES && errno != EPERM
  }

  /// Moves the files into the directory that is there, if nobody else has.
  private func moveIn() throws(FileError) {
    guard let target = FileDescriptor(place.target, O_RDONLY | O_DIRECTORY, named: path) else {
      throw .writing(path, "open of its directory")
    }
    // Nobody else moves files in between; file systems without locks are let pass.
    _ = flock(target.number, LOCK_EX)
    if let found = Self.foreign(place) { throw .notEmpty(path: path, found: found) }
    for name in DirectoryEntries.names(partialPath).sorted() {
      guard unsafe rename("\(partialPath)/\(name)", "\(place.target)/\(name)") == 0 else {
        throw .writing(path, "rename")
      }
    }
    try target.synchronize("fsync of its directory")
  }

  private func exchange() throws(FileError) {
    if Self.exchange(partialPath, place.target) { return }
    // Not every file system, kernel or C library knows it.
    let aside =
      "\(place.parent)/\(PartialName.next(place.name, marker: PartialName.asideMarker))"
    guard unsafe rename(place.target, aside) == 0 else { throw .writing(path, "rename") }
    if unsafe rename(partialPath, place.target) != 0 {
      let error = FileError.writing(path, "rename")
      _ = unsafe rename(aside, place.target)
      throw error
    }
  }

  /// Exchanges two names in one step; false where that is not possible here.
  ///
  /// The corresponding C function is `renameat2` (Linux), which Swift's module map leaves out.
  private static func exchange(_ one: String, _ other: String) -> Bool {
    typealias Exchange =
      @convention(c) (
        CInt, UnsafePointer<CChar>, CInt, UnsafePointer<CChar>, CUnsignedInt
      ) -> CInt
    guard let symbol = unsafe dlsym(nil, "renameat2") else { return false }
    // Unsafe: the type is the function's. 2 is RENAME_EXCHANGE.
    let function = unsafe unsafeBitCast(symbol, to: Exchange.self)
    return unsafe function(AT_FDCWD, one, AT_FDCWD, other, 2) == 0
  }

  private static func removeAside(_ place: OutputPlace) {
    let marker = PartialName.asideMarker
    for name in PartialName.all(of: place.name, in: place.parent, marker: marker) {
      DirectoryEntries.remove("\(place.parent)/\(name)")
    }
  }

  // What lies there is what was given up, or after an exchange the old directory.
  deinit {
    DirectoryEntries.remove(partialPath)
    UnfinishedOutputs.remove(partialPath)
  }
}
