import Glibc

/// A file or directory that the user named for an output, and the one rule for all of them.
///
/// ```swift
/// let place = try OutputPlace(directory: "out/")
/// try place.requireNoLink("checkpoints")
/// ```
///
/// A slash at the end is fine. What the user named may be a symbolic link, and stays one: the
/// output goes to where it leads. What lies inside must not be a link. What is in the way is said
/// before anything is computed.
package struct OutputPlace: Sendable, Hashable {
  /// The place as the user named it, without slashes at its end.
  package let path: String
  /// Where it really is: the same, or what the link leads to.
  package let target: String

  /// A directory, which need not be there.
  ///
  /// - Throws: `FileError` where something else has the name.
  package init(directory path: String) throws(FileError) {
    self.path = Self.withoutSlashes(path)
    target = try Self.followingLink(self.path)
    if let kind = FileKind.of(target), kind != .directory {
      throw .notReplaceable(path: self.path, kind: "\(kind.name), not a directory")
    }
  }

  /// A file, which need not be there.
  ///
  /// A rename would put a file in the place of a device: `/dev/null` would be gone.
  ///
  /// - Throws: `FileError` where something else has the name.
  package init(file path: String) throws(FileError) {
    // Errors name what will be, not the partial directory that the file may be in for a while.
    self.path = PartialName.finalPath(path)
    guard path.last != "/", !path.isEmpty else {
      throw .notReplaceable(path: path, kind: "a directory's name")
    }
    target = try Self.followingLink(path)
    if let kind = FileKind.of(target), kind != .file {
      throw .notReplaceable(path: self.path, kind: kind.name)
    }
  }

  /// Whether two paths lead to one file that is there.
  package static func isSame(_ one: String, _ other: String) -> Bool {
    var (first, second) = (stat(), stat())
    // Unsafe: the calls fill the structures.
    guard unsafe stat(one, &first) == 0, unsafe stat(other, &second) == 0 else { return false }
    return first.st_dev == second.st_dev && first.st_ino == second.st_ino
  }

  /// The directory that the target is in.
  package var parent: String { Self.split(target).parent }
  /// The target's own name.
  package var name: String { Self.split(target).name }

  /// The path of something inside.
  package func member(_ name: String) -> String { "\(path)/\(name)" }

  /// Throws `FileError.linkInside` where a member is a symbolic link.
  package func requireNoLink(_ name: String) throws(FileError) {
    try Self.requireNoLink(member(name))
  }

  /// Throws `FileError.linkInside` where `path` is a symbolic link.
  package static func requireNoLink(_ path: String) throws(FileError) {
    if FileKind.of(withoutSlashes(path)) == .link { throw .linkInside(path: path) }
  }

  /// Makes the directory, and those above it, where they are missing.
  ///
  /// - Throws: `FileError.cannotWrite`.
  package func create() throws(FileError) { try Self.createDirectory(target, for: path) }

  /// Makes a directory and those above it, and makes sure of the new names.
  package static func createDirectory(
    _ directory: String, for path: String? = nil
  ) throws(FileError) {
    if directory.isEmpty || FileKind.of(directory) == .directory { return }
    let parent = split(directory).parent
    var status = stat()
    // A parent may be a link to a directory. Unsafe: the call reads the path and fills `status`.
    if unsafe stat(parent, &status) != 0 { try createDirectory(parent, for: path ?? directory) }
    guard unsafe mkdir(directory, 0o777) == 0 || errno == EEXIST else {
      throw .writing(path ?? directory, "mkdir")
    }
    try FileDescriptor.synchronize(directory: parent, for: path ?? directory)
  }

  /// `a/b//` as `a/b`; `/` stays.
  package static func withoutSlashes(_ path: String) -> String {
    var end = path.endIndex
    while end > path.startIndex, path[path.index(before: end)] == "/" {
      end = path.index(before: end)
    }
    return end == path.startIndex && !path.isEmpty ? "/" : String(path[..<end])
  }

  /// The directory and the name of a path without slashes at its end.
  static func split(_ path: String) -> (parent: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let parent = slash == path.startIndex ? "/" : withoutSlashes(String(path[..<slash]))
    return (parent, String(path[path.index(after: slash)...]))
  }

  private static func followingLink(_ path: String) throws(FileError) -> String {
    let isDots = [".", ".."].contains(split(path).name)
    guard isDots || FileKind.of(path) == .link else { return path }
    // Unsafe: the call returns text that is copied and freed here.
    guard let resolved = unsafe realpath(path, nil) else {
      throw .notReplaceable(
        path: path, kind: "a symbolic link that leads nowhere (\(systemReason(errno)))")
    }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}
