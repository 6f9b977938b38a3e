import ArgumentParser
import Benchmarking

/// `tokenizers`: how fast texts are encoded.
struct TokenizersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizers",
    abstract: "Encoding by one thread; peers/tokenizers_peer.py does the same.")

  @OptionGroup var common: CommonOptions
  @Argument(help: ArgumentHelp("A tokenizer.json", valueName: "TOKENIZER")) var tokenizer: String
  @Argument(help: ArgumentHelp("Some megabytes of text", valueName: "TEXT")) var text: String

  func run() throws {
    try common.report(
      Machine(program: nil),
      try TokenizerBenchmark.run(
        tokenizerPath: tokenizer, textPath: text, isQuick: common.quick))
  }
}
