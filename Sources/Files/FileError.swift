import Diagnostics
import Glibc

/// What can go wrong with a file or directory itself, whatever is in it.
public enum FileError: ClassifiedError, Hashable {
  /// A system call on the way to a finished output failed.
  case cannotWrite(path: String, call: String, reason: String)
  /// An input cannot be opened or read.
  case cannotRead(path: String, reason: String)
  /// An output's name belongs to something that nothing may take the place of.
  case notReplaceable(path: String, kind: String)
  /// A directory that is to be made is there and holds something.
  case notEmpty(path: String, found: String)
  /// A link where only the run's own files may be.
  case linkInside(path: String)

  /// Reading is the input's fault, writing the output's.
  public var errorClass: ErrorClass {
    if case .cannotRead = self { .input } else { .output }
  }

  /// What the system or the rule says, without the path.
  public var reason: String {
    switch self {
    case .cannotWrite(_, let call, let reason): "\(call): \(reason)"
    case .cannotRead(_, let reason): reason
    case .notReplaceable(_, let kind): "it is \(kind)"
    case .notEmpty(_, let found): "it is not empty (\(found))"
    case .linkInside: "it is a symbolic link"
    }
  }

  /// What, where, and how to mend.
  public var description: String {
    switch self {
    case .cannotWrite(let path, let call, let reason):
      "\(path) cannot be written: \(call): \(reason). Check space, quota and permissions, or name "
        + "another place."
    case .cannotRead(let path, let reason): "\(path) cannot be read: \(reason)."
    case .notReplaceable(let path, let kind):
      "\(path) cannot be written: it is \(kind). Name another place."
    case .notEmpty(let path, let found):
      "The directory \(path) is not empty (\(found)). Name another one."
    case .linkInside(let path):
      "\(path) is a symbolic link, and what lies inside an output directory must not be one: it "
        + "would lead somewhere that nobody named. Remove the link, or give the directory that it "
        + "leads to as the output."
    }
  }

  /// The failure of a call that has just set `errno`.
  static func writing(_ path: String, _ call: String) -> FileError {
    .cannotWrite(path: path, call: call, reason: systemReason(errno))
  }

  /// The failure of a call that has just set `errno`.
  static func reading(_ path: String) -> FileError {
    .cannotRead(path: path, reason: systemReason(errno))
  }
}

/// The operating system's words for an error number.
package func systemReason(_ number: CInt) -> String {
  // Unsafe: the text is the thread's own since glibc 2.32, and is copied at once.
  guard let text = unsafe strerror(number) else { return "error \(number)" }
  return unsafe String(cString: text)
}
