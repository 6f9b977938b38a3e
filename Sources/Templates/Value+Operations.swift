import Foundation

extension Value {
  /// Python's `==`.
  static func equal(_ a: Value, _ b: Value) -> Bool {
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let x), .string(let y)): return PythonText.equal(x, y)
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      return x.count == y.count && zip(x, y).allSatisfy { equal($0, $1) }
    case (.dictionary(let x), .dictionary(let y)):
      return x.members.count == y.members.count
        && x.members.allSatisfy { member in
          y[member.key].map { equal(member.value, $0) } ?? false
        }
    case (.namespace(let x), .namespace(let y)): return x === y
    default:
      if let x = a.integer, let y = b.integer { return x == y }
      if let x = a.double, let y = b.double { return x == y }
      return false
    }
  }

  /// Python's `<`; nil where the two have no order.
  static func precedes(_ a: Value, _ b: Value) -> Bool? {
    switch (a, b) {
    case (.string(let x), .string(let y)):
      return x.unicodeScalars.lexicographicallyPrecedes(y.unicodeScalars)
    case (.list(let x), .list(let y)), (.tuple(let x), .tuple(let y)):
      for (left, right) in zip(x, y) where !equal(left, right) { return precedes(left, right) }
      return x.count < y.count
    default:
      if let x = a.integer, let y = b.integer { return x < y }
      guard let x = a.double, let y = b.double else { return nil }
      return x < y
    }
  }

  /// Python's `in`; nil where nothing can be in the container.
  static func contains(_ container: Value, _ element: Value) -> Bool? {
    switch container {
    case .string(let text):
      return element.string.map { PythonText.contains($0, in: text) }
    case .dictionary(let dictionary):
      return element.string.map { dictionary[$0] != nil } ?? false
    default:
      return container.items.map { $0.contains { equal($0, element) } }
    }
  }

  /// A comparison by its sign; nil where it cannot be made.
  static func compare(_ operation: String, _ a: Value, _ b: Value) -> Bool? {
    switch operation {
    case "==": equal(a, b)
    case "!=": !equal(a, b)
    case "<": precedes(a, b)
    case ">": precedes(b, a)
    case "<=": precedes(a, b).map { $0 || equal(a, b) }
    case ">=": precedes(b, a).map { $0 || equal(a, b) }
    case "in": contains(b, a)
    default: contains(b, a).map { !$0 }
    }
  }

  /// `a + b` and its like; nil where the types do not go together or the result is out of range.
  static func arithmetic(_ operation: String, _ a: Value, _ b: Value) -> Value? {
    if let x = a.integer, let y = b.integer { return integers(operation, x, y) }
    if let x = a.double, let y = b.double { return doubles(operation, x, y) }
    switch (operation, a, b) {
    case ("+", .string(let x), .string(let y)): return .string(x + y)
    case ("+", .list(let x), .list(let y)): return .list(x + y)
    case ("+", .tuple(let x), .tuple(let y)): return .tuple(x + y)
    case ("*", .string(let text), _):
      return b.integer.map { .string(String(repeating: text, count: max(0, $0))) }
    case ("*", _, .string(let text)):
      return a.integer.map { .string(String(repeating: text, count: max(0, $0))) }
    case ("*", .list(let items), _):
      return b.integer.map { .list(Array((0..<max(0, $0)).map { _ in items }.joined())) }
    default: return nil
    }
  }

  private static func integers(_ operation: String, _ x: Int, _ y: Int) -> Value? {
    func checked(_ result: (Int, Bool)) -> Value? { result.1 ? nil : .integer(result.0) }
    switch operation {
    case "+": return checked(x.addingReportingOverflow(y))
    case "-": return checked(x.subtractingReportingOverflow(y))
    case "*": return checked(x.multipliedReportingOverflow(by: y))
    case "/": return y == 0 ? nil : .double(Double(x) / Double(y))
    case "//", "%":
      guard y != 0, !(x == .min && y == -1) else { return nil }
      // Python rounds towards minus infinity.
      let (quotient, remainder) = x.quotientAndRemainder(dividingBy: y)
      let isBelow = remainder != 0 && (remainder < 0) != (y < 0)
      return .integer(
        operation == "%" ? (isBelow ? remainder + y : remainder) : quotient - (isBelow ? 1 : 0))
    default:
      if y < 0 { return doubles("**", Double(x), Double(y)) }
      var power = 1
      for _ in 0..<min(y, 64) {
        let (next, overflow) = power.multipliedReportingOverflow(by: x)
        if overflow { return nil }
        power = next
      }
      return y <= 64 || abs(x) < 2 ? .integer(y > 64 && x == -1 && y % 2 == 1 ? -1 : power) : nil
    }
  }

  private static func doubles(_ operation: String, _ x: Double, _ y: Double) -> Value? {
    switch operation {
    case "+": return .double(x + y)
    case "-": return .double(x - y)
    case "*": return .double(x * y)
    case "/": return y == 0 ? nil : .double(x / y)
    case "//": return y == 0 ? nil : .double((x / y).rounded(.down))
    case "%": return y == 0 ? nil : .double(x - (x / y).rounded(.down) * y)
    default: return .double(pow(x, y))
    }
  }

  /// `value[from:to:by]`; nil where the value has no parts or an index is no number.
  func slice(from: Value?, to: Value?, by: Value?) -> Value? {
    func index(_ value: Value?) -> (isGiven: Bool, index: Int)? {
      guard let value, case .some = value.integer else {
        if case .none? = value { return (false, 0) }
        return value == nil ? (false, 0) : nil
      }
      return (true, value.integer ?? 0)
    }
    guard let start = index(from), let end = index(to), let step = index(by) else { return nil }
    let stride = step.isGiven ? step.index : 1
    guard stride != 0 else { return nil }
    let items: [Value]
    switch self {
    case .list(let all), .tuple(let all): items = all
    case .string: items = self.items ?? []
    default: return nil
    }
    let count = items.count
    func clamp(_ bound: (isGiven: Bool, index: Int), otherwise: Int) -> Int {
      guard bound.isGiven else { return otherwise }
      let index = bound.index < 0 ? bound.index + count : bound.index
      return stride > 0 ? min(max(index, 0), count) : min(max(index, -1), count - 1)
    }
    let first = clamp(start, otherwise: stride > 0 ? 0 : count - 1)
    let last = clamp(end, otherwise: stride > 0 ? count : -1)
    let picked = Swift.stride(from: first, to: last, by: stride).map { items[$0] }
    switch self {
    case .tuple: return .tuple(picked)
    case .string: return .string(picked.map(\.text).joined())
    default: return .list(picked)
    }
  }
}
