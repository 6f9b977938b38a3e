import JSON

/// What becomes of `"content": null`, which tables write where a message only calls tools.
///
/// Some templates ask whether a content `is none`, others print it, "None", or fail on it; a missing
/// one is an empty text to most and an error to some. So each template is tried: null stays where the
/// template knows it, else it is left out, else it becomes an empty text.
struct MissingContent: Sendable {
  enum Way: Sendable, CaseIterable { case kept, leftOut, empty }

  /// For messages that call tools, and for others.
  let (callingWay, plainWay): (Way, Way)

  init(_ tries: TurnHeaders.Tries) {
    let name = "n5Tq"
    let question = TurnHeaders.message("user", "w4Kv")
    func works(_ way: Way, calls: String?) -> Bool {
      let answer = TurnHeaders.message("assistant", nil, calls: calls)
      let text = tries.rendering([question, Self.resolved(answer, way)])?.text
      return text.map { !$0.contains("None") && $0.contains(calls ?? "") } ?? false
    }
    callingWay = Way.allCases.first { works($0, calls: name) } ?? .empty
    // An answer of nothing is nothing: null is no third thing there.
    plainWay = [.leftOut, .empty].first { works($0, calls: nil) } ?? .empty
  }

  /// A message whose content is there, or missing in the way that the template takes.
  func resolved(_ message: JSONNode) -> JSONNode {
    guard message["content"]?.isNull == true else { return message }
    let calls = message["tool_calls"]?.array?.isEmpty == false
    return Self.resolved(message, calls ? callingWay : plainWay)
  }

  private static func resolved(_ message: JSONNode, _ way: Way) -> JSONNode {
    guard way != .kept, var members = message.object?.members,
      let index = members.firstIndex(where: { $0.key == "content" })
    else { return message }
    if way == .empty {
      members[index].value = .string("")
    } else {
      members.remove(at: index)
    }
    return .object(JSONObject(members))
  }
}
