import Datasets
import Foundation
import Tensors
import Tokenizers

/// Whether a dataset was made with the tokenizer of the model that is to be trained on it.
///
/// A dataset from `prepare` carries the SHA-256 of its tokenizer's file. The same hash settles it. A
/// different one may be the same tokenizer saved anew (transformers lays the file out in its own way,
/// and truncation settings are in it), so that is a warning; but where the number of ids differs from
/// the model's and from its tokenizer's too, the ids mean other words, and the run is refused.
enum TokenizerAgreement {
  /// What to warn of, if anything.
  ///
  /// Datasets without a hash and models without a `tokenizer.json` are taken as they are.
  ///
  /// - Throws: `TrainingError.otherTokenizer`.
  static func warning(
    dataset: TokenDataset, modelDirectory: String, modelVocabularySize: Int
  ) throws -> String? {
    let path = modelDirectory + "/tokenizer.json"
    guard let made = dataset.tokenizerSHA256, FileManager.default.fileExists(atPath: path),
      let bytes = try? Data(contentsOf: URL(fileURLWithPath: path))
    else { return nil }
    if SHA256.hexadecimal(of: bytes) == made.lowercased() { return nil }
    // A tokenizer that this program cannot read says nothing about its number of ids.
    let size = (try? Tokenizer(contentsOf: path))?.idLimit ?? modelVocabularySize
    guard [size, modelVocabularySize].contains(dataset.vocabularySize) else {
      throw TrainingError.otherTokenizer(
        data: dataset.path, found: dataset.vocabularySize, tokenizer: path, size: size)
    }
    return
      "\(dataset.path) was made with a tokenizer file other than \(path): unless both are the same "
      + "tokenizer, saved in two ways, the ids mean other words. Make it again with "
      + "'swift-peft-train prepare --model \(modelDirectory)' to be sure."
  }
}
