import Datasets
import Files
import Foundation
import GGUF
import Hashing
import Tokenizers

/// Whether a dataset was made with the tokenizer of the model that is to be trained on it.
///
/// A dataset from `prepare` carries the SHA-256 of its tokenizer's file, and that of its tokens.
/// The same file settles it. A different one may be the same tokenizer saved anew (transformers
/// lays the file out in its own way, and truncation settings are in it): where the tokens are the
/// same, that is a warning; where they are not, or the number of ids is neither the model's nor its
/// tokenizer's, the ids mean other words, and the run is refused.
package enum TokenizerAgreement {
  /// What to warn of, if anything.
  ///
  /// Datasets without a hash and models without a tokenizer are taken as they are.
  ///
  /// - Throws: `TrainingError.otherTokenizer`.
  package static func warning(
    dataset: TokenDataset, modelDirectory: String, modelVocabularySize: Int
  ) throws -> String? {
    if GGUFFile.isOne(modelDirectory) {
      return try warning(
        dataset: dataset, tokenizer: try? Tokenizer(model: modelDirectory), path: modelDirectory,
        modelDirectory: modelDirectory, modelVocabularySize: modelVocabularySize)
    }
    if let kind = FileKind.at(modelDirectory), kind != .directory {
      return try warning(
        dataset: dataset, tokenizer: try? Tokenizer(anywhere: modelDirectory), path: modelDirectory,
        modelDirectory: modelDirectory, modelVocabularySize: modelVocabularySize)
    }
    // GPT-2's older directories have the vocabulary alone.
    let paths = ["/tokenizer.json", "/vocab.json"].map { modelDirectory + $0 }
    guard let made = dataset.tokenizerSHA256,
      let path = paths.first(where: { FileManager.default.fileExists(atPath: $0) }),
      let bytes = try? InputFile.bytes(of: path)
    else { return nil }
    // Files beside it may add tokens: then the digest is of them too.
    let isAlone = !["/tokenizer_config.json", "/special_tokens_map.json", "/added_tokens.json"]
      .contains { FileManager.default.fileExists(atPath: modelDirectory + $0) }
    let isSameFile = SHA256.hexadecimal(of: bytes) == made.lowercased()
    if isSameFile, isAlone { return nil }
    // A tokenizer that this program cannot read says nothing about its ids.
    let tokenizer = try? Tokenizer(directory: modelDirectory)
    if tokenizer == nil, isSameFile { return nil }
    return try warning(
      dataset: dataset, tokenizer: tokenizer, path: path, modelDirectory: modelDirectory,
      modelVocabularySize: modelVocabularySize)
  }

  private static func warning(
    dataset: TokenDataset, tokenizer: Tokenizer?, path: String, modelDirectory: String,
    modelVocabularySize: Int
  ) throws -> String? {
    if let made = dataset.tokenizerSHA256, tokenizer?.sha256 == made.lowercased() { return nil }
    if dataset.tokenizerSHA256 == nil { return nil }
    let size = tokenizer?.idLimit ?? modelVocabularySize
    let tokens = tokenizer?.vocabularySHA256
    if let tokens, let others = dataset.vocabularySHA256, tokens != others {
      throw TrainingError.otherTokens(data: dataset.path, tokenizer: path)
    }
    guard [size, modelVocabularySize].contains(dataset.vocabularySize) else {
      throw TrainingError.otherTokenizer(
        data: dataset.path, found: dataset.vocabularySize, tokenizer: path, size: size)
    }
    if tokens != nil, tokens == dataset.vocabularySHA256 {
      return
        "\(dataset.path) was made with a tokenizer file other than \(path); both have the same "
        + "tokens, but may cut text in different ways."
    }
    return
      "\(dataset.path) was made with a tokenizer file other than \(path): unless both are the same "
      + "tokenizer, saved in two ways, the ids mean other words. Make it again with "
      + "'swift-peft-train prepare --model \(modelDirectory)' to be sure."
  }
}
