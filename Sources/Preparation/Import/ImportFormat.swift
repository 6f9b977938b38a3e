import Foundation
import HDF5

/// Files of token ids that other programs wrote, and that `prepare` turns into a dataset.
public enum ImportFormat: String, Sendable, Hashable, CaseIterable {
  /// llm.c's token files: 256 header words of 32 bits, then the ids of one long text.
  case llmc = "llm.c"
  /// Megatron's indexed datasets: `NAME.bin` with ids, `NAME.idx` with where documents lie.
  case megatron
  /// Cerebras' HDF5 files: `data` of shape [examples, 3, length] with ids, loss mask and labels.
  case cerebras
  /// NVIDIA's HDF5 files for BERT: `input_ids`, `input_mask`, and which ids were masked.
  case nvidia

  /// The format in words.
  public var description: String {
    switch self {
    case .llmc: "llm.c token file"
    case .megatron: "Megatron indexed dataset"
    case .cerebras: "Cerebras HDF5 dataset"
    case .nvidia: "NVIDIA HDF5 dataset"
    }
  }

  /// The format that a file's first bytes or, in HDF5, its members tell; nil for any other file.
  public init?(recognizing path: String) {
    let handle = FileHandle(forReadingAtPath: path)
    let head = [UInt8]((try? handle?.read(upToCount: 16)) ?? Data())
    try? handle?.close()
    if LlmcReader.isHeader(head) {
      self = .llmc
    } else if MegatronReader.isHeader(head)
      || (path.hasSuffix(".bin")
        && FileManager.default.fileExists(atPath: path.dropLast(3) + "idx"))
    {
      self = .megatron
    } else if head.starts(with: [0x89, 0x48, 0x44, 0x46]),
      let root = try? HDF5File(reading: path).root
    {
      if CerebrasReader.isLayout(root) {
        self = .cerebras
      } else if NvidiaReader.isLayout(root) {
        self = .nvidia
      } else {
        return nil
      }
    } else {
      return nil
    }
  }

  /// Opens a file.
  func reader(_ path: String, window: Int?) throws(PreparationError) -> any ImportReader {
    switch self {
    case .llmc: try LlmcReader(path, window: window)
    case .megatron: try MegatronReader(path)
    case .cerebras: try CerebrasReader(path)
    case .nvidia: try NvidiaReader(path)
    }
  }

  /// What a file holds, read from end to end.
  ///
  /// - Throws: `PreparationError` where it is damaged.
  public func survey(_ path: String) throws(PreparationError) -> ImportSurvey {
    // A stream without document marks is counted in pieces.
    let reader = try reader(path, window: 1 << 20)
    var survey = ImportSurvey()
    while let (row, _) = try reader.next() {
      survey.examples += 1
      survey.tokens += row.tokens.count
      survey.countedTokens += row.counts.dropFirst().count { $0 }
      survey.longest = max(survey.longest, row.tokens.count)
      survey.largestToken = max(survey.largestToken, row.tokens.max() ?? 0)
    }
    return survey
  }
}

/// What a file of another program holds.
public struct ImportSurvey: Sendable, Hashable {
  /// Documents or examples.
  public internal(set) var examples = 0
  /// Tokens in them.
  public internal(set) var tokens = 0
  /// Targets that count.
  public internal(set) var countedTokens = 0
  /// Tokens of the longest.
  public internal(set) var longest = 0
  /// The largest id: the vocabulary has at least one more.
  public internal(set) var largestToken: UInt32 = 0
}

/// An example as another program wrote it.
struct ImportedExample: Sendable {
  var tokens: [UInt32]
  /// Whether each token counts as a target.
  var counts: [Bool]
}

/// Reads a file of token ids, example by example.
protocol ImportReader: AnyObject {
  /// The next example and its number from 1; nil behind the last.
  func next() throws(PreparationError) -> (example: ImportedExample, number: Int)?
  /// Bytes that were read so far, to show how far the work is.
  var bytesRead: Int { get }
}

/// Rows of several files of another program.
final class ImportSource: RowSource {
  private let paths: [String]
  private let format: ImportFormat
  private let window: Int?
  private var nextPath = 0
  private var reader: (any ImportReader)?
  private var finishedBytes = 0

  init(_ paths: [String], format: ImportFormat, window: Int?) {
    self.paths = paths
    self.format = format
    self.window = window
  }

  var bytesRead: Int { finishedBytes + (reader?.bytesRead ?? 0) }

  func next() throws(PreparationError) -> InputRow? {
    while true {
      if reader == nil {
        guard nextPath < paths.count else { return nil }
        reader = try format.reader(paths[nextPath], window: window)
        nextPath += 1
      }
      if let (example, number) = try reader?.next() {
        return InputRow(
          location: RowLocation(file: paths[nextPath - 1], line: number),
          content: .tokens(example))
      }
      finishedBytes += reader?.bytesRead ?? 0
      reader = nil
    }
  }
}
