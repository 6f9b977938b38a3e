import ArgumentParser
import DataParallel
import Foundation
import Generation
import JSON
import Kernels
import Model
import Preparation
import Tokenizers
import Training

/// `generate`: a base, with or without an adapter, continues a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Continue a prompt with base (+ adapter).")

  @OptionGroup var model: BaseOptions
  @Option(
    help: ArgumentHelp("Hugging Face adapter directory or HDF5 checkpoint", valueName: "PATH"))
  var adapter: String?
  // A text may begin with a dash.
  @Option(parsing: .unconditional, help: ArgumentHelp("text to continue", valueName: "TEXT"))
  var prompt: String?
  @Option(help: ArgumentHelp("token ids to continue", valueName: "1,2,3"))
  var promptTokens: String?
  @Option(help: ArgumentHelp("most new tokens", valueName: "N")) var maxNewTokens = 64
  @Option(help: ArgumentHelp("0 takes the likeliest token", valueName: "X")) var temperature = 0.0
  @Option(help: ArgumentHelp("share of probability to draw from", valueName: "X")) var topP = 1.0
  @Option(help: ArgumentHelp("draws follow from it", valueName: "N")) var seed: UInt64 = 0
  @Flag(help: "Put the prompt into the model's chat template, as a user's message") var chat = false
  @Option(help: ArgumentHelp("a chat template in place of the model's own", valueName: "FILE"))
  var chatTemplate: String?
  @Option(help: ArgumentHelp("the token that ends a turn, for --chat", valueName: "TOKEN"))
  var eosToken: String?
  @Flag(help: "Print one JSON object on standard output") var json = false

  func validate() throws {
    if (prompt == nil) == (promptTokens == nil) {
      throw ValidationError("Give either --prompt or --prompt-tokens.")
    }
    if chat && prompt == nil {
      throw ValidationError("--chat needs --prompt: --prompt-tokens are given to the model as is.")
    }
    if !chat,
      let option = chatTemplate.map({ _ in "--chat-template" })
        ?? eosToken.map({ _ in "--eos-token" })
    {
      throw ValidationError("\(option) goes with --chat alone.")
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
    let compute = try model.compute(
      ProcessorShare(communicator: communicator), communicator)
    let warn = { (text: String) in Failure.write("warning: \(text)") }
    try model.withModel(adapter: adapter, communicator, on: compute, warn: warn) { decoder in
      let prompt = try prompt(decoder)
      let length = try prompt.length(maximumNewTokens: maxNewTokens, decoder: decoder)
      if length - prompt.tokens.count < maxNewTokens {
        Failure.write(
          "warning: the model has positions for \(length - prompt.tokens.count) new tokens only")
      }
      let generator = try TextGenerator(
        decoder: decoder, compute: compute, maximumLength: length)
      let answer = answer(prompt, generator)
      if json { print(object(answer, prompt.tokenizer).text()) }
    }
  }

  private func prompt(_ decoder: Decoder) throws -> Prompt {
    let source = model.tokenizer
    guard let text = prompt else {
      return try Prompt(list: promptTokens ?? "", decoder: decoder, tokenizer: source)
    }
    return chat
      ? try Prompt(
        message: text, decoder: decoder, tokenizer: source,
        chatTemplate: chatTemplate.map { .file($0) } ?? .model, endOfText: eosToken)
      : try Prompt(text: text, decoder: decoder, tokenizer: source)
  }

  /// The model's answer, shown while it is made unless JSON is asked for.
  private func answer(_ prompt: Prompt, _ generator: TextGenerator) -> GeneratedTokens {
    var stream = prompt.tokenizer?.streamingDecoder()
    var isFirst = true
    let answer = generator.generate(
      prompt: prompt.tokens, maximumNewTokens: maxNewTokens,
      sampler: Sampler(temperature: temperature, topP: topP, seed: seed),
      endTokens: prompt.endTokens
    ) { token in
      if !json { show(stream?.append(UInt32(token)) ?? (isFirst ? "" : ",") + "\(token)") }
      isFirst = false
      return true
    }
    if !json { show((stream?.finish() ?? "") + "\n") }
    return answer
  }

  private func show(_ text: String) {
    if !text.isEmpty { FileHandle.standardOutput.write(Data(text.utf8)) }
  }

  private func object(_ answer: GeneratedTokens, _ tokenizer: Tokenizer?) -> JSONValue {
    let ids = answer.tokens.map { UInt32($0) }
    return [
      "text": tokenizer.map { .string($0.decode(ids, skipSpecialTokens: true)) } ?? .null,
      "tokens": .array(answer.tokens.map { .int($0) }),
      "finish_reason": .string(answer.finishReason.rawValue),
    ]
  }
}
