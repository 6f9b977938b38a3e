import Foundation
import JSON

/// A file with a document of JSON in it: what is changed is what it says, so that readers get past
/// parsing to what they make of it.
///
/// Changed bytes seldom leave JSON whole: nine of ten such files are refused by the parser.
package struct MutableDocument {
  private let root: JSONValue
  /// What is behind the document: the numbers of a safetensors file.
  private let rest: [UInt8]
  private let hasLength: Bool

  /// A file of JSON alone, or one of safetensors: the length of a header, a header, numbers.
  ///
  /// Nil for any other.
  package init?(_ bytes: [UInt8]) {
    if let value = try? JSONValue(parsing: Data(bytes)) {
      (root, rest, hasLength) = (value, [], false)
      return
    }
    guard bytes.count > 8 else { return nil }
    let length = bytes[..<8].reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard length <= bytes.count - 8,
      let value = try? JSONValue(parsing: Data(bytes[8..<8 + Int(length)]))
    else { return nil }
    (root, rest, hasLength) = (value, Array(bytes[(8 + Int(length))...]), true)
  }

  /// The file with one to three values of the document made others.
  package func changed(by mutation: inout Mutation) -> [UInt8] {
    var value = root
    for _ in 0...mutation.below(3) {
      let place = mutation.below(value.nodeCount)
      value = value.replacing(at: place) { mutation.other(than: $0, in: root) }
    }
    let text = Array(value.text().utf8)
    guard hasLength else { return text }
    return (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) } + text + rest
  }
}

extension Mutation {
  private static let integers = [
    0, 1, -1, 2, 3, 7, 255, 65_536, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 53, .max, .min, 1 << 62,
  ]
  private static let doubles = [
    0.5, -0.0, 1e308, -1e308, 2e-308, 1e-9, 1e19, 0.9999999999999999, -1.5, 1e39,
  ]
  private static let strings = [
    "", " ", "\u{0}", "\u{FEFF}x", "../../etc/passwd", "/dev/zero", "(a+)+$", "[^\\w]*?", "\\b",
    "{{ x }}", "{% for a in b %}", "NaN", "1e999", "-1", "\u{1F600}\u{200D}", "F64", "<0x41>",
    "null",
  ]

  /// What may stand in the place of a value: one at some edge, one a little different, another part of
  /// the document, one with more or fewer parts, one that is nested deeply.
  fileprivate mutating func other(than value: JSONValue, in root: JSONValue) -> JSONValue {
    switch below(12) {
    case 0: return .int(Self.integers[below(Self.integers.count)])
    case 1: return .double(Self.doubles[below(Self.doubles.count)])
    case 2: return .string(Self.strings[below(Self.strings.count)])
    case 3: return [.null, .bool(true), .bool(false), .array([]), .object([:])][below(5)]
    case 4: return root.node(at: below(root.nodeCount))
    case 5:
      let depth = below(8) == 0 ? 3_000 : 1 + below(3)
      return (0..<depth).reduce(value) { value, _ in .array([value]) }
    default: return near(value)
    }
  }

  /// A value of the same kind.
  private mutating func near(_ value: JSONValue) -> JSONValue {
    switch value {
    case .null: return .bool(below(2) == 0)
    case .bool(let flag): return .bool(!flag)
    case .int(let number):
      let step = [1, -1, 2, -2, number, 0 &- number, 63, 1_000_000][below(8)]
      return .int(number &+ step)
    case .double(let number): return .double([-number, number * 1e10, number / 3, 1][below(4)])
    case .string(let text):
      switch below(5) {
      case 0: return .string(text + text)
      case 1: return .string(String(text.dropLast(1 + below(3))))
      case 2:
        // Of what was made long before not so many that it fills the memory.
        let most = max(1, (16 << 20) / (text.utf8.count + 1))
        return .string(String(repeating: text + "a", count: min(1 + below(2_000), most)))
      case 3: return .string(String(text.reversed()))
      default: return .string(text.uppercased())
      }
    case .array(let elements):
      guard !elements.isEmpty else { return .array([.int(0)]) }
      var changed = elements
      let index = below(elements.count)
      switch below(4) {
      case 0: changed.remove(at: index)
      case 1: changed.insert(elements[below(elements.count)], at: index)
      case 2: changed = Array(repeating: elements[index], count: 1 + below(300))
      default: changed.swapAt(index, below(elements.count))
      }
      return .array(changed)
    case .object(let members):
      guard !members.isEmpty else { return .object(["": .null]) }
      var changed = members
      // In an order that does not change from start to start.
      let keys = members.keys.sorted()
      let key = keys[below(keys.count)]
      switch below(3) {
      case 0: changed[key] = nil
      case 1: changed[key + "_"] = changed.removeValue(forKey: key)
      default: changed[keys[below(keys.count)]] = members[key]
      }
      return .object(changed)
    }
  }
}

extension JSONValue {
  /// Itself and all that is in it.
  fileprivate var nodeCount: Int { 1 + children.reduce(0) { $0 + $1.nodeCount } }

  /// What is in it, an object's members in the order of their names.
  private var children: [JSONValue] {
    switch self {
    case .array(let elements): elements
    case .object(let members): members.sorted { $0.key < $1.key }.map(\.value)
    default: []
    }
  }

  /// The child in which the node of that number lies, and its number there; the root is 0.
  private func child(of place: Int) -> (index: Int, place: Int) {
    var rest = place - 1
    for (index, child) in children.enumerated() {
      let count = child.nodeCount
      if rest < count { return (index, rest) }
      rest -= count
    }
    preconditionFailure("a document of \(nodeCount) nodes has none of number \(place)")
  }

  fileprivate func node(at place: Int) -> JSONValue {
    guard place > 0 else { return self }
    let (index, inner) = child(of: place)
    return children[index].node(at: inner)
  }

  fileprivate func replacing(
    at place: Int, by change: (JSONValue) -> JSONValue
  ) -> JSONValue {
    guard place > 0 else { return change(self) }
    let (index, inner) = child(of: place)
    let child = children[index].replacing(at: inner, by: change)
    switch self {
    case .array(var elements):
      elements[index] = child
      return .array(elements)
    case .object(var members):
      members[members.keys.sorted()[index]] = child
      return .object(members)
    default: return self
    }
  }
}
