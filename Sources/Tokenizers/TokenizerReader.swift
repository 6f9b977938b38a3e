import Files
import Foundation
import Hashing
import JSON

/// What a tokenizer is made of, read and checked.
struct TokenizerParts {
  var path: String
  var sha256: String
  var model: BPEModel
  var normalizer: Normalizer?
  var preTokenizer: PreTokenizer?
  var postProcessor: PostProcessor?
  var decoder: TokenDecoder?
  var addedTokens: [AddedToken]
  /// Special tokens that no file numbers.
  var namedOnly: Set<String> = []
}

extension Tokenizer {
  /// Reads a `tokenizer.json`.
  ///
  /// - Parameter path: a `tokenizer.json`.
  /// - Parameter directory: where `tokenizer_config.json`, `special_tokens_map.json` and
  ///   `added_tokens.json` lie, which may add tokens as in transformers; nil: the file alone is
  /// read.
  /// - Throws: what is wrong with it or not known to this reader, class `input`.
  public convenience init(
    contentsOf path: String, configuredBy directory: String? = nil
  ) throws(TokenizerError) {
    let bytes = try Self.contents(path)
    let document: JSONNode
    do { document = try JSONNode(parsing: bytes) } catch {
      throw .syntax(path: path, error: error)
    }
    let reader = TokenizerReader(path: path)
    var parts = try reader.parts(document, sha256: SHA256.hexadecimal(of: bytes))
    if let directory { parts.add(try BesideFiles(directory: directory)) }
    try self.init(parts)
  }

  /// Reads the tokenizer of a model directory: `tokenizer.json` with what the files beside it add
  /// to it, else GPT-2's `vocab.json` with `merges.txt`.
  ///
  /// - Throws: `noTokenizer`; what is wrong with the files or not known to this reader.
  public convenience init(directory: String) throws(TokenizerError) {
    let manager = FileManager.default
    if manager.fileExists(atPath: directory + "/tokenizer.json") {
      try self.init(contentsOf: directory + "/tokenizer.json", configuredBy: directory)
    } else if manager.fileExists(atPath: directory + "/vocab.json"),
      manager.fileExists(atPath: directory + "/merges.txt")
    {
      try self.init(try TokenizerReader.legacyParts(directory: directory))
    } else {
      throw .noTokenizer(directory: directory)
    }
  }

  /// Reads what a `tokenizer.json` would hold, made of another file.
  ///
  /// - Parameters:
  ///   - document: an object as `tokenizer.json` has it.
  ///   - path: that file, for messages.
  ///   - sha256: a digest of what it was made of.
  public convenience init(
    document: JSONNode, path: String, sha256: String
  ) throws(TokenizerError) {
    try self.init(try TokenizerReader(path: path).parts(document, sha256: sha256))
  }

  /// Reads a tokenizer by its file or its directory.
  public convenience init(fileOrDirectory path: String) throws(TokenizerError) {
    if FileKind.at(path) == .directory {
      try self.init(directory: path)
    } else {
      try self.init(contentsOf: path)
    }
  }

  /// The bytes of a file.
  static func contents(_ path: String) throws(TokenizerError) -> [UInt8] {
    do throws(FileError) { return try InputFile.bytes(of: path) } catch {
      throw .unreadable(path: path, reason: error.reason)
    }
  }
}

/// Reads the parts of a `tokenizer.json` file.
///
/// Each part is told by its `type`; a type or a field that is
/// not known here is refused, since leaving it out would change tokens in silence.
struct TokenizerReader {
  let path: String
  /// Bytes of an added token, which is looked for at every place of a text.
  private static let tokenLength = 1 << 10

