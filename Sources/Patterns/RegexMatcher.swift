/// Runs a pattern over texts.
///
/// The search tries every place from left to right; the first way through the pattern wins, as in
/// Perl, Python and Oniguruma. It begins with the quick code; where that takes more steps than a sane
/// pattern needs, it goes on with the plain code and notes every place from which an instruction led
/// nowhere, so that none is tried there again: the same matches in a time that does not grow
/// exponentially. A matcher holds a stack and belongs to one thread.
package struct RegexMatcher {
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
  private enum Kind: UInt8 {
    case plain, givesBack, gaveBack, takesMore, restoresNote
    /// An instruction was tried here: what came of it is not known before this is gone back over.
    case entered
  }

  /// Repetitions shorter than this are tried again sooner than looked up.
  private static let longRepetition = 64
  /// Steps a byte, and in all, that the quick code may take.
  private static let quickSteps = 64
  /// Steps a byte, and to begin with, that a matcher may take: a second or two for a megabyte.
  private static let stepsPerByte = 256
  private static let firstSteps = 1 << 24
  /// Bits for places that lead nowhere: 256 MiB.
  private static let memoLimit = 1 << 31

  private let program: RegexProgram
  private var code: RegexProgram.Code
  private var isPlain: Bool
  private var stack: [Entry] = []
  /// For each instruction the places from which a repetition is known to lead nowhere, so that a
  /// search does not walk a run of scalars again from each of its places; empty where none is.
  private var deadEnds: [Range<Int>] = []
  private var steps = 0
  private var allowance = RegexMatcher.firstSteps
  /// Steps after which the code in use is given up.
  private var limit = 0
  private var isOver = false
  /// Whether only a match that ends with the text is one.
  private var mustEnd = false
  /// Places that lead nowhere, or are on the way at hand, a bit each.
  private var memo: [UInt64] = []
  /// Positions of groups, two each (-1 where a group took no part), then the starts of iterations.
  private var notes: [Int] = []

  package init(_ program: RegexProgram) {
    self.program = program
    code = program.quick
    isPlain = false
    stack.reserveCapacity(64)
  }

  /// All matches in `range`, in order; text before and behind the range does not exist for it.
  ///
  /// An empty match right behind another match is passed over, as in the reference's binding.
  ///
  /// - Throws: `RegexError.tooSlow`.
  package mutating func matches(
    _ bytes: [UInt8], in range: Range<Int>, _ found: (Range<Int>) -> Void
  ) throws(RegexError) {
    begin(range)
    var start = range.lowerBound
    var lastEnd = -1
    while start <= range.upperBound {
      guard let end = try match(bytes, at: start, range) else {
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

  /// The groups of the match at the beginning of a text, that of all first; nil where there is none.
  ///
  /// - Parameter isWhole: whether the match must end with the text.
  mutating func match(
    _ bytes: [UInt8], isWhole: Bool
  ) throws(RegexError) -> [Range<Int>?]? {
    mustEnd = isWhole
    let range = 0..<bytes.count
    begin(range)
    usePlainCode()
    prepareMemo(range)
    if isOver { throw .tooSlow }
    notes = [Int](repeating: -1, count: program.noteCount)
    guard let end = try match(bytes, at: 0, range) else { return nil }
    var groups: [Range<Int>?] = [0..<end]
    for group in 1..<max(program.groupCount + 1, 1) {
      let (start, end) = (notes[2 * group], notes[2 * group + 1])
      groups.append(start >= 0 && end >= start ? start..<end : nil)
    }
    return groups
  }

  private mutating func begin(_ range: Range<Int>) {
    if !deadEnds.isEmpty { deadEnds = [] }
    allowance += Self.stepsPerByte * range.count
    if isPlain {
      limit = allowance
      prepareMemo(range)
    } else {
      limit = min(allowance, steps + Self.quickSteps * (range.count + Self.longRepetition))
    }
  }

  package mutating func usePlainCode() {
    code = program.plain
    isPlain = true
    limit = allowance
    deadEnds = []
  }

  private mutating func prepareMemo(_ range: Range<Int>) {
    let (bits, overflows) = code.memoCount.multipliedReportingOverflow(by: range.count + 1)
    guard !overflows, bits <= Self.memoLimit else {
      isOver = true
      return
    }
    memo = [UInt64](repeating: 0, count: (bits + 63) / 64)
    // Filling it takes its time too.
    steps += memo.count / 8
  }

  /// The end of the match that begins at `start`.
  private mutating func match(
    _ bytes: [UInt8], at start: Int, _ range: Range<Int>
  ) throws(RegexError) -> Int? {
    stack.removeAll(keepingCapacity: true)
    var end = run(0, bytes, start, range)
    if isOver, !isPlain {
      isOver = false
      usePlainCode()
      prepareMemo(range)
      stack.removeAll(keepingCapacity: true)
      if !isOver { end = run(0, bytes, start, range) }
    }
    if isOver { throw .tooSlow }
    return end
  }

  private func place(_ pc: Int, _ position: Int, _ range: Range<Int>) -> Int {
    Int(code.memoIndex[pc]) * (range.count + 1) + position - range.lowerBound
  }

  /// Notes that an instruction is tried at a place; false where it was before, in vain.
  private mutating func enters(_ pc: Int, _ position: Int, _ range: Range<Int>) -> Bool {
    let place = place(pc, position, range)
    let bit = UInt64(1) << UInt64(place & 63)
    if memo[place >> 6] & bit != 0 { return false }
    memo[place >> 6] |= bit
    steps += 1
    stack.append(Entry(instruction: Int32(pc), kind: .entered, position: position, limit: 0))
    return true
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
      switch code.instructions[pc] {
      case .done:
        if first == 0, mustEnd, position != end {
          goesOn = false
        } else {
          drop(to: bottom, range)
          return position
        }
      case .scalar(let scalar):
        if position < end, UTF8Text.next(bytes, &position) == scalar {
          pc += 1
        } else {
          goesOn = false
        }
      case .set(let index):
        if position < end, program.sets[index].contains(UTF8Text.next(bytes, &position)) {
          pc += 1
        } else {
          goesOn = false
        }
      case .many(let index, let minimum, let maximum, let greed):
        goesOn =
          (!isPlain || enters(pc, position, range))
          && many(index, minimum, maximum, greed, bytes, &pc, &position, end)
      case .fork(let a, let b):
        if isPlain, !enters(pc, position, range) {
          goesOn = false
        } else {
          stack.append(Entry(instruction: Int32(b), kind: .plain, position: position, limit: 0))
          pc = a
        }
      case .jump(let target): pc = target
      case .look, .atomic:
        goesOn =
          (!isPlain || enters(pc, position, range)) && enter(bytes, &pc, &position, range)
      case .anchor(let anchor):
        if holds(anchor, bytes, position, range) { pc += 1 } else { goesOn = false }
      case .note(let slot):
        stack.append(
          Entry(instruction: Int32(slot), kind: .restoresNote, position: notes[slot], limit: 0))
        notes[slot] = position
        pc += 1
      case .again(let start, let slot, let next): pc = notes[slot] == position ? next : start
      }
      if !goesOn {
        guard backtrack(to: bottom, bytes, &pc, &position, end) else { return nil }
      }
    }
  }

  /// Runs the body of a look or an atomic group; false where its outcome is not the wanted one.
  private mutating func enter(
    _ bytes: [UInt8], _ pc: inout Int, _ position: inout Int, _ range: Range<Int>
  ) -> Bool {
    var start = position
    if case .look(let isNegative, let back, let next) = code.instructions[pc] {
      for _ in 0..<back {
        guard start > range.lowerBound else {
          if isNegative { pc = next }
          return isNegative
        }
        start = UTF8Text.before(bytes, start)
      }
      let isThere = run(pc + 1, bytes, start, range) != nil
      pc = next
      return isThere != isNegative && !isOver
    }
    guard case .atomic(let next) = code.instructions[pc],
      let after = run(pc + 1, bytes, start, range)
    else { return false }
    position = after
    pc = next
    return true
  }

  /// Forgets ways not yet tried, but not what the groups were before.
  ///
  /// What was tried on the way here did lead somewhere.
  private mutating func drop(to bottom: Int, _ range: Range<Int>) {
    guard isPlain else {
      stack.removeLast(stack.count - bottom)
      return
    }
    var kept = bottom
    for index in bottom..<stack.count {
      switch stack[index].kind {
      case .entered:
        let place = place(Int(stack[index].instruction), stack[index].position, range)
        memo[place >> 6] &= ~(UInt64(1) << UInt64(place & 63))
      case .restoresNote:
        stack[kept] = stack[index]
        kept += 1
      default: break
      }
    }
    stack.removeLast(stack.count - kept)
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
    steps += count
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
    steps += 1
    if steps > limit { isOver = true }
    if isOver { return false }
    while stack.count > bottom {
      let last = stack.count - 1
      pc = Int(stack[last].instruction)
      position = stack[last].position
      switch stack[last].kind {
      case .plain:
        stack.removeLast()
        return true
      case .restoresNote:
        notes[pc] = position
        stack.removeLast()
      case .entered: stack.removeLast()
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
          deadEnds = [Range<Int>](repeating: 0..<0, count: code.instructions.count)
        }
        deadEnds[pc - 1] = position..<stack[last].end
        stack.removeLast()
      case .takesMore:
        guard case .many(let index, _, _, _) = code.instructions[pc - 1], position < end,
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
    case .lastLineEnd:
      return position == range.upperBound
        || (position == range.upperBound - 1 && bytes[position] == 0x0a)
    case .lineStart(let afterLast):
      return position == range.lowerBound
        || ((afterLast || position < range.upperBound) && bytes[position - 1] == 0x0a)
    case .lineEnd: return position == range.upperBound || bytes[position] == 0x0a
    case .wordEdge(let word): return isEdge(word, bytes, position, range) ?? false
    case .notWordEdge(let word): return isEdge(word, bytes, position, range).map { !$0 } ?? false
    }
  }

  /// Whether a word begins or ends here; nil where Python finds neither edge nor its opposite.
  private func isEdge(
    _ word: RegexNode.Word, _ bytes: [UInt8], _ position: Int, _ range: Range<Int>
  ) -> Bool? {
    if word != .oniguruma, range.isEmpty { return nil }
    let set = word.set
    let before =
      position > range.lowerBound && set.contains(UTF8Text.last(bytes, before: position))
    var next = position
    let after = position < range.upperBound && set.contains(UTF8Text.next(bytes, &next))
    return before != after
  }
}
