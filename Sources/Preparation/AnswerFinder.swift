import JSON
import Templates

/// Finds what the assistant says in the text that a template made of a conversation.
///
/// A template with `{% generation %}` marks it. Elsewhere an answer is what the template put out while
/// its loop stood at the assistant's message, without the header that also asks for an answer
/// (`add_generation_prompt`), and up to its end token: the line break that some templates put behind
/// it is not the model's to write. Where no loop stood at the message, the texts of the conversation
/// up to it and with it are compared, which only works where the one begins the other.
struct AnswerFinder: Sendable {
  private let text: ModelText
  private let template: Template
  /// What precedes an answer, in UTF-8.
  private let header: [UInt8]
  /// Tokens with which a turn may end, in UTF-8.
  private let closers: [[UInt8]]

  /// What was found.
  struct Answers {
    var text: String
    /// The answers, as ranges of UTF-8 bytes.
    var ranges: [Range<Int>]
    /// Answers that do not end with a stop token.
    var unclosedCount = 0
  }

  init?(_ text: ModelText) {
    guard let template = text.template else { return nil }
    self.text = text
    self.template = template
    header = Self.header(text, template)
    closers = text.tokenizer.addedTokens
      .filter { $0.isSpecial || text.stopTokens.contains($0.id) }.map { Array($0.content.utf8) }
  }

  /// What a template writes in front of an answer: what it adds when it asks for one, else what it
  /// puts before one.
  private static func header(_ text: ModelText, _ template: Template) -> [UInt8] {
    func message(_ role: String, _ content: String) -> JSONNode {
      .object(JSONObject([("role", .string(role)), ("content", .string(content))]))
    }
    let question = message("user", "x")
    guard let plain = try? template.render(text.variables([question])).text.utf8 else { return [] }
    if let asking = try? template.render(text.variables([question], asksForAnswer: true)).text.utf8,
      asking.starts(with: plain), asking.count > plain.count
    {
      return Array(asking.dropFirst(plain.count))
    }
    // A word that no template writes.
    let mark = Array("q7Zx".utf8)
    let both = [question, message("assistant", "q7Zx")]
    guard let answered = try? template.render(text.variables(both)).text.utf8,
      answered.starts(with: plain)
    else { return [] }
    let rest = Array(answered.dropFirst(plain.count))
    guard let place = find(mark, in: rest, rest.startIndex..<rest.endIndex) else { return [] }
    let header = Array(rest[..<place])
    // Blanks before an answer are the model's to write.
    return header.allSatisfy(isBlank) ? [] : header
  }

  func answers(
    _ messages: [JSONNode], tools: JSONNode, documents: JSONNode, from first: Int
  ) throws(RowProblem) -> Answers {
    let rendering = try render(messages, tools, documents, tracing: true)
    let bytes = Array(rendering.text.utf8)
    var answers = Answers(text: rendering.text, ranges: [])
    if template.marksGeneration {
      answers.ranges = rendering.generationRanges
    } else {
      for (index, message) in messages.enumerated()
      where index >= first && message["role"]?.string == "assistant" {
        if let pieces = rendering.itemRanges[index], let start = pieces.first, let end = pieces.last
        {
          let whole = start.lowerBound..<end.upperBound
          answers.ranges.append(withoutHeader(whole, bytes))
        } else {
          answers.ranges.append(
            try compared(bytes, messages, index, tools: tools, documents: documents))
        }
      }
    }
    for index in answers.ranges.indices {
      let (range, isClosed) = closed(answers.ranges[index], bytes)
      answers.ranges[index] = range
      if !isClosed { answers.unclosedCount += 1 }
    }
    return answers
  }

  private func render(
    _ messages: [JSONNode], _ tools: JSONNode, _ documents: JSONNode, asksForAnswer: Bool = false,
    tracing: Bool = false
  ) throws(RowProblem) -> Rendering {
    do throws(TemplateError) {
      return try template.render(
        text.variables(
          messages, tools: tools, documents: documents, asksForAnswer: asksForAnswer),
        tracing: tracing ? "messages" : nil)
    } catch { throw .template(error.description) }
  }

  private func withoutHeader(_ range: Range<Int>, _ bytes: [UInt8]) -> Range<Int> {
    guard !header.isEmpty else { return range }
    if let place = Self.find(header, in: bytes, range) {
      return (place + header.count)..<range.upperBound
    }
    // An answer without content may lack the header's line break.
    var short = header
    while let last = short.last, Self.isBlank(last) { short.removeLast() }
    guard !short.isEmpty, let place = Self.find(short, in: bytes, range) else { return range }
    return (place + short.count)..<range.upperBound
  }

  /// The message's text by what the conversation is without and with it.
  private func compared(
    _ bytes: [UInt8], _ messages: [JSONNode], _ index: Int, tools: JSONNode, documents: JSONNode
  ) throws(RowProblem) -> Range<Int> {
    guard
      let before = try? render(Array(messages[..<index]), tools, documents, asksForAnswer: true),
      let after = try? render(Array(messages[...index]), tools, documents),
      bytes.starts(with: before.text.utf8), bytes.starts(with: after.text.utf8),
      before.text.utf8.count <= after.text.utf8.count
    else { throw .answerNotFound(message: index + 1) }
    return before.text.utf8.count..<after.text.utf8.count
  }

  /// The range up to its end token, and whether there is one that stops generation.
  private func closed(_ range: Range<Int>, _ bytes: [UInt8]) -> (Range<Int>, isClosed: Bool) {
    var end = range.upperBound
    while end > range.lowerBound, Self.isBlank(bytes[end - 1]) { end -= 1 }
    let content = bytes[range.lowerBound..<end]
    let closer = closers.filter { content.count >= $0.count && content.suffix($0.count) == $0[...] }
      .max { $0.count < $1.count }
    guard let closer else { return (range, false) }
    let id = text.tokenizer.id(of: String(decoding: closer, as: UTF8.self))
    let stops = text.stopTokens.isEmpty || id.map { text.stopTokens.contains($0) } ?? false
    return (range.lowerBound..<end, stops)
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }

  private static func find(_ needle: [UInt8], in bytes: [UInt8], _ range: Range<Int>) -> Int? {
    var place = range.lowerBound
    while place + needle.count <= range.upperBound {
      if bytes[place..<(place + needle.count)].elementsEqual(needle) { return place }
      place += 1
    }
    return nil
  }
}
