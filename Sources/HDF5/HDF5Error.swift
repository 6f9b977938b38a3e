import Diagnostics
import Files

/// What a file was opened for; it decides whether a failure is the input's or the output's.
public enum HDF5Access: Sendable, Hashable {
  /// An input is being read.
  case reading
  /// An output is being written.
  case writing
}

/// Where in which file something happened.
public struct HDF5Location: Sendable, Hashable, CustomStringConvertible {
  /// Path of the file.
  public let file: String
  /// Path of the object in the file, from `/`.
  public let object: String
  /// What the file was opened for.
  public let access: HDF5Access

  /// Names a place.
  public init(file: String, object: String, access: HDF5Access) {
    self.file = file
    self.object = object
    self.access = access
  }

  /// `'/train/tokens' in data.h5`.
  public var description: String { "'\(object)' in \(file)" }

  /// The place of `name` below this one.
  public func member(_ name: String) -> HDF5Location {
    HDF5Location(
      file: file, object: object == "/" ? "/\(name)" : "\(object)/\(name)", access: access)
  }
}

/// One line of HDF5's error stack.
public struct HDF5ErrorFrame: Sendable, Hashable {
  /// The library's function that complained.
  public let function: String
  /// The part of the library, for example `Dataset`.
  public let part: String
  /// The kind of failure, for example `Read failed`.
  public let kind: String
  /// What it said.
  public let message: String

  /// What it said in one line: HDF5 breaks some of its own.
  var line: String { message.split(whereSeparator: \.isNewline).joined(separator: " ") }

  /// The system's reason, where a system call failed: `No space left on device`.
  var systemReason: String? {
    message.firstMatch(of: /error message = '([^']*)'/).map { String($0.1) }
  }
}

/// Everything that can go wrong between us and an HDF5 file.
public enum HDF5Error: ClassifiedError, Hashable {
  /// The operating system does not open the file.
  case cannotOpen(file: String, access: HDF5Access, reason: String)
  /// The file is there and is something else.
  case notHDF5(file: String)
  /// The file ends before the length that it states.
  case truncated(file: String, message: String)
  /// There is no such group or dataset.
  case missingObject(HDF5Location)
  /// There is no such attribute.
  case missingAttribute(HDF5Location, name: String)
  /// A group where a dataset is expected, or the other way round.
  case wrongKind(HDF5Location, expected: HDF5ObjectKind, found: HDF5ObjectKind)
  /// A dataset or attribute of another type; `attribute` is nil for a dataset.
  case wrongType(HDF5Location, attribute: String?, expected: String, found: HDF5DataType)
  /// An attribute that holds several values, or none, where one is expected.
  case wrongCount(HDF5Location, attribute: String, found: Int)
  /// A dataset of another shape.
  case wrongShape(HDF5Location, expected: [Int], found: [Int])
  /// A dataset of more elements than a file of that many bytes can hold however compressed.
  case implausibleSize(HDF5Location, shape: [Int], fileBytes: Int)
  /// A dataset whose data are not, or not all, in its file.
  case foreignStorage(HDF5Location, HDF5Storage)
  /// A dataset in chunks of no elements, or of other dimensions than its own.
  case impossibleChunks(HDF5Location)
  /// What is stored of a dataset, or what a chunk unpacks to, are not as many bytes as its elements take.
  case wrongStoredSize(HDF5Location, isChunk: Bool, bytes: Int, expected: Int)
  /// A link that leads nowhere or out of the file.
  case unusableLink(HDF5Location, HDF5Link)
  /// A dataset packed by a filter that the library lacks.
  case missingFilter(HDF5Location, name: String, number: Int)
  /// A file, or a part of it, in a format that came after the library that is linked.
  case newerFormat(HDF5Location, library: String, message: String)
  /// A stored whole number that the type asked for cannot hold.
  case valueOutOfRange(HDF5Location, index: Int, value: String, expected: HDF5DataType)
  /// Text that is not UTF-8.
  case notText(HDF5Location, attribute: String)
  /// Text of variable length that cannot be read safely.
  case unreadableText(HDF5Location, attribute: String, HDF5TextFault)
  /// Groups nested deeper than any file of ours, probably a loop of links.
  case nestedTooDeeply(HDF5Location, limit: Int)
  /// The file itself cannot be made or published.
  case file(FileError)
  /// An HDF5 function failed; `stack` is its whole error stack, innermost last.
  case callFailed(HDF5Location, function: String, stack: [HDF5ErrorFrame])

