import Foundation
import Hashing
import JSON

/// What the files beside `tokenizer.json` add to it, as transformers 5 takes them.
///
/// Tokens of `added_tokens_decoder` (`tokenizer_config.json`) or, where that is missing, of
/// `added_tokens.json` come first, in the order of their stated ids; then the named special tokens,
/// those of the model's own kinds (`image_token`), and the further ones. Each that is not there gets the
/// next free id, whatever id was stated, as transformers gives it.
///
/// The pipeline stays that of `tokenizer.json`. transformers 5 throws it away for some classes and
/// builds it anew from the vocabulary (`LlamaTokenizer`: a Metaspace that puts its mark at the start of
/// the text alone, so that ids behind special tokens differ from those of the file, which the
/// model was trained with and other programs use). Of what such classes are told, `add_prefix_space` alone
/// is followed, where `tokenizer_config.json` names one of them.
struct BesideFiles {
  /// Classes that set `add_prefix_space` of ByteLevel, without which it is false.
  private static let byteLevelClasses: Set<String> = [
    "GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast",
    "RobertaTokenizer", "RobertaTokenizerFast",
  ]
  private static let names = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map {
    $0 + "_token"
  }

  /// Tokens in the order in which they are added.
  private(set) var tokens: [AddedTokenSpecification] = []
  /// Those of them that are named without a number.
  private(set) var unnumbered: Set<String> = []
  /// What ByteLevel is told.
  private(set) var addsPrefixSpace: Bool?

  /// Reads what is there of a directory's files.
  init(directory: String) throws(TokenizerError) {
    let configuration = try Self.document(directory + "/tokenizer_config.json")
    let node = configuration.node
    if let name = node["tokenizer_class"]?.string, Self.byteLevelClasses.contains(name) {
      addsPrefixSpace = node["add_prefix_space"]?.bool ?? false
    }
    var named: [(key: String, node: JSONNode, isMap: Bool)] = []
    var further: [(node: JSONNode, isMap: Bool)] = []
    func take(_ node: JSONNode, isMap: Bool) {
      for (key, value) in node.object?.members ?? [] where !value.isNull {
        if key == "extra_special_tokens", let kinds = value.object?.members {
          for (name, token) in kinds { named.append((name, token, isMap)) }
        } else if key == "extra_special_tokens" || key == "additional_special_tokens" {
          let own = key == "additional_special_tokens" && node["extra_special_tokens"] != nil
          if !own { further += (value.array ?? []).map { ($0, isMap) } }
        } else if key.hasSuffix("_token"), value.string != nil || value["content"] != nil {
          // A later file's token stands for the earlier one of that name.
          named.removeAll { $0.key == key }
          named.append((key, value, isMap))
        }
      }
    }
    take(node, isMap: false)
    if let numbered = node["added_tokens_decoder"]?.object {
      for (key, value) in numbered.members.sorted(by: { Int($0.key) ?? 0 < Int($1.key) ?? 0 }) {
        add(try configuration.reader.besideToken(value, isSpecial: false))
        if Int(key) == nil {
          throw configuration.bad("added_tokens_decoder", key, "token ids as keys")
        }
      }
    } else {
      let map = try Self.document(directory + "/special_tokens_map.json")
      take(map.node, isMap: true)
      let special = Set(
        (named.map(\.node) + further.map(\.node)).compactMap { $0.string ?? $0["content"]?.string })
      let older = try Self.document(directory + "/added_tokens.json")
      for (token, id) in (older.node.object?.members ?? []).sorted(by: {
        $0.value.integer ?? 0 < $1.value.integer ?? 0
      }) {
        if id.integer == nil { throw older.bad(token, id.kind, "a token id") }
        let isSpecial = special.contains(token)
        add(
          AddedTokenSpecification(
            content: token, isNormalized: !isSpecial, isSpecial: isSpecial))
      }
    }
    // The names that every tokenizer has come first, in their order.
    let order = { (key: String) in Self.names.firstIndex(of: key) ?? Self.names.count }
    let sorted = named.enumerated().sorted {
      (order($0.element.key), $0.offset) < (order($1.element.key), $1.offset)
    }.map(\.element)
    for (node, isMap) in sorted.map({ ($0.node, $0.isMap) }) + further {
      var token = try configuration.reader.besideToken(node, isSpecial: isMap || node.string != nil)
      if let known = tokens.firstIndex(where: { $0.content == token.content }) {
        tokens[known].isSpecial = true
      } else {
        token.isSpecial = true
        unnumbered.insert(token.content)
        add(token)
      }
    }
  }

  private mutating func add(_ token: AddedTokenSpecification) {
    if !tokens.contains(where: { $0.content == token.content }) { tokens.append(token) }
  }

  /// A file and what it holds: nothing where there is no such file.
  private struct Document {
    let reader: TokenizerReader
    let node: JSONNode

    func bad(_ field: String, _ found: String, _ expected: String) -> TokenizerError {
      .badField(path: reader.path, field: field, found: found, expected: expected)
    }
  }

  private static func document(_ path: String) throws(TokenizerError) -> Document {
    let reader = TokenizerReader(path: path)
    guard FileManager.default.fileExists(atPath: path) else {
      return Document(reader: reader, node: .object(JSONObject([])))
    }
    let bytes = try Tokenizer.contents(path)
    do { return Document(reader: reader, node: try JSONNode(parsing: bytes)) } catch {
      throw .syntax(path: path, error: error)
    }
  }
}

extension TokenizerParts {
  /// Takes what the files beside add; the digest then stands for both.
  mutating func add(_ beside: BesideFiles) {
    var changes = ""
    let known = Set(addedTokens.map { Array($0.content.utf8) })
    let further = beside.tokens.filter { !known.contains(Array($0.content.utf8)) }
    if !further.isEmpty {
      let own = addedTokens.map { token in
        AddedTokenSpecification(
          content: token.content, isSingleWord: token.isSingleWord, stripsLeft: token.stripsLeft,
          stripsRight: token.stripsRight, isNormalized: token.isNormalized,
          isSpecial: token.isSpecial)
      }
      addedTokens = AddedTokenSpecification.numbered(own + further, model)
      namedOnly = Set(further.map(\.content)).intersection(beside.unnumbered).filter {
        model.vocabulary.value(Array($0.utf8)) == nil
      }
      changes += further.map { "\($0)" }.joined(separator: "\n")
    }
    if let adds = beside.addsPrefixSpace, let changed = preTokenizer?.adding(prefixSpace: adds) {
      preTokenizer = changed
      changes += "\nadd_prefix_space \(adds)"
    }
    if !changes.isEmpty { sha256 = SHA256.hexadecimal(of: Array((sha256 + changes).utf8)) }
  }
}

extension PreTokenizer {
  /// With ByteLevel's `add_prefix_space` set; nil where nothing changes.
  fileprivate func adding(prefixSpace: Bool) -> PreTokenizer? {
    switch self {
    case .byteLevel(let adds, let pattern):
      return adds == prefixSpace ? nil : .byteLevel(addsPrefixSpace: prefixSpace, pattern: pattern)
    case .sequence(let parts):
      let changed = parts.map { $0.adding(prefixSpace: prefixSpace) }
      guard changed.contains(where: { $0 != nil }) else { return nil }
      return .sequence(zip(parts, changed).map { $1 ?? $0 })
    default: return nil
    }
  }
}
