import Diagnostics
import Files
import HDF5

/// What can be wrong with a checkpoint, or with writing one.
public enum CheckpointError: ClassifiedError, Hashable {
  /// The file cannot be opened, read or written.
  case storage(HDF5Error)
  /// An HDF5 file of another kind; `found` is its `format`, if it has one.
  case notACheckpoint(file: String, found: String?)
  /// A version that this program does not know.
  case unknownVersion(file: String, found: Int64)
  /// The file has no seal: it was not completed, was cut, or was changed by another program.
  case noSeal(file: String)
  /// The bytes are not those that were written.
  case damaged(file: String, expected: UInt64, found: UInt64)
  /// A tensor that the run needs is not there.
  case missingTensor(file: String, section: CheckpointSection, name: String)
  /// A tensor that the run does not have.
  case unexpectedTensor(file: String, section: CheckpointSection, name: String)
  /// A tensor of another shape than the run's.
  case wrongShape(file: String, tensor: String, expected: [Int], found: [Int])
  /// A dataset of a type that no checkpoint holds.
  case wrongType(file: String, object: String, found: HDF5DataType)
  /// What was just written could not be read back as it was meant.
  case notVerified(file: String, reason: String)
  /// A system call on a checkpoint or its directory failed.
  case system(path: String, call: String, reason: String, access: HDF5Access)

  /// Reading is the input's fault, writing the output's; a checkpoint that does not fit its run is
  /// the user's choice of run.
  public var errorClass: ErrorClass {
    switch self {
    case .storage(let error): error.errorClass
    case .notVerified: .output
    case .system(_, _, _, let access): access == .reading ? .input : .output
    default: .input
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .storage(let error):
      return error.description
    case .notACheckpoint(let file, let found):
      let what = found.map { "format '\($0)'" } ?? "no text attribute 'format'"
      return "\(file) has \(what); a checkpoint has 'swift-peft-checkpoint'. "
        + "Name a file from a run's checkpoints directory."
    case .unknownVersion(let file, let found):
      return "\(file) is a checkpoint of version \(found); this program reads version 1."
    case .noSeal(let file):
      return
        "\(file) does not end with a digest: the checkpoint is incomplete, cut, or was changed "
        + "by another program. Use an older one or another copy."
    case .damaged(let file, let expected, let found):
      return "\(file) is damaged: the digest of its bytes is \(String(found, radix: 16)), written "
        + "was \(String(expected, radix: 16)). Use an older checkpoint or another copy."
    case .missingTensor(let file, let section, let name):
      return "\(file) has no '\(name)' in /\(section.rawValue). "
        + "Go on with the method and configuration that the checkpoint was made with."
    case .unexpectedTensor(let file, let section, let name):
      return "\(file) has '\(name)' in /\(section.rawValue), which this run does not train. "
        + "Go on with the method and configuration that the checkpoint was made with."
    case .wrongShape(let file, let tensor, let expected, let found):
      return "'\(tensor)' in \(file) is \(found); this run has \(expected). "
        + "Go on with the method and configuration that the checkpoint was made with."
    case .wrongType(let file, let object, let found):
      return "'\(object)' in \(file) holds \(found), which no checkpoint does."
    case .notVerified(let file, let reason):
      return "\(file) was written and did not read back as meant: \(reason) "
        + "Check the disk; earlier checkpoints are untouched."
    case .system(let path, let call, let reason, _):
      return "\(path): \(call): \(reason). Check the path, its permissions and the space."
    }
  }
}

/// Runs what may fail in the file and says so in this module's error.
func storage<Result: ~Copyable>(
  _ body: () throws(HDF5Error) -> Result
) throws(CheckpointError) -> Result {
  do { return try body() } catch { throw .storage(error) }
}

/// Runs what may fail on the way to a finished file and says so in this module's error.
func publishing<Result: ~Copyable>(
  _ body: () throws(FileError) -> Result
) throws(CheckpointError) -> Result {
  do { return try body() } catch { throw .storage(.file(error)) }
}