  /// Reading is the input's fault, writing the output's.
  public var errorClass: ErrorClass {
    switch self {
    case .cannotOpen(_, let access, _): access == .reading ? .input : .output
    case .notHDF5, .truncated: .input
    case .file(let error): error.errorClass
    case .missingObject(let location), .missingAttribute(let location, _),
      .wrongKind(let location, _, _), .wrongType(let location, _, _, _),
      .wrongCount(let location, _, _), .wrongShape(let location, _, _),
      .implausibleSize(let location, _, _), .foreignStorage(let location, _),
      .wrongStoredSize(let location, _, _, _), .impossibleChunks(let location),
      .unusableLink(let location, _), .missingFilter(let location, _, _),
      .newerFormat(let location, _, _),
      .valueOutOfRange(let location, _, _, _), .notText(let location, _),
      .unreadableText(let location, _, _), .nestedTooDeeply(let location, _),
      .callFailed(let location, _, _):
      location.access == .reading ? .input : .output
    }
  }

  /// The deepest of one chain of calls; behind it the library tells of what failed because of it.
  private static let mostFrames = 8

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .cannotOpen(let file, .reading, let reason):
      return "\(file) cannot be read: \(reason). Check the path and its permissions."
    case .cannotOpen(let file, .writing, let reason):
      return "\(file) cannot be created: \(reason). Check the directory and its permissions."
    case .notHDF5(let file):
      return "\(file) is not an HDF5 file. Name a file that `prepare`, h5py or a run wrote."
    case .truncated(let file, let message):
      return "\(file) is truncated (\(message)). Copy or write it again."
    case .missingObject(let location):
      return "There is no \(location)."
    case .missingAttribute(let location, let name):
      return "\(location) has no attribute '\(name)'."
    case .wrongKind(let location, let expected, let found):
      return "\(location) is a \(found); a \(expected) is expected."
    case .wrongType(let location, let attribute?, let expected, let found):
      return "Attribute '\(attribute)' of \(location) is \(found); \(expected) is expected."
    case .wrongType(let location, nil, let expected, let found):
      return "\(location) holds \(found); \(expected) is expected."
    case .wrongCount(let location, let attribute, let found):
      return "Attribute '\(attribute)' of \(location) holds \(found) values; one is expected."
    case .wrongShape(let location, let expected, let found):
      return "\(location) is \(found); \(expected) is expected."
    case .implausibleSize(let location, let shape, let fileBytes):
      return "\(location) says it is \(shape), but the file has only \(fileBytes) bytes: it is "
        + "damaged. Copy or write it again."
    case .foreignStorage(let location, let storage):
      return "\(location) \(storage). Write the numbers themselves into the file."
    case .impossibleChunks(let location):
      return
        "\(location) is stored in chunks of no elements, or of other dimensions than its own: it is damaged. Copy or write it again."
    case .wrongStoredSize(let location, let isChunk, let bytes, let expected):
      return
        "\(location) has \(isChunk ? "a chunk of " : "")\(bytes) bytes where its elements take \(expected): "
        + "it is damaged. Copy or write it again."
    case .unusableLink(let location, let link):
      return "\(location) is \(link). Put the dataset itself there, or a link within the file."
    case .missingFilter(let location, let name, let number):
      return
        "\(location) is packed by the filter \(name) (number \(number)), which the HDF5 library "
        + "here does not have. Write it with compression='gzip' (h5py), or run "
        + "`h5repack -f GZIP=4 OLD NEW` where that filter is installed."
    case .newerFormat(let location, let library, let message):
      return "\(location) is in a newer format than HDF5 \(library), which is linked here, reads "
        + "(\(message)). Write it with h5py.File(…, libver=('earliest', 'v110')), or run `h5repack "
        + "--low=0 --high=2 OLD NEW` of the newer HDF5."
    case .valueOutOfRange(let location, let index, let value, let expected):
      return "Element \(index) of \(location) is \(value), which is no \(expected)."
    case .notText(let location, let attribute):
      return "Attribute '\(attribute)' of \(location) is not UTF-8 text."
    case .unreadableText(let location, let attribute, let fault):
      return "Attribute '\(attribute)' of \(location) cannot be read: \(fault)"
    case .nestedTooDeeply(let location, let limit):
      return "\(location) lies deeper than \(limit) groups; the file's links may form a loop."
    case .file(let error):
      return error.description
    case .callFailed(let location, let function, let stack):
      let isReading = location.access == .reading
      let mend =
        isReading
        ? "The file may be damaged: copy or write it again." : "Check space, quota and permissions."
      // What the system says is what counts, among dozens of lines about where it was met.
      if let reason = stack.lazy.compactMap(\.systemReason).first {
        return
          "\(location.file) cannot be \(isReading ? "read" : "written"): \(reason) "
          + "(\(function) of '\(location.object)'). \(mend)"
      }
      // From 1.12 on every call goes through layers that say the same again.
      let frames = stack.lazy.filter {
        !$0.function.hasPrefix("H5VL") && !$0.function.hasSuffix("_api_common")
      }.map { frame in
        "\(frame.function): \(frame.line) (\(frame.part): \(frame.kind))"
      }
      return "\(function) failed \(isReading ? "reading" : "writing") \(location). \(mend) "
        + "HDF5 says: " + frames.prefix(Self.mostFrames).joined(separator: "; ")
    }
  }
}
