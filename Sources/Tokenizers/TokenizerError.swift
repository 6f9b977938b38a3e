import Diagnostics
import JSON

/// What can be wrong with a tokenizer's files, or with a text for it.
public enum TokenizerError: ClassifiedError, Equatable {
  /// The system refused to read a file.
  case unreadable(path: String, reason: String)
  /// The file is not JSON.
  case syntax(path: String, error: JSONError)
  /// A part of the file is not of the kind it must be; `field` is its path in the file.
  case badField(path: String, field: String, found: String, expected: String)
  /// The file uses something that this program does not know, so that its tokens would be guesses.
  case unsupported(path: String, field: String, found: String)
  /// A merge names a token that the vocabulary does not have.
  case mergeOutsideVocabulary(path: String, merge: Int, token: String)
  /// A regular expression that this program cannot read.
  case badPattern(path: String, field: String, pattern: String, problem: String)
  /// Following the file would take more time or memory than any sane file asks for.
  case limit(path: String, field: String, problem: String)
  /// Neither `tokenizer.json` nor `vocab.json` with `merges.txt` is there.
  case noTokenizer(directory: String)
  /// The text has a character without a token, and the unknown token is not in the vocabulary.
  case unknownTokenMissing(path: String, token: String)

  /// Always wrong input.
  public var errorClass: ErrorClass { .input }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)."
    case .syntax(let path, let error): "\(path) is not JSON: \(error)."
    case .badField(let path, let field, let found, let expected):
      "In \(path), \(field) is \(found); it must be \(expected)."
    case .unsupported(let path, let field, let found):
      "\(path) uses \(found) in \(field), which this program does not know; it refuses to guess "
        + "token ids. Tokenise with Hugging Face and give `prepare` rows of input_ids and labels."
    case .mergeOutsideVocabulary(let path, let merge, let token):
      "Merge \(merge) of \(path) needs the token '\(token)', which the vocabulary does not have."
    case .badPattern(let path, let field, let pattern, let problem):
      "In \(path), \(field), this program cannot read the regular expression '\(pattern)': \(problem)."
    case .limit(let path, let field, let problem):
      "In \(path), \(field): \(problem). No published tokenizer does so; compare the file with that of "
        + "the model's page."
    case .noTokenizer(let directory):
      "\(directory) has neither tokenizer.json nor vocab.json with merges.txt. Copy tokenizer.json "
        + "from the model's page."
    case .unknownTokenMissing(let path, let token):
      "The text has a character that \(path) has no token for, and its unknown token '\(token)' is "
        + "not in the vocabulary."
    }
  }
}
