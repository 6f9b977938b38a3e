import Datasets

/// What `prepare` did with every row, and what it made.
public struct PreparationReport: Sendable {
  /// What one split holds.
  public struct Split: Sendable {
    /// Tokens of each example that was written.
    public var lengths = LengthStatistics()
    /// Tokens that count in the loss.
    public var countedTokens = 0
    /// Examples that were there before in this split, whether they were left out or not.
    public var duplicates = 0
  }

  /// A row that could not be used.
  public struct BrokenRow: Sendable {
    /// Where it stands.
    public let location: RowLocation
    /// Why.
    public let problem: RowProblem
  }

  /// Most broken rows that are named; all are counted.
  public static let namedRows = 10

  /// Where the dataset is.
  public var output = ""
  /// Rows of all files.
  public var rowsRead = 0
  /// Rows of each form.
  public var forms: [RowForm: Int] = [:]
  /// The columns that stand for the keys of the forms.
  public var columns = ColumnMapping()
  /// What is written.
  public var splits: [SplitName: Split] = [.train: Split()]
  /// Rows that could not be used.
  public var brokenCount = 0
  /// The first of them.
  public var brokenRows: [BrokenRow] = []
  /// Examples left out since they are too long.
  public var droppedLong = 0
  /// Examples that were cut.
  public var truncated = 0
  /// Examples that were cut into several.
  public var divided = 0
  /// Examples left out since no token of them counts.
  public var withoutTarget = 0
  /// Examples in which nothing counts but tokens that end an answer.
  public var onlyEnds = 0
  /// Examples left out since they were there before.
  public var removedDuplicates = 0
  /// Examples for validation that are in the training split too.
  public var acrossSplits = 0
  /// Whether duplicates were left out.
  public var removesDuplicates = false
  /// Answers in conversations.
  public var answers = 0
  /// Answers that do not end with a token that stops generation.
  public var unclosedAnswers = 0
  /// Texts that begin with the begin token, and got another one.
  public var doubleBegins = 0
  /// How Alpaca's rows and conversations were put into words.
  public var templateName: String?
  /// The longest example that the model takes, if known.
  public var maximumPositions: Int?
  /// The limit that was set.
  public var maxLength: Int?
  /// Examples to show, token by token.
  public var shown: [String] = []

  /// Examples written.
  public var examples: Int { splits.values.reduce(0) { $0 + $1.lengths.count } }
  /// Tokens that count, in all splits.
  public var countedTokens: Int { splits.values.reduce(0) { $0 + $1.countedTokens } }

  /// What the user should know before training, a line each.
  public var warnings: [String] {
    var lines: [String] = []
    if withoutTarget > 0 {
      lines.append(
        "\(withoutTarget) \(withoutTarget == 1 ? "example" : "examples") had no token that counts in the loss: left out"
      )
    }
    if onlyEnds > 0 {
      lines.append(
        "in \(onlyEnds) \(onlyEnds == 1 ? "example" : "examples") only the end token counts: is the "
          + "answer empty?")
    }
    if unclosedAnswers > 0 {
      lines.append(
        "\(unclosedAnswers) of \(answers) answers do not end with a token that stops generation: the "
          + "model will not learn to stop; see --append-eos, or mend the chat template")
    }
    if doubleBegins > 0 {
      lines.append(
        "\(doubleBegins) \(doubleBegins == 1 ? "text begins" : "texts begin") with the begin token, which "
          + "the tokenizer puts before each: there are two now; take it out of the rows")
    }
    if acrossSplits > 0, !removesDuplicates {
      lines.append(
        "\(acrossSplits) examples for validation are in the training split too: the evaluation "
          + "will look better than it is; leave them out with --deduplicate")
    }
    let longest = splits.values.map(\.lengths.maximum).max() ?? 0
    if let maximumPositions, longest > maximumPositions {
      lines.append(
        "the longest example has \(longest) tokens, the model takes \(maximumPositions); train cuts "
          + "what is longer")
    }
    if splits[.validation]?.lengths.count == 0 {
      lines.append("no row fell to the validation split")
    }
    return lines
  }
}
