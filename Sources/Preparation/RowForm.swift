import JSON

/// The forms in which rows come.
public enum RowForm: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
  /// `{"text"}`: all of it counts.
  case text
  /// `{"prompt", "completion"}`: the completion counts.
  case promptCompletion = "prompt_completion"
  /// `{"messages": [{"role", "content"}]}`: the assistant's turns count.
  case messages
  /// Alpaca's `{"instruction", "input", "output"}`: the output counts.
  case alpaca
  /// ShareGPT's `{"conversations": [{"from", "value"}]}`: the answers count.
  case shareGPT = "sharegpt"
  /// `{"input_ids", "labels"}`: what is not −100 counts.
  case tokens
  /// No JSON but a text: all of it counts.
  case plainText = "plain_text"
  /// Token ids that another program wrote: its own mask tells what counts.
  case imported

  /// The form in words.
  public var description: String {
    switch self {
    case .text: "{\"text\"}"
    case .promptCompletion: "{\"prompt\", \"completion\"}"
    case .messages: "{\"messages\"}"
    case .alpaca: "Alpaca's {\"instruction\", \"input\", \"output\"}"
    case .shareGPT: "ShareGPT's {\"conversations\"}"
    case .tokens: "{\"input_ids\", \"labels\"}"
    case .plainText: "plain text"
    case .imported: "token ids of another program"
    }
  }

  /// The form that has a row's keys.
  init(_ row: JSONNode) throws(RowProblem) {
    guard let object = row.object else { throw .notAnObject(found: row.kind) }
    // A table that joins several forms has null where a row is of another.
    let filled = object.members.filter { !$0.value.isNull }.map(\.key)
    guard let form = Self.form(Set(filled)) ?? Self.form(Set(object.members.map(\.key))) else {
      throw .unknownForm(keys: object.members.map(\.key))
    }
    self = form
  }

  /// All keys that some form has.
  static let keys = [
    "text", "prompt", "completion", "messages", "instruction", "input", "output", "conversations",
    "system", "tools", "documents", "input_ids", "labels", "attention_mask",
  ]

  /// Those that a row may lack.
  static let optionalKeys: Set<String> = [
    "input", "system", "tools", "documents", "labels", "attention_mask",
  ]

  /// The keys that are read of a row of this form.
  var keys: [String] {
    switch self {
    case .text: ["text"]
    case .promptCompletion: ["prompt", "completion", "tools", "documents"]
    case .messages: ["messages", "tools", "documents"]
    case .alpaca: ["instruction", "input", "output"]
    case .shareGPT: ["system", "conversations", "tools", "documents"]
    case .tokens: ["input_ids", "labels", "attention_mask"]
    case .plainText, .imported: []
    }
  }

  /// The form with these keys, if one has them.
  static func form(_ keys: Set<String>) -> RowForm? {
    if keys.contains("input_ids") { return .tokens }
    if keys.contains("messages") { return .messages }
    if keys.contains("conversations") { return .shareGPT }
    if keys.isSuperset(of: ["prompt", "completion"]) { return .promptCompletion }
    if keys.isSuperset(of: ["instruction", "output"]) { return .alpaca }
    return keys.contains("text") ? .text : nil
  }
}

/// A row as what is to be tokenised.
enum RowContent {
  /// A text and the UTF-8 bytes of it that count.
  case text(String, counts: Range<Int>)
  /// A conversation, and the index of the first message that may count.
  case conversation([JSONNode], tools: JSONNode, documents: JSONNode, firstCounted: Int)
  /// Ids, and whether each counts.
  case tokens([UInt32], counts: [Bool])

  /// Reads a row of a form.
  ///
  /// - Parameter prefersChat: whether Alpaca's rows become conversations.
  init(_ row: JSONNode, form: RowForm, prefersChat: Bool) throws(RowProblem) {
    let row = Self.withoutNulls(row)
    switch form {
    case .text, .plainText:
      let text = try Self.text(row, "text")
      self = .text(text, counts: 0..<text.utf8.count)
    case .promptCompletion:
      if let prompt = row["prompt"]?.array, let completion = row["completion"]?.array {
        self = .conversation(
          try Self.messages(prompt + completion), tools: try Self.list(row, "tools"),
          documents: try Self.list(row, "documents"), firstCounted: prompt.count)
      } else {
        self = Self.continued(try Self.text(row, "prompt"), by: try Self.text(row, "completion"))
      }
    case .alpaca: self = try Self.alpaca(row, prefersChat: prefersChat)
    case .messages, .shareGPT:
      let key = form == .messages ? "messages" : "conversations"
      guard let list = try Self.list(row, key).array else {
        throw .badValue(key: key, expected: "a list", found: "missing")
      }
      let messages = form == .messages ? list : try Self.renamed(list, row["system"]?.string)
      self = .conversation(
        try Self.messages(messages), tools: try Self.list(row, "tools"),
        documents: try Self.list(row, "documents"), firstCounted: 0)
    case .tokens, .imported: self = try Self.tokens(row)
    }
  }

  /// The row without members that are null, which a table has where another row has something: as
  /// TRL leaves them out.
  ///
  /// A message's content stays; what becomes of it depends on the template.
  private static func withoutNulls(_ node: JSONNode) -> JSONNode {
    switch node {
    case .array(let elements): return .array(elements.map(withoutNulls))
    case .object(let object):
      let isMessage = object["role"]?.string != nil
      var members: [(key: String, value: JSONNode)] = []
      for (key, value) in object.members {
        if value.isNull, !(isMessage && key == "content") { continue }
        members.append((key, withoutNulls(value)))
      }
      return .object(JSONObject(members))
    default: return node
    }
  }

