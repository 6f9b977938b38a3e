import Glibc

/// What has a name in a directory.
package enum FileKind: Sendable {
  /// A regular file.
  case file
  /// A directory.
  case directory
  /// A symbolic link, where links are not followed.
  case link
  /// A named pipe.
  case pipe
  /// A socket.
  case socket
  /// Anything else, such as `/dev/null`.
  case device

  init(_ mode: mode_t) {
    switch mode & S_IFMT {
    case S_IFREG: self = .file
    case S_IFDIR: self = .directory
    case S_IFLNK: self = .link
    case S_IFIFO: self = .pipe
    case S_IFSOCK: self = .socket
    default: self = .device
    }
  }

  /// What `path` leads to, links followed; nil where that is nothing.
  package static func at(_ path: String) -> FileKind? {
    var status = stat()
    // Unsafe: the call reads the path and fills the structure.
    return unsafe stat(path, &status) == 0 ? FileKind(status.st_mode) : nil
  }

  /// What is at `path`, links not followed; nil where there is nothing.
  static func of(_ path: String) -> FileKind? {
    var status = stat()
    // Unsafe: the call reads the path and fills the structure.
    return unsafe lstat(path, &status) == 0 ? FileKind(status.st_mode) : nil
  }

  /// Words for it.
  var name: String {
    switch self {
    case .file: "a file"
    case .directory: "a directory"
    case .link: "a symbolic link"
    case .pipe: "a named pipe"
    case .socket: "a socket"
    case .device: "a device"
    }
  }

  /// Why it is not read; nil for a file.
  var problem: String? { self == .file ? nil : "it is \(name), not a file" }
}
