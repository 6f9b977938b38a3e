import Diagnostics
import HDF5

/// The two splits of a dataset file.
public enum SplitName: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// What is trained on.
  case train
  /// What is evaluated on.
  case validation

  /// The group's name.
  public var description: String { rawValue }
}

/// A split of a file, for messages.
public struct SplitLocation: Sendable, Hashable, CustomStringConvertible {
  /// Path of the file.
  public let file: String
  /// Which split.
  public let split: SplitName

  /// Names a split.
  public init(file: String, split: SplitName) {
    self.file = file
    self.split = split
  }

  /// `/train of data.h5`.
  public var description: String { "/\(split) of \(file)" }
}

/// What can be wrong with a dataset, said so that its maker can mend it.
public enum DatasetError: ClassifiedError, Hashable {
  /// The file cannot be opened, read or written.
  case storage(HDF5Error)
  /// An HDF5 file of another kind; `found` is its `format`, if it has one.
  case notADataset(file: String, found: String?)
  /// A version that this program does not know.
  case unknownVersion(file: String, found: Int64)
  /// `vocab_size` is not a possible number of tokens.
  case impossibleVocabulary(file: String, found: Int64)
  /// The dataset was made for a larger vocabulary than the model's.
  case vocabularyTooLarge(file: String, found: Int, model: Int)
  /// A group or dataset of the table is not there.
  case missing(file: String, object: String)
  /// A dataset of the table is not a vector of whole numbers.
  case notAVector(file: String, object: String, shape: [Int], type: HDF5DataType)
  /// `loss_mask` and `tokens` differ in length.
  case lengthsDiffer(SplitLocation, tokens: Int, lossMask: Int)
  /// A split without examples.
  case noExamples(SplitLocation)
  /// `offsets[0]` is not 0.
  case offsetsStart(SplitLocation, found: UInt64)
  /// The last offset is not the number of tokens.
  case offsetsEnd(SplitLocation, found: UInt64, tokens: Int)
  /// An example that would end before it starts.
  case offsetsDecrease(SplitLocation, example: Int, start: UInt64, end: UInt64)
  /// An example without tokens.
  case emptyExample(SplitLocation, example: Int)
  /// A token that the vocabulary does not have.
  case tokenOutsideVocabulary(
    SplitLocation, example: Int, position: Int, token: String, vocabulary: Int)
  /// A mask value other than 0 and 1.
  case maskValue(SplitLocation, example: Int, position: Int, value: String)
  /// No token of any example counts.
  case nothingCounts(SplitLocation, examples: Int, cutTo: Int?)

  /// Whose fault it is: the file's, unless it could not be written.
  public var errorClass: ErrorClass {
    if case .storage(let error) = self { return error.errorClass }
    return .input
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .storage(let error):
      return error.description
    case .notADataset(let file, let found?):
      return "\(file) has format '\(found)'; a dataset has 'swift-peft-dataset'. "
        + "Name a file made by `prepare` or to the dataset table."
    case .notADataset(let file, nil):
      return "\(file) has no text attribute 'format' on '/'; a dataset has "
        + "format = 'swift-peft-dataset'. Name a file made by `prepare`, or set the attribute."
    case .unknownVersion(let file, let found):
      return "\(file) is a dataset of version \(found); this program reads version 1. "
        + "Make it again with this program's `prepare`."
    case .impossibleVocabulary(let file, let found):
      return "vocab_size in \(file) is \(found); it must lie in 1 ... 4294967295. "
        + "Set it to the tokenizer's number of tokens."
    case .vocabularyTooLarge(let file, let found, let model):
      return "\(file) was made for a vocabulary of \(found) tokens; the model has \(model). "
        + "Make the dataset again with the model's own tokenizer."
    case .missing(let file, let object):
      return "\(file) has no \(object). A dataset has tokens, loss_mask and offsets in /train, and "
        + "all three or no group in /validation."
    case .notAVector(let file, let object, let shape, let type):
      return "\(object) in \(file) is \(type) of shape \(shape); whole numbers in one dimension "
        + "are expected. Write it as a flat integer array."
    case .lengthsDiffer(let location, let tokens, let lossMask):
      return "loss_mask in \(location) has \(lossMask) values; tokens has \(tokens). "
        + "Write one mask value for each token."
    case .noExamples(let location):
      return "\(location) has no examples. "
        + (location.split == .train
          ? "Give `prepare` rows to train on." : "Leave the group out or fill it.")
    case .offsetsStart(let location, let found):
      return "offsets[0] in \(location) is \(found); it must be 0."
    case .offsetsEnd(let location, let found, let tokens):
      return "The last of offsets in \(location) is \(found); it must be the number of tokens, "
        + "\(tokens). The file may have been cut: make it again."
    case .offsetsDecrease(let location, let example, let start, let end):
      return "Example \(example) in \(location) starts at \(start) and ends at \(end): "
        + "offsets must grow from one example to the next."
    case .emptyExample(let location, let example):
      return "Example \(example) in \(location) has no tokens. Leave it out of offsets."
    case .tokenOutsideVocabulary(let location, let example, let position, let token, let size):
      return "Token \(position) of example \(example) in \(location) is \(token); the vocabulary "
        + "has \(size), so ids end at \(size - 1). "
        + "Make the dataset again with the model's own tokenizer."
    case .maskValue(let location, let example, let position, let value):
      return "loss_mask \(position) of example \(example) in \(location) is \(value); "
        + "it must be 0 or 1."
    case .nothingCounts(let location, let examples, let cutTo):
      let cut = cutTo.map { " in their first \($0) tokens (--max-length)" } ?? ""
      return "None of the \(examples) examples in \(location) has a token that counts\(cut): "
        + "there is nothing to learn. Set loss_mask to 1 where the model shall answer."
    }
  }
}