  private static func continued(_ prompt: String, by answer: String) -> RowContent {
    let start = prompt.utf8.count
    return .text(prompt + answer, counts: start..<(start + answer.utf8.count))
  }

  private static func text(_ row: JSONNode, _ key: String) throws(RowProblem) -> String {
    guard let text = row[key]?.string else {
      throw .badValue(key: key, expected: "a string", found: row[key]?.kind ?? "missing")
    }
    return text
  }

  /// A list that may be missing, or stand in a string, as some tables must have it.
  private static func list(_ row: JSONNode, _ key: String) throws(RowProblem) -> JSONNode {
    guard let node = row[key], !node.isNull else { return .null }
    if node.array != nil { return node }
    if let text = node.string, let parsed = try? JSONNode(parsing: text), parsed.array != nil {
      return withoutNulls(parsed)
    }
    let isText = node.string != nil
    throw .badValue(
      key: key, expected: isText ? "a list, or one in JSON" : "a list",
      found: isText ? "another text" : node.kind)
  }

  /// Stanford Alpaca's prompts, or a conversation of one question.
  private static func alpaca(_ row: JSONNode, prefersChat: Bool) throws(RowProblem) -> RowContent {
    let instruction = try text(row, "instruction")
    let output = try text(row, "output")
    var input = ""
    if let node = row["input"], !node.isNull { input = try text(row, "input") }
    if prefersChat {
      let question = input.isEmpty ? instruction : instruction + "\n\n" + input
      return .conversation(
        [message("user", question), message("assistant", output)], tools: .null, documents: .null,
        firstCounted: 0)
    }
    let start = "Below is an instruction that describes a task"
    let close = "Write a response that appropriately completes the request.\n\n"
    let prompt =
      input.isEmpty
      ? "\(start). \(close)### Instruction:\n\(instruction)\n\n### Response:\n"
      : "\(start), paired with an input that provides further context. \(close)"
        + "### Instruction:\n\(instruction)\n\n### Input:\n\(input)\n\n### Response:\n"
    return continued(prompt, by: output)
  }

  private static func message(_ role: String, _ content: String) -> JSONNode {
    .object(JSONObject([("role", .string(role)), ("content", .string(content))]))
  }

  /// ShareGPT's speakers by the names that templates know.
  private static func renamed(
    _ turns: [JSONNode], _ system: String?
  ) throws(RowProblem) -> [JSONNode] {
    let roles = [
      "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
      "chatgpt": "assistant", "bard": "assistant", "bing": "assistant", "model": "assistant",
      "system": "system", "tool": "tool", "function": "tool", "observation": "tool",
    ]
    var messages: [JSONNode] = []
    if let system, !system.isEmpty { messages.append(message("system", system)) }
    for turn in turns {
      // Some sets of that name hold messages in the other spelling.
      let isPlain = turn["from"] == nil && turn["role"] != nil
      let name = try text(turn, isPlain ? "role" : "from")
      guard let role = roles[name.lowercased()] else { throw .unknownRole(name) }
      messages.append(message(role, try text(turn, isPlain ? "content" : "value")))
    }
    return messages
  }

  /// Checks messages, and gives reasoning the name that transformers gives it.
  private static func messages(_ messages: [JSONNode]) throws(RowProblem) -> [JSONNode] {
    guard !messages.isEmpty else { throw .empty }
    var result: [JSONNode] = []
    for node in messages {
      guard let object = node.object else {
        throw .badValue(
          key: "messages", expected: "a list of objects", found: "a list with \(node.kind) in it")
      }
      _ = try text(node, "role")
      let names = ["reasoning_content", "thinking", "reasoning"]
      guard let reasoning = names.lazy.compactMap({ object[$0] }).first(where: { !$0.isNull })
      else {
        result.append(node)
        continue
      }
      var members = object.members
      for name in ["thinking", "reasoning_content"] {
        let index = members.firstIndex { $0.key == name }
        if let index, name == "reasoning_content" { members[index].value = reasoning }
        if index == nil {
          members.insert((name, reasoning), at: name == "thinking" ? 0 : members.count)
        }
      }
      result.append(.object(JSONObject(members)))
    }
    return result
  }

  private static func tokens(_ row: JSONNode) throws(RowProblem) -> RowContent {
    let ids = try integers(row, "input_ids")
    let labels = row["labels"] == nil ? ids : try integers(row, "labels")
    let isThere =
      row["attention_mask"] == nil
      ? [Int](repeating: 1, count: ids.count) : try integers(row, "attention_mask")
    guard labels.count == ids.count, isThere.count == ids.count else {
      throw .badLabels(
        "\(ids.count) input_ids, \(labels.count) labels, \(isThere.count) in attention_mask")
    }
    var tokens: [UInt32] = []
    var counts: [Bool] = []
    for (index, id) in ids.enumerated() where isThere[index] != 0 {
      guard let token = UInt32(exactly: id) else {
        throw .badValue(key: "input_ids", expected: "token ids", found: "a list with \(id) in it")
      }
      guard labels[index] == -100 || labels[index] == id else {
        throw .badLabels(
          "label \(index) is \(labels[index]), input_ids has \(id) there; labels stand at their own "
            + "token's place, or are -100")
      }
      tokens.append(token)
      counts.append(labels[index] != -100)
    }
    return .tokens(tokens, counts: counts)
  }

  private static func integers(_ row: JSONNode, _ key: String) throws(RowProblem) -> [Int] {
    guard let list = try list(row, key).array else {
      throw .badValue(key: key, expected: "a list", found: "missing")
    }
    let integers = list.compactMap(\.integer)
    guard integers.count == list.count else {
      throw .badValue(
        key: key, expected: "a list of whole numbers", found: "a list with other values too")
    }
    return integers
  }
}
