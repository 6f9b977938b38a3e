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
/// first and comes back if the process dies in between. Two writers of one place have directories
/// of their own; of two that may not replace anything the second is refused.
public struct PendingDirectory: ~Copyable {
  /// The place, as the user named it.
  public let path: String
  /// Where the files are written.
  public let partialPath: String
  private let place: OutputPlace
  private let isReplacing: Bool
  private let handle: FileDescriptor

  private static let attempts = 100

  /// Makes the partial directory, and removes those of dead writers.
  ///
  /// - Parameter replacing: whether an earlier directory of that name goes; else it must be missing
  ///   or empty.
  /// - Throws: `FileError`.
  public init(_ place: OutputPlace, replacing: Bool = false) throws(FileError) {
    self.place = place
    path = place.path
    isReplacing = replacing
    Self.recover(place)
    if !replacing, let found = DirectoryEntries.names(place.target).sorted().first {
      throw .notEmpty(path: place.path, found: found)
    }
    try OutputPlace.createDirectory(place.parent, for: place.path)
    PartialName.removeLeftovers(of: place.name, in: place.parent)
    for _ in 0..<Self.attempts {
      let partial = "\(place.parent)/\(PartialName.next(place.name))"
      guard unsafe mkdir(partial, 0o777) == 0 else {
        if errno == EEXIST { continue }
        throw .writing(place.path, "mkdir")
      }
      let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW
      guard let handle = FileDescriptor(partial, flags, named: place.path) else {
        let error = FileError.writing(place.path, "open of its directory")
        _ = unsafe rmdir(partial)
        throw error
      }
      guard PartialName.hold(handle) else { continue }
      partialPath = partial
      self.handle = handle
      return
    }
    throw .cannotWrite(
      path: place.path, call: "mkdir", reason: "no free name for a partial directory")
  }

  /// Brings back a directory whose successor never came, because the process died in between.
  public static func recover(_ place: OutputPlace) {
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
  public consuming func publish() throws(FileError) {
    try handle.synchronize("fsync of its directory")
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
    try FileDescriptor.synchronize(directory: place.parent, for: path)
    Self.removeAside(place)
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
    typealias Exchange = @convention(c) (
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
  deinit { DirectoryEntries.remove(partialPath) }
}
