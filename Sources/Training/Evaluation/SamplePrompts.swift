import DataParallel
import Diagnostics
import Files
import Foundation
import GGUF
import Generation
import JSON
import Kernels
import Model
import Preparation
import Tokenizers

/// Prompts that a run answers while it trains, so that its progress can be read and not only measured.
///
/// They stand in a file, one a line: a text as it is, `{"prompt": …}`, or `{"messages": […]}`, which
/// the model's chat template turns into text. Answers are greedy. Rank 0 reads the file and the
/// tokenizer; the prompts are dealt to the ranks.
struct SamplePrompts {
  /// Most tokens of an answer.
  static let maximumNewTokens = 64

  /// An answer, on rank 0.
  struct Answer {
    let prompt: String
    let text: String
    let tokenCount: Int
    let finishReason: String
  }

  private let tokens: [[Int]]
  private let endTokens: Set<Int>
  private let texts: [String]  // on rank 0
  private let tokenizer: Tokenizer?  // on rank 0

  /// Reads the prompts; called by all ranks.
  ///
  /// - Parameter tokenizer: in place of the model's.
  /// - Throws: `TrainingError.badPrompts`, on all ranks.
  init(
    path: String, decoder: Decoder, tokenizer source: String?, communicator: Communicator
  ) throws {
    var texts: [String] = []
    var tokenizer: Tokenizer?
    let packed = try communicator.together { () throws -> String in
      guard communicator.rank == 0 else { return "" }
      let reader = try PromptReader(path: path, model: decoder.directory, tokenizer: source)
      let prompts = try reader.prompts(in: decoder)
      texts = prompts.map(\.text)
      tokenizer = reader.tokenizer
      let ends = try EndTokens.of(decoder).union(reader.endTokens)
      return JSONValue.array([
        .array(ends.sorted().map { .int($0) }),
        .array(prompts.map { .array($0.tokens.map { .int($0) }) }),
      ]).text()
    }
    let parts = try JSONValue(
      parsing: Data(try communicator.broadcast(packed, from: 0).utf8)
    ).array
    endTokens = Set((parts?.first?.array ?? []).compactMap(\.int))
    tokens = (parts?.last?.array ?? []).map { ($0.array ?? []).compactMap(\.int) }
    (self.texts, self.tokenizer) = (texts, tokenizer)
  }

  /// Most tokens of a prompt with its answer.
  private func longest(_ decoder: Decoder) -> Int {
    let taken = decoder.virtualTokenCount + decoder.positionOffset
    let room = decoder.configuration.maximumPositions - taken
    return min((tokens.map(\.count).max() ?? 0) + Self.maximumNewTokens, room)
  }

  /// Bytes that answering takes of the decoder's workspace, and besides.
  ///
  /// Nothing is allocated; the decoder must be prepared before the next pass.
  func byteCount(_ decoder: Decoder) throws(ModelError) -> (workspace: Int, besides: Int) {
    let length = longest(decoder)
    let plan = try decoder.prepare(
      for: .inference, maximumTokens: length, maximumSequences: 1, maximumLength: length,
      isPlanned: true)
    return (plan.byteCount, TextGenerator.byteCount(decoder, maximumLength: length))
  }

  /// The answers, on rank 0; called by all ranks.
  ///
  /// The decoder is prepared for inference and must be prepared again to train on.
  ///
  /// - Parameter isCutShort: asked before each prompt.
  /// - Returns: nil on all ranks where it was true on one.
  func answer(
    _ decoder: Decoder, compute: Compute, communicator: Communicator, isCutShort: () -> Bool
  ) throws -> [Answer]? {
    let length = longest(decoder)
    let generator = try communicator.together {
      try TextGenerator(decoder: decoder, compute: compute, maximumLength: length)
    }
    var own: [JSONValue] = []
    for index in stride(from: communicator.rank, to: tokens.count, by: communicator.worldSize) {
      if isCutShort() { break }
      let answer = generator.generate(
        prompt: tokens[index], maximumNewTokens: Self.maximumNewTokens, sampler: Sampler(),
        endTokens: endTokens)
      own.append([
        .int(index), .string(answer.finishReason.rawValue),
        .array(answer.tokens.map { .int($0) }),
      ])
    }
    let all = try communicator.allGather(JSONValue.array(own).text()).flatMap {
      try JSONValue(parsing: Data($0.utf8)).array ?? []
    }
    guard all.count == tokens.count else { return nil }
    var answers: [Answer] = []
    for entry in all.sorted(by: { $0.array?[0].int ?? 0 < $1.array?[0].int ?? 0 }) {
      guard let tokenizer, let index = entry.array?[0].int, let ids = entry.array?[2].array
      else { continue }
      answers.append(
        Answer(
          prompt: texts[index],
          text: tokenizer.decode(
            ids.compactMap { $0.int.map { UInt32($0) } }, skipSpecialTokens: true),
          tokenCount: ids.count, finishReason: entry.array?[1].string ?? ""))
    }
    return answers
  }
}

/// Reads a file of prompts.
private struct PromptReader {
  let tokenizer: Tokenizer
  private(set) var endTokens: Set<Int> = []
  private let path: String
  private let rows: [(line: Int, text: String, messages: [ModelText.Message]?)]
  private let chat: ModelText?

