import JSON
import Templates

/// Finds what the assistant says in the text that a template made of a conversation.
///
/// A template with `{% generation %}` marks it, and its marks are taken as they are. Elsewhere an
/// answer is what the template put out while its loop stood at the assistant's message, without its
/// header, and up to its end token: the line break that some templates put behind it is not the model's
/// to write. Where no loop stood at the message, the texts of the conversation up to it and with it are
/// compared, which only works where the one begins the other.
struct AssistantSpanFinder: Sendable {
  private let text: ModelText
  private let template: Template
  private let headers: TurnHeaders
  /// Tokens with which a turn may end, in UTF-8.
  private let closers: [[UInt8]]

  /// The text of a conversation, and where the assistant speaks in it.
  struct Spans {
    var text: String
    /// Ranges of UTF-8 bytes.
    var ranges: [Range<Int>]
    /// Spans that do not end with a stop token.
    var unclosedCount = 0
  }

  init?(_ text: ModelText) {
    guard let template = text.template else { return nil }
    self.text = text
    self.template = template
    headers = TurnHeaders(text, template)
    closers = text.tokenizer.addedTokens
      .filter { $0.isSpecial || text.stopTokens.contains($0.id) }.map { Array($0.content.utf8) }
  }

  func spans(
    _ messages: [JSONNode], tools: JSONNode, documents: JSONNode, from first: Int
  ) throws(RowProblem) -> Spans {
    let messages = messages.map { headers.nulls.resolved($0) }
    let rendering = try render(messages, tools, documents, tracing: true)
    let bytes = Array(rendering.text.utf8)
    var spans = Spans(text: rendering.text, ranges: [])
    if template.marksGeneration {
      let start = first > 0 ? rendering.itemRanges[first]?.first?.lowerBound ?? 0 : 0
      spans.ranges = rendering.generationRanges.filter { $0.lowerBound >= start }
    } else {
      for (index, message) in messages.enumerated()
      where index >= first && message["role"]?.string == "assistant" {
        if let pieces = rendering.itemRanges[index], let start = pieces.first, let end = pieces.last
        {
          let whole = start.lowerBound..<end.upperBound
          spans.ranges.append(headers.removed(from: whole, bytes))
        } else {
          spans.ranges.append(
            try compared(bytes, messages, index, tools: tools, documents: documents))
        }
      }
    }
    for index in spans.ranges.indices {
      let (range, isClosed) = closed(spans.ranges[index], bytes)
      if !template.marksGeneration { spans.ranges[index] = range }
      if !isClosed { spans.unclosedCount += 1 }
    }
    return spans
  }

  private func render(
    _ messages: [JSONNode], _ tools: JSONNode, _ documents: JSONNode,
    addsGenerationPrompt: Bool = false, tracing: Bool = false
  ) throws(RowProblem) -> Rendering {
    do throws(TemplateError) {
      return try template.render(
        text.variables(
          messages, tools: tools, documents: documents, addsGenerationPrompt: addsGenerationPrompt),
        tracing: tracing ? "messages" : nil)
    } catch { throw .template(error.description) }
  }

  /// The message's text by what the conversation is without and with it.
  private func compared(
    _ bytes: [UInt8], _ messages: [JSONNode], _ index: Int, tools: JSONNode, documents: JSONNode
  ) throws(RowProblem) -> Range<Int> {
    let earlier = Array(messages[..<index])
    guard let after = try? render(Array(messages[...index]), tools, documents),
      bytes.starts(with: after.text.utf8)
    else { throw .answerNotFound(message: index + 1) }
    let end = after.text.utf8.count
    // What asks for the answer ends where the answer begins, unless the turn lacks a part of it.
    if let asking = try? render(earlier, tools, documents, addsGenerationPrompt: true),
      bytes.starts(with: asking.text.utf8), asking.text.utf8.count <= end
    {
      return asking.text.utf8.count..<end
    }
    guard let before = try? render(earlier, tools, documents),
      bytes.starts(with: before.text.utf8), before.text.utf8.count <= end
    else { throw .answerNotFound(message: index + 1) }
    return headers.removed(from: before.text.utf8.count..<end, bytes)
  }

  /// The range up to its end token, and whether there is one that stops generation.
  private func closed(_ range: Range<Int>, _ bytes: [UInt8]) -> (Range<Int>, isClosed: Bool) {
    var end = range.upperBound
    while end > range.lowerBound, TurnHeaders.isBlank(bytes[end - 1]) { end -= 1 }
    let content = bytes[range.lowerBound..<end]
    let closer = closers.filter { content.count >= $0.count && content.suffix($0.count) == $0[...] }
      .max { $0.count < $1.count }
    guard let closer else { return (range, false) }
    let id = text.tokenizer.id(of: String(decoding: closer, as: UTF8.self))
    let stops = text.stopTokens.isEmpty || id.map { text.stopTokens.contains($0) } ?? false
    return (range.lowerBound..<end, stops)
  }
}
