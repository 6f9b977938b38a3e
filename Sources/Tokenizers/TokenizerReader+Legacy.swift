import Foundation
import JSON
import Tensors

extension TokenizerReader {
  /// Reads `vocab.json` and `merges.txt` as GPT-2's tokenizer, the only one that both describe fully.
  ///
  /// - Throws: `unsupported` where `tokenizer_config.json` names another tokenizer.
  static func legacyParts(directory: String) throws(TokenizerError) -> TokenizerParts {
    let reader = TokenizerReader(path: directory + "/vocab.json")
    let endOfText = "<|endoftext|>"
    var special = [endOfText]
    let configuration = directory + "/tokenizer_config.json"
    var addsPrefixSpace = false
    if FileManager.default.fileExists(atPath: configuration) {
      let node = try document(configuration)
      if let name = node["tokenizer_class"]?.string,
        name != "GPT2Tokenizer", name != "GPT2TokenizerFast"
      {
        throw .unsupported(path: configuration, field: "tokenizer_class", found: "'\(name)'")
      }
      for key in ["bos_token", "eos_token", "unk_token", "pad_token"] {
        // A token is a string, or an object that describes it.
        if let token = node[key]?.string ?? node[key]?["content"]?.string, !special.contains(token)
        {
          special.append(token)
        }
      }
      addsPrefixSpace = node["add_prefix_space"]?.bool ?? false
    }
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
    return TokenizerParts(
      path: reader.path, sha256: SHA256.hexadecimal(of: bytes), model: model, normalizer: nil,
      preTokenizer: .byteLevel(
        addsPrefixSpace: addsPrefixSpace,
        pattern: try reader.program(PreTokenizer.byteLevelPattern, "ByteLevel")),
      postProcessor: nil, decoder: .byteLevel,
      addedTokens: AddedTokenSpecification.numbered(
        special.map { AddedTokenSpecification(content: $0) }, model))
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
