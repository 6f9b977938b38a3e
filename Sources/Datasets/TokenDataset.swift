import Files
import HDF5

/// A tokenised dataset file, opened and checked: the splits that training and evaluation read.
///
/// ```swift
/// let dataset = try TokenDataset(path: "data.h5", modelVocabularySize: 49152, maxLength: 1024)
/// try dataset.train.load(batch.microBatch(0), into: buffer)
/// ```
///
/// Opening reads every split once from end to end: each token is compared with the vocabulary, each
/// mask value with 0 and 1, and the counted tokens of each example are summed. What opening has
/// passed needs no further check. It does not know tokenizers, padding or batches' order.
public final class TokenDataset {
  /// The file.
  public let path: String
  /// `vocab_size`: every token id lies below it.
  public let vocabularySize: Int
  /// SHA-256 of the tokenizer file that made it, as its maker wrote it, if it did.
  public let tokenizerSHA256: String?
  /// SHA-256 of that tokenizer's tokens, however its file spells them, if `prepare` wrote it.
  public let vocabularySHA256: String?
  /// What is trained on.
  public let train: TokenSplit
  /// What is evaluated on, if the file has it.
  public let validation: TokenSplit?

  /// `format` of every dataset file.
  public static let format = "swift-peft-dataset"
  /// The version of the table that this program reads and writes.
  public static let version: Int64 = 1

  /// Opens and checks a file.
  ///
  /// Throws `DatasetError`.
  ///
  /// - Parameters:
  ///   - path: an HDF5 file.
  ///   - modelVocabularySize: number of ids that the model knows; nil when there is none yet.
  ///   - maxLength: longer examples are cut to this many tokens wherever they are read.
  ///   - memoryBudgetBytes: a split whose tokens and masks (5 bytes a token) fit is kept in memory,
  ///     and loading then neither reads nor allocates; a larger one is read from the file, example
  ///     by example, through HDF5. The default holds 53 million tokens.
  public init(
    path: String, modelVocabularySize: Int? = nil, maxLength: Int? = nil,
    memoryBudgetBytes: Int = 256 << 20
  ) throws(DatasetError) {
    precondition(maxLength ?? 1 > 0, "examples cut to \(maxLength ?? 0) tokens")
    self.path = path
    let root = try storage { () throws(HDF5Error) in try HDF5File(reading: path).root }
    try TokenDataset.checkFormat(root, path)
    let vocabulary: Int64 = try storage { () throws(HDF5Error) in try root.number("vocab_size") }
    guard vocabulary > 0, let limit = UInt32(exactly: vocabulary) else {
      throw .impossibleVocabulary(file: path, found: vocabulary)
    }
    vocabularySize = Int(limit)
    if let modelVocabularySize, vocabularySize > modelVocabularySize {
      throw .vocabularyTooLarge(file: path, found: vocabularySize, model: modelVocabularySize)
    }
    tokenizerSHA256 = try storage { () throws(HDF5Error) in
      try root.hasAttribute("tokenizer_sha256") ? root.text("tokenizer_sha256") : nil
    }
    vocabularySHA256 = try storage { () throws(HDF5Error) in
      try root.hasAttribute("vocabulary_sha256") ? root.text("vocabulary_sha256") : nil
    }
    let scan = SplitScan(
      root: root, vocabularySize: limit, maxLength: maxLength, memoryBudgetBytes: memoryBudgetBytes)
    train = try scan.open(.train)
    let hasValidation = try storage { () throws(HDF5Error) in
      try root.kind(of: SplitName.validation.rawValue) != nil
    }
    validation = hasValidation ? try scan.open(.validation) : nil
  }

  /// The split of a name.
  ///
  /// Throws `DatasetError.missing` for a validation split that is not there.
  public func split(_ name: SplitName) throws(DatasetError) -> TokenSplit {
    switch name {
    case .train: return train
    case .validation:
      guard let validation else { throw .missing(file: path, object: "/validation") }
      return validation
    }
  }

  /// Hashes of everything that is trained on or evaluated, by its place in the file.
  public var digests: [(name: String, hash: UInt64)] {
    [train, validation].compactMap(\.self).flatMap { split in
      [
        ("\(split.name)/tokens", split.tokenHash), ("\(split.name)/loss_mask", split.maskHash),
        ("\(split.name)/offsets", split.offsetHash),
      ]
    }
  }

  /// A stable text that tells datasets apart.
  ///
  /// It is a hash of all splits' tokens, masks and offsets, whatever types and filters they are
  /// stored with, and whatever `maxLength` is.
  public var fingerprint: String {
    var hash = ContentHash()
    for split in [train, validation].compactMap(\.self) {
      hash.update(text: split.name.rawValue)
      hash.update(split.contentHash)
    }
    return hash.text
  }

  private static func checkFormat(_ root: HDF5Group, _ path: String) throws(DatasetError) {
    let found = try storage { () throws(HDF5Error) -> String? in
      guard try root.hasAttribute("format"), case .text = try root.attributeType("format") else {
        return nil
      }
      return try root.text("format")
    }
    guard found == format else { throw .notADataset(file: path, found: found) }
    let version: Int64 = try storage { () throws(HDF5Error) in try root.number("version") }
    guard version == self.version else { throw .unknownVersion(file: path, found: version) }
  }
}

/// Runs what may fail in the file and says so in this module's error.
func storage<Result: ~Copyable>(
  _ body: () throws(HDF5Error) -> Result
) throws(DatasetError) -> Result {
  do { return try body() } catch { throw .storage(error) }
}
