import ArgumentParser
import DataParallel
import Foundation
import Generation
import JSON
import Kernels
import Model
import Tensors
import Tokenizers
import Training

/// `generate`: a base, with or without an adapter, continues a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continue a prompt with base (+ adapter).")

  @OptionGroup var model: ModelOptions
  @Option(help: ArgumentHelp("text to continue", valueName: "TEXT")) var prompt: String?
  @Option(help: ArgumentHelp("token ids to continue", valueName: "1,2,3"))
  var promptTokens: String?
  @Option(help: ArgumentHelp("most new tokens", valueName: "N")) var maxNewTokens = 64
  @Option(help: ArgumentHelp("0 takes the likeliest token", valueName: "X")) var temperature = 0.0
  @Option(help: ArgumentHelp("share of probability to draw from", valueName: "X")) var topP = 1.0
  @Option(help: ArgumentHelp("draws follow from it", valueName: "N")) var seed: UInt64 = 0
  @Flag(help: "Print one JSON object on standard output") var json = false

  func validate() throws {
    if (prompt == nil) == (promptTokens == nil) {
      throw ValidationError("Give either --prompt or --prompt-tokens.")
    }
    if maxNewTokens < 1 { throw ValidationError("--max-new-tokens must be 1 or more.") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature must be 0 or more.")
    }
    if !(topP > 0 && topP <= 1) { throw ValidationError("--top-p must be above 0, at most 1.") }
  }

  func run() throws {
    // One process: a prompt's tokens come one after the other, so ranks have nothing to share.
    let communicator = Communicator(alone: ())
    let threads = try model.threads ?? ProcessorShare(communicator: communicator).threads
    try model.withModel(communicator) { decoder in
      // A model without a tokenizer still continues token ids.
      let hasTokenizer = FileManager.default.fileExists(atPath: model.model + "/tokenizer.json")
      let tokenizer =
        prompt != nil || hasTokenizer ? try Tokenizer(directory: model.model) : nil
      let tokens = try promptIDs(tokenizer, decoder.configuration.vocabularySize)
      let generator = try TextGenerator(
        decoder: decoder, compute: Compute(threads: threads),
        maximumLength: tokens.count + maxNewTokens)
      let answer = generator.generate(
        prompt: tokens, maximumNewTokens: maxNewTokens,
        sampler: Sampler(temperature: temperature, topP: topP, seed: seed),
        endTokens: Set(decoder.configuration.endTokens))
      let text = tokenizer?.decode(answer.tokens.map { UInt32($0) })
      if json {
        let value: JSONValue = [
          "text": text.map { .string($0) } ?? .null,
          "tokens": .array(answer.tokens.map { .int($0) }),
          "finish_reason": .string(answer.finishReason.rawValue),
        ]
        print(value.text())
      } else {
        print(text ?? answer.tokens.map(String.init).joined(separator: ","))
      }
    }
  }

  /// The prompt in tokens, each known to the model.
  private func promptIDs(_ tokenizer: Tokenizer?, _ vocabularySize: Int) throws -> [Int] {
    var ids: [Int] = []
    if let prompt, let tokenizer {
      ids = try tokenizer.encode(prompt, addSpecialTokens: true).map { Int($0) }
    }
    for part in (promptTokens ?? "").split(separator: ",") {
      guard let id = Int(part.trimmingCharacters(in: .whitespaces)) else {
        throw PromptError.notANumber(String(part))
      }
      ids.append(id)
    }
    if ids.isEmpty { throw PromptError.empty }
    if let id = ids.first(where: { $0 < 0 || $0 >= vocabularySize }) {
      throw PromptError.unknownToken(id, vocabularySize: vocabularySize)
    }
    return ids
  }
}

/// What can be wrong with a prompt.
enum PromptError: ClassifiedError {
  case notANumber(String)
  case empty
  case unknownToken(Int, vocabularySize: Int)

  var errorClass: ErrorClass { .usage }

  var description: String {
    switch self {
    case .notANumber(let text):
      "--prompt-tokens has '\(text)', which is no token id. Give numbers with commas between them."
    case .empty: "The prompt has no token. Give at least one."
    case .unknownToken(let id, let size):
      "The prompt has token \(id); the model knows 0 to \(size - 1). Check that tokenizer and model "
        + "belong together."
    }
  }
}
