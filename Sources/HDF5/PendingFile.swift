import Glibc

/// A file that is written aside and appears under its name only when it is whole and on disk.
///
/// ```swift
/// let pending = PendingFile(path: "runs/step-00000100.h5")
/// let file = try HDF5File(creating: pending.partialPath)
/// …
/// try pending.publish()
/// ```
///
/// Until `publish` a reader sees the old file or none; a crash leaves the partial file, whose name
/// starts with a dot and says whose it is. One that goes without having been published is removed.
public struct PendingFile: ~Copyable {
  /// Where the finished file will be.
  public let path: String
  /// Where it is being written: in the same directory, so that the rename is atomic.
  public let partialPath: String

  /// What a partial file's name has between the final name and the process id.
  public static let marker = ".partial-"

  /// Plans a file at `path`.
  public init(path: String) {
    self.path = path
    let (directory, name) = PendingFile.split(path)
    partialPath = "\(directory)/.\(name)\(PendingFile.marker)\(getpid())"
  }

  /// Refuses a name that something else than a file has, before any work is done for it.
  ///
  /// A rename would put a file in the place of a device: `/dev/null` would be gone. The corresponding
  /// C function is `stat` (POSIX.1-2017).
  public static func checkReplaceable(_ path: String) throws(HDF5Error) {
    var status = stat()
    // Unsafe: the call reads the path and fills the structure. What is not there is no hindrance.
    guard unsafe stat(path, &status) == 0 else { return }
    switch status.st_mode & S_IFMT {
    case S_IFREG: return
    case S_IFDIR: throw .notReplaceable(file: path, kind: "a directory")
    default: throw .notReplaceable(file: path, kind: "a device or a pipe")
    }
  }

  /// Makes sure that the partial file's bytes are on disk, gives it its name, and makes sure of that.
  ///
  /// The file must be closed. Throws `HDF5Error.cannotPublish`; an earlier file of that name is then untouched. The
  /// corresponding C functions are `fsync` and `rename` (POSIX.1-2017).
  public consuming func publish() throws(HDF5Error) {
    try synchronize(partialPath, flags: O_RDONLY)
    // Unsafe: the calls read the paths.
    guard unsafe rename(partialPath, path) == 0 else {
      throw .cannotPublish(file: path, call: "rename", reason: systemMessage(errno))
    }
    try synchronize(PendingFile.split(path).directory, flags: O_RDONLY | O_DIRECTORY)
  }

  // After a rename there is nothing left under the partial name; before it, what lies there is of
  // no use to anybody.
  deinit { _ = unsafe unlink(partialPath) }

  private func synchronize(_ target: String, flags: CInt) throws(HDF5Error) {
    let descriptor = unsafe open(target, flags | O_CLOEXEC)
    guard descriptor >= 0 else {
      throw .cannotPublish(file: path, call: "open \(target)", reason: systemMessage(errno))
    }
    defer { _ = close(descriptor) }
    // EINVAL: a file system that has nothing to synchronise (some do for directories).
    guard fsync(descriptor) == 0 || errno == EINVAL else {
      throw .cannotPublish(file: path, call: "fsync \(target)", reason: systemMessage(errno))
    }
  }

  private static func split(_ path: String) -> (directory: String, name: String) {
    guard let slash = path.lastIndex(of: "/") else { return (".", path) }
    let directory = slash == path.startIndex ? "/" : String(path[..<slash])
    return (directory, String(path[path.index(after: slash)...]))
  }
}
