/// Runs a pattern over a text.
///
/// The search tries every place from left to right; the first way through the pattern wins, as in
/// Perl and Oniguruma. A matcher holds a stack and belongs to one thread.
struct RegexMatcher {
  /// A way not yet tried: `position` is where to go on, unless it may still give back scalars of a
  /// repetition down to `floor`.
  private struct Entry {
    var instruction: Int32
    var kind: Kind
    var position: Int
    var limit: Int
    /// Where a repetition without maximum stopped.
    var end = 0
  }
  private enum Kind: UInt8 { case plain, givesBack, gaveBack, takesMore }

  /// Repetitions shorter than this are tried again sooner than looked up.
  private static let longRepetition = 64

  private let program: RegexProgram
  private var stack: [Entry] = []
  /// For each instruction the places from which a repetition is known to lead nowhere, so that a
  /// search does not walk a run of scalars again from each of its places; empty where none is.
  private var deadEnds: [Range<Int>] = []

  init(_ program: RegexProgram) {
    self.program = program
    stack.reserveCapacity(64)
  }

  /// All matches in `range`, in order; text before and behind the range does not exist for it.
  ///
  /// An empty match right behind another match is passed over, as in the reference's binding.
  mutating func matches(
    _ bytes: [UInt8], in range: Range<Int>, _ found: (Range<Int>) -> Void
  ) {
    deadEnds = []
    var start = range.lowerBound
    var lastEnd = -1
    while start <= range.upperBound {
      guard let end = match(bytes, at: start, range) else {
        if start == range.upperBound { return }
        _ = UTF8Text.next(bytes, &start)
        continue
      }
      if end == start, end == lastEnd {
        if start == range.upperBound { return }
        _ = UTF8Text.next(bytes, &start)
        continue
      }
      found(start..<end)
      lastEnd = end
      start = end
    }
  }

  /// The end of the match that begins at `start`.
  private mutating func match(_ bytes: [UInt8], at start: Int, _ range: Range<Int>) -> Int? {
    stack.removeAll(keepingCapacity: true)
    return run(0, bytes, start, range)
  }

  private mutating func run(
    _ first: Int, _ bytes: [UInt8], _ start: Int, _ range: Range<Int>
  ) -> Int? {
    let bottom = stack.count
    var pc = first
    var position = start
    let end = range.upperBound
    while true {
      var goesOn = true
      switch program.instructions[pc] {
      case .done:
        stack.removeLast(stack.count - bottom)
        return position
      case .set(let index):
        if position < end, program.sets[index].contains(UTF8Text.next(bytes, &position)) {
          pc += 1
        } else {
          goesOn = false
        }
      case .many(let index, let minimum, let maximum, let greed):
        goesOn = many(index, minimum, maximum, greed, bytes, &pc, &position, end)
      case .fork(let a, let b):
        stack.append(Entry(instruction: Int32(b), kind: .plain, position: position, limit: 0))
        pc = a
      case .jump(let target): pc = target
      case .look(let isNegative, let next):
        if (run(pc + 1, bytes, position, range) != nil) != isNegative {
          pc = next
        } else {
          goesOn = false
        }
      case .atomic(let next):
        if let after = run(pc + 1, bytes, position, range) {
          position = after
          pc = next
        } else {
          goesOn = false
        }
      case .anchor(let anchor):
        if holds(anchor, bytes, position, range) { pc += 1 } else { goesOn = false }
      }
      if !goesOn {
        guard backtrack(to: bottom, bytes, &pc, &position, end) else { return nil }
      }
    }
  }

  /// Takes scalars of a set; leaves an entry where fewer or more would do too.
  private mutating func many(
    _ index: Int, _ minimum: Int, _ maximum: Int, _ greed: RegexNode.Greed, _ bytes: [UInt8],
    _ pc: inout Int, _ position: inout Int, _ end: Int
  ) -> Bool {
    if !deadEnds.isEmpty, deadEnds[pc].contains(position) { return false }
    var count = 0
    let wanted = greed == .lazy ? minimum : maximum
    var floor = position
    while count < wanted, position < end {
      var next = position
      guard program.sets[index].contains(UTF8Text.next(bytes, &next)) else { break }
      position = next
      count += 1
      if count == minimum { floor = position }
    }
    guard count >= minimum else { return false }
    pc += 1
    if greed == .greedy, position > floor {
      stack.append(
        Entry(
          instruction: Int32(pc), kind: .givesBack, position: position, limit: floor,
          end: maximum == .max ? position : floor))
    } else if greed == .lazy, count < maximum {
      stack.append(
        Entry(
          instruction: Int32(pc), kind: .takesMore, position: position, limit: maximum - count))
    }
    return true
  }

  /// Goes back to the last way not yet tried.
  private mutating func backtrack(
    to bottom: Int, _ bytes: [UInt8], _ pc: inout Int, _ position: inout Int, _ end: Int
  ) -> Bool {
    while stack.count > bottom {
      let last = stack.count - 1
      pc = Int(stack[last].instruction)
      position = stack[last].position
      switch stack[last].kind {
      case .plain:
        stack.removeLast()
        return true
      case .givesBack:
        position = UTF8Text.before(bytes, position)
        stack[last].position = position
        if position == stack[last].limit {
          if stack[last].end - position >= Self.longRepetition {
            stack[last].kind = .gaveBack
          } else {
            stack.removeLast()
          }
        }
        return true
      case .gaveBack:
        // All it could take was tried; from a later place in the run it could take no other.
        if deadEnds.isEmpty {
          deadEnds = [Range<Int>](repeating: 0..<0, count: program.instructions.count)
        }
        deadEnds[pc - 1] = position..<stack[last].end
        stack.removeLast()
      case .takesMore:
        guard case .many(let index, _, _, _) = program.instructions[pc - 1], position < end,
          program.sets[index].contains(UTF8Text.next(bytes, &position))
        else {
          stack.removeLast()
          continue
        }
        stack[last].limit -= 1
        stack[last].position = position
        if stack[last].limit == 0 { stack.removeLast() }
        return true
      }
    }
    return false
  }

  private func holds(
    _ anchor: RegexNode.Anchor, _ bytes: [UInt8], _ position: Int, _ range: Range<Int>
  ) -> Bool {
    switch anchor {
    case .textStart: return position == range.lowerBound
    case .textEnd: return position == range.upperBound
    case .lineStart:
      // Behind the text's last newline no line begins.
      return position == range.lowerBound
        || (position < range.upperBound && bytes[position - 1] == 0x0a)
    case .lineEnd: return position == range.upperBound || bytes[position] == 0x0a
    case .wordEdge, .notWordEdge:
      let before =
        position > range.lowerBound
        && UnicodeTables.word.contains(UTF8Text.last(bytes, before: position))
      var next = position
      let after =
        position < range.upperBound && UnicodeTables.word.contains(UTF8Text.next(bytes, &next))
      return (before != after) == (anchor == .wordEdge)
    }
  }
}
