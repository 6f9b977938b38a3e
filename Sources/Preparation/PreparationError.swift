import Diagnostics
import HDF5
import JSON

/// Where a row stands.
public struct RowLocation: Sendable, Hashable, CustomStringConvertible {
  /// The file, as it was named.
  public let file: String
  /// Its line, from 1; where a row begins, if it has several.
  public let line: Int

  /// `data.jsonl:17`.
  public var description: String { "\(file):\(line)" }
}

/// What can be wrong with the input of `prepare`.
public enum PreparationError: ClassifiedError {
  /// A file cannot be read.
  case unreadable(path: String, reason: String)
  /// A file of the model's directory is not what it must be.
  case badConfiguration(path: String, field: String, expected: String)
  /// A file of another program is not what it must be.
  case badImport(path: String, reason: String)
  /// An HDF5 file of another program cannot be read.
  case storage(HDF5Error)
  /// A table that cannot be read, or whose columns are not known.
  case badTable(RowLocation, problem: String)
  /// A pattern that fits no file.
  case noMatch(pattern: String)
  /// `--columns` is not what it must be.
  case badColumns(String)
  /// Columns are named, and the file has none.
  case noColumns(path: String)
  /// A column that no row has; `there` are those of the first row.
  case unknownColumn(String, key: String, there: [String])
  /// A row that cannot be used, and that ends the work since this was asked.
  case brokenRow(RowLocation, reason: RowProblem)
  /// An example with more tokens than allowed, where this was to be an error.
  case tooLong(RowLocation, tokens: Int, limit: Int)
  /// The files have no row.
  case noRows(files: [String])
  /// No row could be used; `leftOut` says how many for which reason.
  case nothingUsed(rows: Int, leftOut: String?, first: String?)
  /// A file is compressed, or something else than text.
  case notText(path: String, kind: String, mend: String)
  /// No token of any example counts.
  case nothingCounts(examples: Int)
  /// An end-of-text token is to be put behind examples, and none is known.
  case noEndOfText(tokenizer: String)
  /// The tokenizer lacks the end-of-text token that its configuration names; `configured` is the one
  /// of the model's configuration.
  case missingEndOfText(String, directory: String, tokenizer: String, configured: String?)
  /// The end-of-text token that was named is not in the vocabulary.
  case unknownToken(String, tokenizer: String)

  /// Whose fault it is.
  public var errorClass: ErrorClass {
    switch self {
    case .noEndOfText, .unknownToken, .badColumns, .noColumns: .usage
    case .storage(let error): error.errorClass
    default: .input
    }
  }

  /// What, where, expected and found, how to mend.
  public var description: String {
    switch self {
    case .unreadable(let path, let reason): "\(path) cannot be read: \(reason)."
    case .badImport(let path, let reason):
      "\(path) cannot be imported: \(reason). Check --from, or write the file again."
    case .storage(let error): error.description
    case .badConfiguration(let path, let field, let expected):
      "In \(path), \(field) is not \(expected)."
    case .badTable(let location, let problem): "\(location): \(problem)."
    case .noMatch(let pattern): "No file fits '\(pattern)'."
    case .badColumns(let problem): "--columns: \(problem)."
    case .noColumns(let path):
      "--columns is given, and \(path) is plain text, without columns. Tables end in .csv or .tsv, "
        + "rows of JSON in .jsonl."
    case .unknownColumn(let column, let key, let there):
      "--columns says \(key)=\(column), and no row has '\(column)'; the columns of the first are "
        + "\(there.joined(separator: ", "))."
    case .brokenRow(let location, let reason):
      "\(location): \(reason). Mend the row, or leave such rows out with --on-error skip."
    case .tooLong(let location, let tokens, let limit):
      "\(location) gives \(tokens) tokens; --max-length is \(limit). Raise it, or choose "
        + "--excess-length drop, truncate or split."
    case .noRows(let files):
      "There is no row in \(files.joined(separator: ", ")): nothing but blanks, if that."
    case .nothingUsed(let rows, let leftOut, let first):
      "None of \(rows) rows could be used" + (leftOut.map { " (\($0))" } ?? "")
        + (first.map { "; the first: \($0)" } ?? "") + "."
    case .notText(let path, let kind, let mend): "\(path) is \(kind), not text. \(mend)"
    case .nothingCounts(let examples):
      "None of \(examples) examples has a token that counts in the loss: there is nothing to learn. "
        + "Look at them with --show 3; answers must not be empty, nor cut off by --max-length."
    case .noEndOfText(let tokenizer):
      "The end-of-text token that goes with \(tokenizer) is not known: no tokenizer_config.json "
        + "names an eos_token. Name it with --eos-token, or leave it out with --no-append-eos."
    case .missingEndOfText(let token, let directory, let tokenizer, let configured):
      "The eos_token in \(directory) is '\(token)', which \(tokenizer) does not have"
        + (configured.map { "; the model's eos_token_id is \($0)" } ?? "")
        + ". Mend eos_token in tokenizer_config.json; prepare and generate --chat take another with "
        + "--eos-token."
    case .unknownToken(let token, let tokenizer):
      "--eos-token is '\(token)', which \(tokenizer) does not have."
    }
  }
}

