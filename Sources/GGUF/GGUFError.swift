import Diagnostics
import Files

/// What can be wrong with a GGUF file.
package enum GGUFError: ClassifiedError {
  /// It cannot be opened or read.
  case unreadable(FileError)
  /// The bytes are not what the format has at that place.
  case malformed(path: String, byte: Int, place: String, problem: String)
  /// It is well formed, and nothing that can be read here.
  case unsupported(path: String, what: String, remedy: String)
  /// A key of the metadata is missing or has a value that does not fit.
  case badKey(path: String, key: String, found: String, expected: String)
  /// The parts of a split file do not belong together.
  case badSplit(path: String, problem: String)

  package var errorClass: ErrorClass { .input }

  /// What, where, and how to mend.
  package var description: String {
    switch self {
    case .unreadable(let error): error.description
    case .malformed(let path, let byte, let place, let problem):
      "\(path) is not a sound GGUF file: byte \(byte), \(place): \(problem). Fetch or convert it "
        + "again."
    case .unsupported(let path, let what, let remedy): "\(path): \(what). \(remedy)"
    case .badKey(let path, let key, let found, let expected):
      "The key '\(key)' of \(path) is \(found); expected \(expected). Convert the model again "
        + "with a current llama.cpp, or give its Hugging Face directory."
    case .badSplit(let path, let problem):
      "\(path): \(problem). Give the first part, with all others beside it as they were made."
    }
  }
}