  init(path: String, model: String, tokenizer source: String?) throws {
    self.path = path
    let bytes = try InputFile.bytes(of: path)
    var rows: [(line: Int, text: String, messages: [ModelText.Message]?)] = []
    let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      guard let text = String(validating: line.last == 0x0d ? line.dropLast() : line, as: UTF8.self)
      else {
        throw TrainingError.badPrompts(path: path, line: index + 1, reason: "it is not UTF-8")
      }
      if text.allSatisfy(\.isWhitespace) { continue }
      let (prompt, messages) = try Self.row(text, path: path, line: index + 1)
      rows.append((index + 1, prompt, messages))
    }
    guard !rows.isEmpty else {
      throw TrainingError.badPrompts(path: path, line: nil, reason: "there is no prompt in it")
    }
    self.rows = rows
    if rows.contains(where: { $0.messages != nil }) {
      let text =
        try source.map { try ModelText(tokenizer: $0, model: model) }
        ?? ModelText(directory: model)
      chat = text
      tokenizer = text.tokenizer
      if let end = text.endOfText { endTokens.insert(Int(end)) }
    } else {
      chat = nil
      tokenizer = try source.map { try Tokenizer(anywhere: $0) } ?? Tokenizer(model: model)
    }
  }

  /// What a line says: a text, and the conversation that it stands for, if it is one.
  private static func row(
    _ line: String, path: String, line number: Int
  ) throws -> (String, [ModelText.Message]?) {
    guard line.first == "{" else { return (line, nil) }
    let node: JSONNode
    do throws(JSONError) { node = try JSONNode(parsing: line) } catch {
      throw TrainingError.badPrompts(
        path: path, line: number, reason: "it begins with { and is not JSON: \(error)")
    }
    if let prompt = node["prompt"]?.string { return (prompt, nil) }
    guard let list = node["messages"]?.array else {
      throw TrainingError.badPrompts(
        path: path, line: number,
        reason: "it has neither 'prompt', a text, nor 'messages', a list of role and content")
    }
    let messages = try list.map { message in
      guard let role = message["role"]?.string, let content = message["content"]?.string else {
        throw TrainingError.badPrompts(
          path: path, line: number, reason: "a message has no role or no content")
      }
      return ModelText.Message(role: role, content: content)
    }
    return (list.last?["content"]?.string ?? "", messages)
  }

  func prompts(in decoder: Decoder) throws -> [(text: String, tokens: [Int])] {
    let c = decoder.configuration
    let room = c.maximumPositions - decoder.virtualTokenCount - decoder.positionOffset
    return try rows.map { row in
      var ids: [UInt32]
      if let messages = row.messages {
        guard let text = try chat?.prompt(messages) else {
          throw TrainingError.badPrompts(
            path: path, line: row.line, reason: "the model has no chat template for 'messages'")
        }
        ids = try tokenizer.encode(text)
      } else {
        ids = try tokenizer.encode(row.text, addSpecialTokens: true)
      }
      let tokens = ids.map { Int($0) }
      guard !tokens.isEmpty, tokens.count < room, tokens.allSatisfy({ $0 < c.vocabularySize })
      else {
        throw TrainingError.badPrompts(
          path: path, line: row.line,
          reason: tokens.count >= room
            ? "it has \(tokens.count) tokens, and the model takes \(room) with the answer"
            : "it gives no tokens, or others than the model's \(c.vocabularySize)")
      }
      return (row.text, tokens)
    }
  }
}

extension Trainer {
  /// Answers the sample prompts, into the metrics and the log.
  ///
  /// Where a rank is asked to stop, the answers are left out.
  func answerSamples(step: Int) throws {
    guard let samples = run.samples else { return }
    RunProgress.enter(.evaluation, step: step)
    let answers = try between(.evaluation) {
      let answers = try samples.answer(
        run.decoder, compute: run.compute, communicator: run.communicator,
        isCutShort: { isTimeToStop })
      // The workspace that training needs, again.
      _ = try run.communicator.together { try prepareDecoder() }
      return answers
    }
    // Rank 0 alone has the texts; the others have as many lines to agree on.
    guard let answers else { return }
    for (index, answer) in answers.enumerated() {
      run.logger.info(
        "step \(step)/\(learningRates.totalSteps)  sample \(index + 1): \(Self.shortened(answer.prompt, to: 40)) -> \(Self.shortened(answer.text, to: 80))",
        metadata: ["event": "sample", "step": "\(step)", "index": "\(index)"])
    }
    // The log has what a line holds, the metrics all of it.
    try run.communicator.together {
      for (index, answer) in answers.enumerated() {
        try metrics?.write([
          "event": "sample", "step": .int(step), "index": .int(index),
          "prompt": .string(answer.prompt), "answer": .string(answer.text),
          "tokens": .int(answer.tokenCount), "finish_reason": .string(answer.finishReason),
        ])
      }
    }
  }

  /// A text between quotes, with as many of its characters as a log line has room for.
  private static func shortened(_ text: String, to limit: Int) -> String {
    JSONText.quoted(text.count > limit ? text.prefix(limit - 1) + "…" : text)
  }
}
