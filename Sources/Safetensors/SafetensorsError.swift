import Diagnostics
import Files
import JSON

/// What can be wrong with a safetensors file, a directory of them, or the writing of one.
package enum SafetensorsError: ClassifiedError, Equatable {
  /// The system refused to open, read or map a file; `reason` is its own word.
  case unreadable(path: String, reason: String)
  /// The file is too short for the 8 bytes that give its header's length.
  case tooShort(path: String, byteCount: Int)
  /// The header is said to be longer than the file, or than the format allows.
  case headerLength(path: String, stated: UInt64, limit: Int)
  /// The header is not JSON.
  case headerSyntax(path: String, error: JSONError)
  /// A part of the header is not of the kind it must be.
  case headerField(path: String, field: String, found: String, expected: String)
  /// A type that the format does not have.
  case unknownType(path: String, tensor: String, name: String)
  /// The product of shape and element size does not fit 63 bits, or ends inside a byte.
  case badSize(path: String, tensor: String, shape: [Int], type: String)
  /// The byte range is not what shape and type ask for.
  case wrongByteRange(path: String, tensor: String, expected: Int, begin: Int, end: Int)
  /// The data of two tensors overlap, or bytes between them belong to none.
  case gapOrOverlap(path: String, tensor: String, begin: Int, expected: Int)
  /// Bytes missing at the end, or too many.
  case wrongFileSize(path: String, expected: Int, found: Int)
  /// There is no tensor of that name.
  case missingTensor(path: String, tensor: String, similar: [String])
  /// A tensor of a type that this program does not compute with.
  case unsupportedType(path: String, tensor: String, type: String)
  /// A tensor whose shape is not the one asked for.
  case wrongShape(path: String, tensor: String, shape: [Int], expected: [Int])
  /// No safetensors file in a directory, or several and no index that tells them apart.
  case noModelFile(directory: String, found: [String])
  /// An index that names a file which is not there.
  case missingShard(index: String, shard: String, tensor: String)
  /// An index that names a tensor which its file does not have.
  case missingFromShard(index: String, shard: String, tensor: String)
  /// A shard name that is a path.
  case shardOutsideDirectory(index: String, shard: String)
  /// Two shards that hold the same tensor, and no word in the index which one counts.
  case tensorInTwoShards(tensor: String, first: String, second: String)
  /// A file could not be written; `call` is what failed.
  case unwritable(path: String, call: String, reason: String)
  /// A file's name cannot be taken.
  case file(FileError)
  /// The bytes are not those that the digest in the header was made of.
  case damaged(path: String, expected: String, found: String)
  /// What bitsandbytes saved beside a quantised tensor does not fit it.
  case badQuantization(path: String, tensor: String, problem: String)
  /// The tensor was given to the writer twice.
  case duplicateTensor(path: String, tensor: String)
  /// The tensor was declared to the writer and never written.
  case unwrittenTensor(path: String, tensor: String)

  /// Wrong input, but for what cannot be written.
  package var errorClass: ErrorClass {
    switch self {
    case .unwritable: .output
    case .file(let error): error.errorClass
    case .duplicateTensor, .unwrittenTensor: .failure
    default: .input
    }
  }

  /// What, where, expected and found, how to mend.
  package var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)."
    case .tooShort(let path, let byteCount):
      "\(path) is \(byteCount) bytes long, too short for a safetensors file. \(Self.again)"
    case .headerLength(let path, let stated, let limit):
      "The header of \(path) is said to be \(stated) bytes long; at most \(limit) are possible. "
        + "The file is cut short, or not a safetensors file. \(Self.again)"
    case .headerSyntax(let path, let error):
      "The header of \(path) is damaged: \(error). \(Self.again)"
    case .headerField(let path, let field, let found, let expected):
      "In the header of \(path), \(field) is \(found); it must be \(expected). \(Self.again)"
    case .unknownType(let path, let tensor, let name):
      "Tensor '\(tensor)' in \(path) has the type '\(name)', which safetensors does not have."
    case .badSize(let path, let tensor, let shape, let type):
      "Tensor '\(tensor)' in \(path) is \(shape) of \(type), which is no possible size."
    case .wrongByteRange(let path, let tensor, let expected, let begin, let end):
      "Tensor '\(tensor)' in \(path) lies at bytes \(begin) to \(end); its shape and type ask for "
        + "\(expected) bytes. \(Self.again)"
    case .gapOrOverlap(let path, let tensor, let begin, let expected):
      "Tensor '\(tensor)' in \(path) begins at byte \(begin) of the data; the one before it ends "
        + "at \(expected). \(Self.again)"
    case .wrongFileSize(let path, let expected, let found):
      "\(path) is \(found) bytes long; its header asks for \(expected). "
        + (found < expected ? "The file is cut short. " : "") + Self.again
    case .missingTensor(let path, let tensor, let similar):
      "There is no tensor '\(tensor)' in \(path)."
        + (similar.isEmpty ? "" : " It has '" + similar.joined(separator: "', '") + "'.")
    case .unsupportedType(let path, let tensor, let type):
      "Tensor '\(tensor)' in \(path) is stored as \(type); F32, F16 and BF16 can be computed with. "
        + "Save the model in one of these."
    case .wrongShape(let path, let tensor, let shape, let expected):
      "Tensor '\(tensor)' in \(path) is \(shape); \(expected) is needed."
    case .noModelFile(let directory, let found):
      found.isEmpty
        ? "\(directory) has no *.safetensors file. Save the model with safe_serialization=True."
        : "\(directory) has the files \(found.joined(separator: ", ")) but neither "
          + "model.safetensors nor model.safetensors.index.json, which would say what they hold."
    case .missingShard(let index, let shard, let tensor):
      "\(index) says that '\(tensor)' is in \(shard), which is not there. Copy the missing file."
    case .missingFromShard(let index, let shard, let tensor):
      "\(index) says that '\(tensor)' is in \(shard), which does not have it. \(Self.again)"
    case .shardOutsideDirectory(let index, let shard):
      "\(index) names the file '\(shard)'; only files beside the index are read."
    case .tensorInTwoShards(let tensor, let first, let second):
      "Tensor '\(tensor)' is in \(first) and in \(second). Remove the file that is not the model's."
    case .unwritable(let path, let call, let reason):
      "\(path) cannot be written: \(call) failed: \(reason)."
    case .file(let error): error.description
    case .damaged(let path, let expected, let found):
      "\(path) is damaged: the digest of its bytes is \(found), written was \(expected). "
        + "\(Self.again) (A program that changed the tensors on purpose leaves "
        + "'\(SafetensorsSeal.key)' out of the metadata.)"
    case .badQuantization(let path, let tensor, let problem):
      "Tensor '\(tensor)' in \(path) does not describe a matrix that bitsandbytes quantised: "
        + "\(problem). "
        + Self.again
    case .duplicateTensor(let path, let tensor):
      "Tensor '\(tensor)' was to be written twice to \(path)."
    case .unwrittenTensor(let path, let tensor):
      "Tensor '\(tensor)' of \(path) was declared and not written."
    }
  }

  private static let again = "Copy or download the file again."
}

extension SafetensorsError {
  /// The same failure in this module's words.
  init(_ error: FileError) {
    switch error {
    case .cannotRead(let path, let reason): self = .unreadable(path: path, reason: reason)
    case .cannotWrite(let path, let call, let reason):
      self = .unwritable(path: path, call: call, reason: reason)
    default: self = .file(error)
    }
  }
}
