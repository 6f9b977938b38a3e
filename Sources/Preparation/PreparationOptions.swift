/// What becomes of an example that is longer than allowed.
public enum ExcessLength: String, Sendable, CaseIterable {
  /// Left out.
  case drop
  /// Cut: the first tokens are kept.
  case truncate
  /// Cut into examples of the length allowed.
  case split
  /// An error.
  case error
}

/// What a document of plain text is.
public enum DocumentUnit: String, Sendable, CaseIterable {
  /// A file.
  case file
  /// A line that is not blank.
  case line
}

/// How rows become a dataset.
public struct PreparationOptions: Sendable {
  /// Files to train on.
  public var inputs: [String] = []
  /// Files to evaluate on.
  public var validation: [String] = []
  /// Share of the rows of `inputs` that is kept for evaluation; 0 is none.
  public var validationShare = 0.0
  /// Where the dataset is written.
  public var output = ""
  /// Whether prompts count too.
  public var trainsOnPrompt = false
  /// Whether the end-of-text token goes behind an example; nil: behind all but conversations, whose
  /// template says how they end.
  public var appendsEndOfText: Bool?
  /// Most tokens of an example.
  public var maxLength: Int?
  /// What becomes of longer ones.
  public var excess = ExcessLength.drop
  /// Whether exact duplicates are left out.
  public var removesDuplicates = false
  /// Whether a broken row is left out; otherwise it ends the work.
  public var skipsBrokenRows = false
  /// What a document of plain text is.
  public var documents = DocumentUnit.file
  /// Which columns stand for the keys of the known forms.
  public var columns = ColumnMapping()
  /// Which program wrote the files, where they hold token ids.
  public var importFormat: ImportFormat?
  /// Examples to keep for showing.
  public var showCount = 0
  /// What the choice of validation rows follows from.
  public var seed: UInt64 = 42
  /// Threads that encode.
  public var threads = 1

  /// The defaults of the command.
  public init() {}
}