  func parts(_ document: JSONNode, sha256: String) throws(TokenizerError) -> TokenizerParts {
    try check(
      document, "the file",
      known: [
        "version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
        "post_processor", "decoder", "model",
      ])
    if let version = document["version"], version.string != "1.0" {
      throw .unsupported(path: path, field: "version", found: "'\(version.string ?? version.kind)'")
    }
    for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
      try checkSize(document[part] ?? .null, part)
    }
    let model = try model(document["model"] ?? .null)
    let normalizer = try part(document["normalizer"], "normalizer", normalizer)
    return TokenizerParts(
      path: path, sha256: sha256, model: model, normalizer: normalizer,
      preTokenizer: try part(document["pre_tokenizer"], "pre_tokenizer", preTokenizer),
      postProcessor: try part(document["post_processor"], "post_processor", postProcessor),
      decoder: try checked(try part(document["decoder"], "decoder", decoder)),
      addedTokens: try addedTokens(document["added_tokens"], model))
  }

  private func part<Part>(
    _ node: JSONNode?, _ field: String,
    _ read: (JSONNode, String) throws(TokenizerError) -> Part
  ) throws(TokenizerError) -> Part? {
    guard let node, !node.isNull else { return nil }
    return try read(node, field)
  }

  /// Refuses parts of so many parts that a text would go through them for minutes, and ByteLevels
  /// that write each other's bytes as characters.
  private func checkSize(_ node: JSONNode, _ field: String) throws(TokenizerError) {
    let (parts, byteLevels) = Self.count(node)
    if parts > 1000 {
      throw .limit(path: path, field: field, problem: "it has \(parts) parts, more than 1000")
    }
    if byteLevels > 4 {
      throw .limit(path: path, field: field, problem: "it has \(byteLevels) of ByteLevel")
    }
  }

  private static func count(_ node: JSONNode) -> (parts: Int, byteLevels: Int) {
    var sum = (parts: 0, byteLevels: 0)
    switch node {
    case .object(let object):
      sum.parts = 1
      if object["type"]?.string == "ByteLevel" { sum.byteLevels = 1 }
      for (_, value) in object.members {
        let more = count(value)
        sum = (sum.parts + more.parts, sum.byteLevels + more.byteLevels)
      }
    case .array(let elements):
      for element in elements {
        let more = count(element)
        sum = (sum.parts + more.parts, sum.byteLevels + more.byteLevels)
      }
    default: break
    }
    return sum
  }

  /// A decoder that makes texts of a sane length in a sane time.
  private func checked(_ decoder: TokenDecoder?) throws(TokenizerError) -> TokenDecoder? {
    guard let decoder else { return nil }
    if decoder.growth > 256 {
      throw .limit(
        path: path, field: "decoder", problem: "a token becomes more than 256 times as long")
    }
    if decoder.hasLoops {
      throw .unsupported(
        path: path, field: "decoder", found: "a regular expression that repeats a group")
    }
    return decoder
  }

  // MARK: The model

  private func model(_ node: JSONNode) throws(TokenizerError) -> BPEModel {
    let field = "model"
    if let type = node["type"]?.string, type != "BPE" {
      throw .unsupported(path: path, field: "model.type", found: "'\(type)'")
    }
    try check(
      node, field,
      known: [
        "type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
        "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges",
      ])
    if let dropout = node["dropout"]?.double, dropout != 0 {
      throw .unsupported(path: path, field: "model.dropout", found: "random merges (\(dropout))")
    }
    var options = BPEModel.Options()
    options.unknownToken = try optionalString(node, "unk_token", field)
    options.continuingPrefix = try optionalString(node, "continuing_subword_prefix", field) ?? ""
    options.endOfWordSuffix = try optionalString(node, "end_of_word_suffix", field) ?? ""
    options.fusesUnknown = try bool(node, "fuse_unk", field, default: false)
    options.fallsBackToBytes = try bool(node, "byte_fallback", field, default: false)
    options.ignoresMerges = try bool(node, "ignore_merges", field, default: false)
    return try BPEModel(
      path: path, vocabulary: try vocabulary(node["vocab"] ?? .null, "model.vocab"),
      merges: try merges(node["merges"] ?? .null), options: options)
  }

  func vocabulary(
    _ node: JSONNode, _ field: String
  ) throws(TokenizerError) -> [(token: [UInt8], id: UInt32)] {
    guard let members = node.object?.members else {
      throw .badField(path: path, field: field, found: node.kind, expected: "an object")
    }
    var result: [(token: [UInt8], id: UInt32)] = []
    result.reserveCapacity(members.count)
    for (token, value) in members {
      // Above this a list by id would be mostly holes.
      guard let id = value.integer, id >= 0, id < max(1 << 20, 16 * members.count),
        id < 1 << 28
      else {
        throw .badField(
          path: path, field: "\(field).\(token)",
          found: value.integer.map { "\($0)" } ?? value.kind, expected: "a token id")
      }
      result.append((Array(token.utf8), UInt32(id)))
    }
    return result
  }

  /// Merges as `"a b"` or as `["a", "b"]`.
  private func merges(
    _ node: JSONNode
  ) throws(TokenizerError) -> [(left: [UInt8], right: [UInt8])] {
    guard let elements = node.array else {
      throw .badField(path: path, field: "model.merges", found: node.kind, expected: "a list")
    }
    if elements.first?.string != nil {
      var lines: [[UInt8]] = []
      lines.reserveCapacity(elements.count)
      for element in elements {
        guard let line = element.string else { throw badMerge(lines.count, element.kind) }
        lines.append(Array(line.utf8))
      }
      return try merges(lines)
    }
    var result: [(left: [UInt8], right: [UInt8])] = []
    result.reserveCapacity(elements.count)
    for element in elements {
      guard let pair = element.array, pair.count == 2, let left = pair[0].string,
        let right = pair[1].string
      else { throw badMerge(result.count, element.kind) }
      result.append((Array(left.utf8), Array(right.utf8)))
    }
    return result
  }

  /// Merges as lines `a b`; comments with the file's version are passed over.
  func merges(
    _ lines: [[UInt8]]
  ) throws(TokenizerError) -> [(left: [UInt8], right: [UInt8])] {
    var result: [(left: [UInt8], right: [UInt8])] = []
    result.reserveCapacity(lines.count)
    for line in lines where !line.starts(with: Array("#version".utf8)) {
      let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw badMerge(result.count, "'\(String(decoding: line, as: UTF8.self))'")
      }
      result.append((Array(parts[0]), Array(parts[1])))
    }
    return result
  }

  private func badMerge(_ index: Int, _ found: String) -> TokenizerError {
    .badField(
      path: path, field: "model.merges[\(index)]", found: found, expected: "two tokens")
  }

  // MARK: Added tokens

  private func addedTokens(
    _ node: JSONNode?, _ model: BPEModel
  ) throws(TokenizerError) -> [AddedToken] {
    guard let node, !node.isNull else { return [] }
    guard let elements = node.array else {
      throw .badField(path: path, field: "added_tokens", found: node.kind, expected: "a list")
    }
    var specifications: [AddedTokenSpecification] = []
    for (index, element) in elements.enumerated() {
      let field = "added_tokens[\(index)]"
      if let length = element["content"]?.string?.utf8.count, length > Self.tokenLength {
        throw .limit(
          path: path, field: field,
          problem: "a token of \(length) bytes, more than \(Self.tokenLength)")
      }
      try check(
        element, field,
        known: ["id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"])
      specifications.append(
        AddedTokenSpecification(
          content: try string(element, "content", field),
          isSingleWord: try bool(element, "single_word", field, default: false),
          stripsLeft: try bool(element, "lstrip", field, default: false),
          stripsRight: try bool(element, "rstrip", field, default: false),
          isNormalized: try bool(element, "normalized", field, default: true),
          isSpecial: try bool(element, "special", field, default: false)))
    }
    return AddedTokenSpecification.numbered(specifications, model)
  }
}

/// An added token without its number.
struct AddedTokenSpecification {
  var content: String
  var isSingleWord = false
  var stripsLeft = false
  var stripsRight = false
  var isNormalized = false
  var isSpecial = true

  /// Numbers as the reference gives them, which does not use those of the file: the vocabulary's
  /// where the token is in it, else the next one that is free.
  static func numbered(_ list: [AddedTokenSpecification], _ model: BPEModel) -> [AddedToken] {
    var next = UInt32(model.count)
    var known = ByteStringTable()
    var result: [AddedToken] = []
    for item in list where !item.content.isEmpty {
      let key = Array(item.content.utf8)
      let id: UInt32
      if let earlier = known.value(key) ?? model.vocabulary.value(key) {
        id = earlier
      } else {
        id = next
        next += 1
      }
      known.set(key, to: id)
      result.append(
        AddedToken(
          content: item.content, id: id, isSingleWord: item.isSingleWord,
          stripsLeft: item.stripsLeft, stripsRight: item.stripsRight,
          isNormalized: item.isNormalized, isSpecial: item.isSpecial))
    }
    return result
  }
}
