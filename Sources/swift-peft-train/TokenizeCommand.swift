import ArgumentParser
import Diagnostics
import Foundation
import GGUF
import JSON
import Tokenizers

/// `tokenize`: text to token ids and back, line by line.
struct TokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Text to token ids and back, line by line.",
    discussion: """
      Standard input has a JSON string a line; standard output gets the array of its ids a line. With \
      --decode it is the other way round.
      """)

  @Option(
    help: ArgumentHelp(
      "tokenizer.json, a directory with one, or a GGUF file", valueName: "FILE|DIR"))
  var tokenizer: String
  @Flag(help: "Put the model's begin and end tokens around each text") var addSpecialTokens = false
  @Flag(help: "Read ids, write text") var decode = false

  func run() throws {
    let tokenizer = try Tokenizer(anywhere: tokenizer)
    let reader = LineReader(.standardInput)
    var output = LineOutput()
    while let line = try reader.next() {
      do throws(TokenizeError) {
        output.append(
          decode ? try text(line, tokenizer) : try ids(line, tokenizer))
      } catch {
        // What came before the bad line is good.
        try output.flush()
        throw error
      }
      // Whoever writes one line and waits for its answer gets it.
      if !reader.hasMore || output.isFull { try output.flush() }
    }
    try output.flush()
  }

  private func ids(_ line: InputLine, _ tokenizer: Tokenizer) throws(TokenizeError) -> String {
    let node = try parsed(line)
    guard let text = node.string else {
      throw .notAsExpected(line: line.number, expected: "a JSON string", found: node.kind)
    }
    do throws(TokenizerError) {
      let ids = try tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
      return "[" + ids.map(String.init).joined(separator: ",") + "]"
    } catch { throw .refused(line: line.number, reason: error.description) }
  }

  private func text(_ line: InputLine, _ tokenizer: Tokenizer) throws(TokenizeError) -> String {
    let node = try parsed(line)
    guard let list = node.array else {
      throw .notAsExpected(line: line.number, expected: "an array of token ids", found: node.kind)
    }
    var ids: [UInt32] = []
    for element in list {
      guard let number = element.integer, number >= 0, number < tokenizer.idLimit else {
        throw .notAsExpected(
          line: line.number, expected: "token ids from 0 to \(tokenizer.idLimit - 1)",
          found: element.integer.map(String.init) ?? element.kind)
      }
      ids.append(UInt32(number))
    }
    return Self.oneLine(JSONText.quoted(tokenizer.decode(ids)))
  }

  /// A line for every reader: some, as Python's `splitlines`, end lines at these characters too.
  private static func oneLine(_ json: String) -> String {
    guard json.unicodeScalars.contains(where: { separators.contains($0) }) else { return json }
    var result = ""
    for scalar in json.unicodeScalars {
      if separators.contains(scalar) {
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static let separators: Set<Unicode.Scalar> = ["\u{85}", "\u{2028}", "\u{2029}"]

  private func parsed(_ line: InputLine) throws(TokenizeError) -> JSONNode {
    do throws(JSONError) { return try JSONNode(parsing: line.bytes) } catch {
      throw .notAsExpected(
        line: line.number, expected: decode ? "an array of token ids" : "a JSON string",
        found: "other text (\(error.description))")
    }
  }
}

/// What can be wrong with a line of `tokenize`.
enum TokenizeError: ClassifiedError {
  case notAsExpected(line: Int, expected: String, found: String)
  case refused(line: Int, reason: String)
  case unreadable(reason: String)
  case unwritable(reason: String)

  var errorClass: ErrorClass { if case .unwritable = self { .output } else { .input } }

  var description: String {
    switch self {
    case .notAsExpected(let line, let expected, let found):
      "Line \(line) of standard input is \(found); \(expected) is expected. Write one a line."
    case .refused(let line, let reason): "Line \(line) of standard input: \(reason)"
    case .unreadable(let reason): "Standard input cannot be read: \(reason)."
    case .unwritable(let reason): "Standard output cannot be written: \(reason)."
    }
  }
}
