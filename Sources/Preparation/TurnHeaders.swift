import JSON
import Templates

/// What a template puts in front of an answer that is not the model's to write.
///
/// The model is asked with `add_generation_prompt`: what the prompt has already, it need not produce.
/// In many templates prompt and turn differ: a prompt ends in `<think>\n`, and the turns of the history
/// are stripped of their reasoning. So conversations are tried out in which an answer is the last or
/// an earlier turn, with and without reasoning, behind a tool's result; the header is as much of the
/// prompt as the turn repeats. A turn then begins with the longest header that it has. Where a
/// template does not ask, the header is what stands between a turn's beginning and its content.
struct TurnHeaders: Sendable {
  /// Headers in UTF-8, none of them empty.
  let headers: [[UInt8]]
  /// What becomes of a message without content.
  let nulls: MissingContent

  // Words that no template writes.
  private static let word = "q7Zx"
  private static let other = "w4Kv"

  init(_ text: ModelText, _ template: Template) {
    let tries = Tries(text: text, template: template)
    var found: Set<[UInt8]> = []
    var contents: Set<[UInt8]> = []
    for (messages, index) in Self.conversations {
      guard let turn = tries.turn(messages, index) else { continue }
      guard let prompt = tries.prompt(Array(messages[..<index])) else {
        contents.insert(turn.head)
        continue
      }
      if let header = Self.repeated(prompt, turn) { found.insert(header) }
    }
    // Blanks before an answer are the model's to write.
    if found.isEmpty { found = contents.filter { !$0.allSatisfy(Self.isBlank) } }
    headers = found.filter { !$0.isEmpty }.sorted { $0.count > $1.count }
    nulls = MissingContent(tries)
  }

  /// Conversations, and which of their messages is the answer looked at.
  private static let conversations: [(messages: [JSONNode], answer: Int)] = {
    let question = message("user", other)
    let answer = message("assistant", word)
    let reasoned = JSONNode.object(
      JSONObject([
        ("role", .string("assistant")), ("content", .string(word)),
        ("reasoning_content", .string(other)), ("thinking", .string(other)),
      ]))
    let call = message("assistant", "", calls: other)
    let result = message("tool", other)
    return [
      ([question, answer], 1), ([question, answer, question], 1),
      ([message("system", other), question, answer], 2), ([question, reasoned], 1),
      ([question, reasoned, question, answer], 1), ([question, call, result, answer], 3),
    ]
  }()

  static func message(_ role: String, _ content: String?, calls name: String? = nil) -> JSONNode {
    var members: [(key: String, value: JSONNode)] = [
      ("role", .string(role)), ("content", content.map { .string($0) } ?? .null),
    ]
    if let name {
      let function = JSONNode.object(
        JSONObject([("name", .string(name)), ("arguments", .object(JSONObject([])))]))
      members.append(
        (
          "tool_calls",
          .array([
            .object(
              JSONObject([
                ("type", .string("function")), ("id", .string("call00000")), ("function", function),
              ]))
          ])
        ))
    }
    return .object(JSONObject(members))
  }

  /// As much of the prompt as the turn repeats before its content; nil where that is nothing.
  private static func repeated(_ prompt: Prompt, _ turn: Turn) -> [UInt8]? {
    let whole = common(prompt.text[...], turn.text[..<(turn.start + turn.head.count)])
    if whole > turn.start, let header = written(turn.text[turn.start..<whole]) { return header }
    // The blanks between two turns may be others than those before what asks.
    let head = turn.head.drop(while: isBlank)
    let end = common(prompt.text[prompt.start...].drop(while: isBlank), head)
    if let header = written(head.prefix(end)) { return header }
    return whole > turn.start ? Array(turn.text[turn.start..<whole]) : nil
  }

  private static func written(_ header: ArraySlice<UInt8>) -> [UInt8]? {
    header.allSatisfy(isBlank) ? nil : Array(header)
  }

  /// The length of the beginning that both share.
  ///
  /// Two tags that begin alike are not one: it ends at an edge.
  private static func common(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Int {
    var count = 0
    while count < left.count, count < right.count,
      left[left.startIndex + count] == right[right.startIndex + count]
    {
      count += 1
    }
    if count < left.count, count < right.count {
      while count > 0, !isEdge(right[right.startIndex + count - 1]) { count -= 1 }
    }
    return count
  }

  private static func isEdge(_ byte: UInt8) -> Bool { isBlank(byte) || ">]:".utf8.contains(byte) }
  static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }

  /// A message's range without its header.
  func removed(from range: Range<Int>, _ bytes: [UInt8]) -> Range<Int> {
    var best: Range<Int>?
    for header in headers {
      // An answer without content may lack the header's line break.
      var short = header
      while let last = short.last, Self.isBlank(last) { short.removeLast() }
      let forms = short.count < header.count && !short.isEmpty ? [header, short] : [header]
      for form in forms {
        guard let place = Self.find(form, in: bytes, range) else { continue }
        let found = place..<(place + form.count)
        // The first, and the longest of those.
        let isBetter =
          best.map { place < $0.lowerBound || place == $0.lowerBound && form.count > $0.count }
          ?? true
        if isBetter { best = found }
        break
      }
    }
    return (best?.upperBound ?? range.lowerBound)..<range.upperBound
  }

  static func find(_ needle: [UInt8], in bytes: [UInt8], _ range: Range<Int>) -> Int? {
    var place = range.lowerBound
    while place + needle.count <= range.upperBound {
      if bytes[place..<(place + needle.count)].elementsEqual(needle) { return place }
      place += 1
    }
    return nil
  }

  /// A turn in what a template made.
  struct Turn {
    var text: [UInt8]
    /// Where the template's loop came to it.
    var start: Int
    /// From there up to its content.
    var head: [UInt8]
  }

  /// What asks for an answer.
  struct Prompt {
    var text: [UInt8]
    /// Where it goes beyond the conversation.
    var start: Int
  }

  /// A template at work on conversations of words that it does not write itself.
  struct Tries {
    let text: ModelText
    let template: Template

    /// What the template makes of the messages, tracing them; nil where it refuses.
    func rendering(_ messages: [JSONNode], asks: Bool = false) -> Rendering? {
      try? template.render(
        text.variables(messages, addsGenerationPrompt: asks), tracing: "messages")
    }

    /// The text that asks for an answer; nil where asking adds nothing.
    func prompt(_ messages: [JSONNode]) -> Prompt? {
      guard let asking = rendering(messages, asks: true),
        let plain = rendering(messages), asking.text.utf8.count > plain.text.utf8.count
      else { return nil }
      let text = Array(asking.text.utf8)
      let start = zip(text, plain.text.utf8).prefix { $0 == $1 }.count
      return Prompt(text: text, start: start)
    }

    /// The turn of a message whose content is `word`.
    func turn(_ messages: [JSONNode], _ index: Int) -> Turn? {
      guard let rendering = rendering(messages) else { return nil }
      let bytes = Array(rendering.text.utf8)
      let mark = Array(TurnHeaders.word.utf8)
      var range = 0..<bytes.count
      if let pieces = rendering.itemRanges[index], let first = pieces.first, let last = pieces.last
      {
        range = first.lowerBound..<last.upperBound
      } else if let before = self.rendering(Array(messages[..<index]))?.text.utf8,
        bytes.starts(with: before)
      {
        range = before.count..<bytes.count
      }
      guard let place = TurnHeaders.find(mark, in: bytes, range) else { return nil }
      return Turn(
        text: bytes, start: range.lowerBound, head: Array(bytes[range.lowerBound..<place]))
    }
  }
}
