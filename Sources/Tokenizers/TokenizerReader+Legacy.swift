import Foundation
import Hashing
import JSON

extension TokenizerReader {
  /// Reads `vocab.json` and `merges.txt` as GPT-2's tokenizer, the only one that both describe fully.
  ///
  /// Added and special tokens are those of `tokenizer_config.json`, `special_tokens_map.json` and
  /// `added_tokens.json`, as transformers takes them.
  ///
  /// - Throws: `unsupported` where `tokenizer_config.json` names another tokenizer, or a token's id
  ///   is not the next free one.
  static func legacyParts(directory: String) throws(TokenizerError) -> TokenizerParts {
    let reader = TokenizerReader(path: directory + "/vocab.json")
    let configuration = TokenizerReader(path: directory + "/tokenizer_config.json")
    let node = try optionalDocument(configuration.path) ?? .null
    if let name = node["tokenizer_class"]?.string,
      name != "GPT2Tokenizer", name != "GPT2TokenizerFast"
    {
      throw .unsupported(path: configuration.path, field: "tokenizer_class", found: "'\(name)'")
    }
    if try configuration.bool(node, "add_eos_token", "the file", default: false) {
      throw .unsupported(path: configuration.path, field: "add_eos_token", found: "'true'")
    }
    let addsPrefixSpace =
      try configuration.bool(node, "add_prefix_space", "the file", default: false)
    let bytes = try Tokenizer.contents(reader.path)
    let vocabulary = try reader.vocabulary(try document(reader.path), "the file")
    let mergesPath = directory + "/merges.txt"
    var lines = try Tokenizer.contents(mergesPath)
      .split(separator: 0x0a, omittingEmptySubsequences: false).map { Array($0) }
    for index in lines.indices where lines[index].last == 0x0d { lines[index].removeLast() }
    if lines.last?.isEmpty == true { lines.removeLast() }
    var options = BPEModel.Options()
    options.unknownToken = nil
    let model = try BPEModel(
      path: reader.path, vocabulary: vocabulary,
      merges: try TokenizerReader(path: mergesPath).merges(lines), options: options)
    let (added, first) = try legacyTokens(directory, configuration, node, model)
    var postProcessor: PostProcessor?
    if try configuration.bool(node, "add_bos_token", "the file", default: false) {
      let id = added.first { $0.content == first }?.id
      postProcessor = .template([.special(id.map { [$0] } ?? []), .text])
    }
    return TokenizerParts(
      path: reader.path, sha256: SHA256.hexadecimal(of: bytes), model: model, normalizer: nil,
      preTokenizer: .byteLevel(
        addsPrefixSpace: addsPrefixSpace,
        pattern: try reader.program(PreTokenizer.byteLevelPattern, "ByteLevel")),
      postProcessor: postProcessor, decoder: .byteLevel, addedTokens: added)
  }

  /// Added tokens with their numbers, and the text of the first token of a text.
  private static func legacyTokens(
    _ directory: String, _ configuration: TokenizerReader, _ node: JSONNode, _ model: BPEModel
  ) throws(TokenizerError) -> (added: [AddedToken], first: String) {
    let endOfText = "<|endoftext|>"
    var list: [AddedTokenSpecification] = []
    var stored: [(content: String, id: Int, path: String)] = []
    var map: JSONNode?
    if let described = node["added_tokens_decoder"]?.object {
      for (key, value) in described.members.sorted(by: { Int($0.key) ?? 0 < Int($1.key) ?? 0 }) {
        let token = try configuration.besideToken(value, isSpecial: false)
        list.append(token)
        stored.append((token.content, Int(key) ?? -1, configuration.path))
      }
    } else {
      map = try optionalDocument(directory + "/special_tokens_map.json")
      let path = directory + "/added_tokens.json"
      let members = try optionalDocument(path)?.object?.members ?? []
      for (key, value) in members.sorted(by: { $0.value.integer ?? 0 < $1.value.integer ?? 0 }) {
        list.append(AddedTokenSpecification(content: key, isNormalized: true, isSpecial: false))
        stored.append((key, value.integer ?? -1, path))
      }
    }
    var first = endOfText
    for key in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"].map({ $0 + "_token" }) {
      guard let value = map?[key] ?? node[key], !value.isNull else { continue }
      let token = try configuration.besideToken(value, isSpecial: true)
      if key == "bos_token" { first = token.content }
      if !list.contains(where: { $0.content == token.content }) { list.append(token) }
    }
    if !list.contains(where: { $0.content == endOfText }) {
      list.append(AddedTokenSpecification(content: endOfText))
    }
    for value in (map?["additional_special_tokens"] ?? node["additional_special_tokens"])?.array
      ?? []
    {
      let token = try configuration.besideToken(value, isSpecial: true)
      guard list.contains(where: { $0.content == token.content }) else {
        throw .unsupported(
          path: configuration.path, field: "additional_special_tokens",
          found: "'\(token.content)', which no file numbers,")
      }
    }
    let added = AddedTokenSpecification.numbered(list, model)
    for (content, id, path) in stored {
      let number = added.first { $0.content == content }?.id
      guard number == UInt32(exactly: id) else {
        throw .unsupported(
          path: path, field: "'\(content)'", found: "the id \(id), which is not the next free one,")
      }
    }
    return (added, first)
  }

  /// A token that is a string, or an object that describes it.
  func besideToken(
    _ node: JSONNode, isSpecial: Bool
  ) throws(TokenizerError) -> AddedTokenSpecification {
    if let content = node.string {
      return AddedTokenSpecification(content: content, isSpecial: isSpecial)
    }
    let field = "a token"
    let isSpecial = try bool(node, "special", field, default: isSpecial)
    return AddedTokenSpecification(
      content: try string(node, "content", field),
      isSingleWord: try bool(node, "single_word", field, default: false),
      stripsLeft: try bool(node, "lstrip", field, default: false),
      stripsRight: try bool(node, "rstrip", field, default: false),
      isNormalized: try bool(node, "normalized", field, default: !isSpecial),
      isSpecial: isSpecial)
  }

  private static func optionalDocument(_ path: String) throws(TokenizerError) -> JSONNode? {
    FileManager.default.fileExists(atPath: path) ? try document(path) : nil
  }

  private static func document(_ path: String) throws(TokenizerError) -> JSONNode {
    do { return try JSONNode(parsing: try Tokenizer.contents(path)) } catch let error as JSONError {
      throw .syntax(path: path, error: error)
    } catch let error as TokenizerError {
      throw error
    } catch {
      throw .unreadable(path: path, reason: "\(error)")
    }
  }
}