/// Why a row cannot be used.
public enum RowProblem: Error, Sendable, Hashable, CustomStringConvertible {
  /// Not a JSON text.
  case notJSON(String)
  /// A JSON value, but no object.
  case notAnObject(found: String)
  /// None of the known forms has these keys.
  case unknownForm(keys: [String])
  /// A column that `--columns` names.
  case missingColumn(String, key: String, columns: [String])
  /// Another number of fields than the table has columns.
  case wrongFieldCount(Int, columns: [String])
  /// Something between a closing quotation mark and the end of the field.
  case textBehindQuote(column: Int)
  /// A carriage return that ends no line.
  case loneCarriageReturn(column: Int)
  /// A key has a value of another kind.
  case badValue(key: String, expected: String, found: String)
  /// A text that is not UTF-8.
  case notUTF8
  /// A speaker that is not known.
  case unknownRole(String)
  /// `labels` and `input_ids` do not go together.
  case badLabels(String)
  /// Nothing in it.
  case empty
  /// A conversation for a model without a chat template.
  case noTemplate
  /// The chat template failed on it.
  case template(String)
  /// The tokenizer failed on it.
  case tokenizer(String)
  /// A token that the model does not have.
  case tokenOutsideVocabulary(id: Int, vocabulary: Int)
  /// An end-of-text token is to be put behind it, and none is known.
  case noEndOfText
  /// The assistant's words could not be found in what the template made.
  case answerNotFound(message: Int)

  /// The reason in words.
  public var description: String {
    switch self {
    case .notJSON(let problem): "not JSON: \(problem)"
    case .notAnObject(let found): "\(found), where an object is expected"
    case .unknownForm(let keys):
      "the keys \(keys.joined(separator: ", ")) are of no known form (text; prompt, completion; "
        + "messages; instruction, output; conversations; input_ids, labels)"
    case .missingColumn(let column, let key, let columns):
      "there is no column '\(column)' for \(key); there are \(columns.joined(separator: ", "))"
    case .wrongFieldCount(let count, let columns):
      "\(count) \(count == 1 ? "field" : "fields"), where the first line names \(columns.count) columns "
        + "(\(columns.joined(separator: ", "))); a field with the separator or a line end in it stands in "
        + "quotation marks"
    case .textBehindQuote(let column):
      "column \(column): text behind a closing quotation mark; a quotation mark in a quoted field is "
        + "doubled"
    case .loneCarriageReturn(let column):
      "column \(column): a carriage return without a line feed, outside of quotation marks"
    case .badValue(let key, let expected, let found): "'\(key)' is \(found), expected \(expected)"
    case .notUTF8: "a text that is not UTF-8"
    case .unknownRole(let role):
      "the speaker '\(role)' is not known (human, gpt, system, tool, user, assistant)"
    case .badLabels(let problem): problem
    case .empty: "nothing in it"
    case .noTemplate:
      "a conversation, and the model has no chat template: give one with --chat-template FILE"
    case .template(let problem): problem
    case .tokenizer(let problem): problem
    case .tokenOutsideVocabulary(let id, let size):
      "token \(id) is outside the vocabulary of \(size)"
    case .noEndOfText: "the end-of-text token is not known"
    case .answerNotFound(let message):
      "message \(message) cannot be found in what the chat template makes of the conversation; "
        + "a template with {% generation %} would mark it"
    }
  }

  /// The reason in words, where it is a table's columns that are of no known form.
  var ofTable: String {
    guard case .unknownForm(let keys) = self else { return description }
    return
      "the columns \(keys.joined(separator: ", ")) are of no known form (text; prompt, completion; "
      + "messages; instruction, output; conversations). The first line of a table names its columns; "
      + "where these have other names, say which are which: --columns prompt=NAME,completion=NAME"
  }
}
