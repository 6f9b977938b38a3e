import Patterns

/// Stretches of a text, in order and without gaps, told to match something or not.
struct Stretch {
  var range: Range<Int>
  var isMatch: Bool
}

/// What becomes of the stretches that a pattern matched: the reference's five behaviours.
enum SplitBehavior: String, Sendable {
  case isolated = "Isolated"
  case removed = "Removed"
  case contiguous = "Contiguous"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"

  /// Appends the pieces that `stretches` come to.
  func pieces(_ stretches: [Stretch], into result: inout [Range<Int>]) {
    switch self {
    case .isolated: for stretch in stretches { result.append(stretch.range) }
    case .removed: for stretch in stretches where !stretch.isMatch { result.append(stretch.range) }
    case .contiguous:
      let start = result.count
      var wasMatch = false
      for stretch in stretches {
        if stretch.isMatch == wasMatch, result.count > start {
          result[result.count - 1] =
            result[result.count - 1].lowerBound..<stretch.range.upperBound
        } else {
          result.append(stretch.range)
        }
        wasMatch = stretch.isMatch
      }
    case .mergedWithPrevious:
      let start = result.count
      var wasMatch = false
      for stretch in stretches {
        if stretch.isMatch, !wasMatch, result.count > start {
          result[result.count - 1] =
            result[result.count - 1].lowerBound..<stretch.range.upperBound
        } else {
          result.append(stretch.range)
        }
        wasMatch = stretch.isMatch
      }
    case .mergedWithNext:
      var reversed: [Range<Int>] = []
      var wasMatch = false
      for stretch in stretches.reversed() {
        if stretch.isMatch, !wasMatch, let last = reversed.last {
          reversed[reversed.count - 1] = stretch.range.lowerBound..<last.upperBound
        } else {
          reversed.append(stretch.range)
        }
        wasMatch = stretch.isMatch
      }
      result.append(contentsOf: reversed.reversed())
    }
  }
}

/// What Split and Replace look for.
enum TextPattern: Sendable {
  /// Exactly these bytes.
  case literal([UInt8])
  /// A regular expression.
  case regex(RegexProgram)

  /// What runs it; one for all words of a text, whose steps are then counted together.
  func matcher() -> RegexMatcher? {
    if case .regex(let program) = self { RegexMatcher(program) } else { nil }
  }

  /// The stretches of `bytes[range]`.
  ///
  /// - Parameter matcher: what `matcher()` gave.
  func stretches(
    _ bytes: [UInt8], _ range: Range<Int>, _ matcher: inout RegexMatcher?
  ) throws(RegexError) -> [Stretch] {
    var result: [Stretch] = []
    var previous = range.lowerBound
    func add(_ match: Range<Int>) {
      if previous < match.lowerBound {
        result.append(Stretch(range: previous..<match.lowerBound, isMatch: false))
      }
      result.append(Stretch(range: match, isMatch: true))
      previous = match.upperBound
    }
    switch self {
    case .literal(let text):
      var position = range.lowerBound
      while position + text.count <= range.upperBound {
        if bytes[position] == text[0],
          bytes[position..<(position + text.count)].elementsEqual(text)
        {
          add(position..<(position + text.count))
          position += text.count
        } else {
          position += 1
        }
      }
    case .regex: try matcher?.matches(bytes, in: range, add)
    }
    if previous < range.upperBound {
      result.append(Stretch(range: previous..<range.upperBound, isMatch: false))
    }
    return result
  }
}

/// The stretches of single scalars that are in `set`, and of what lies between them.
func scalarStretches(_ bytes: [UInt8], _ range: Range<Int>, _ set: ScalarSet) -> [Stretch] {
  var result: [Stretch] = []
  var previous = range.lowerBound
  var position = range.lowerBound
  while position < range.upperBound {
    let start = position
    if set.contains(UTF8Text.next(bytes, &position)) {
      if previous < start { result.append(Stretch(range: previous..<start, isMatch: false)) }
      result.append(Stretch(range: start..<position, isMatch: true))
      previous = position
    }
  }
  if previous < range.upperBound {
    result.append(Stretch(range: previous..<range.upperBound, isMatch: false))
  }
  return result
}
