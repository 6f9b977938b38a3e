/// A compiled pattern: instructions for a backtracking matcher.
///
/// There are two lists of them. In `quick`, repetitions of a single set, which is all that the
/// published tokenizers repeat, are one instruction and leave one entry on the stack whatever their
/// length. `plain` goes step by step, so that the matcher can note each place that leads nowhere and
/// needs a time that is linear in the text where backtracking alone would be exponential.
package struct RegexProgram: Sendable {
  enum Instruction: Sendable {
    case scalar(UInt32)
    /// One scalar of a set.
    case set(Int)
    /// Scalars of a set, at least and at most so many.
    case many(set: Int, minimum: Int, maximum: Int, RegexNode.Greed)
    /// Goes on at the first, and at the second where that fails.
    case fork(Int, Int)
    case jump(Int)
    /// Runs up to its `done`, `width` scalars back; goes on at `next` from here if the outcome is as
    /// wanted.
    case look(isNegative: Bool, back: Int, next: Int)
    /// Runs up to its `done`, forgets other ways, goes on at `next` from there.
    case atomic(next: Int)
    case anchor(RegexNode.Anchor)
    /// Notes the position.
    case note(Int)
    /// Goes on at `start`, or at `next` where nothing was taken since the note.
    case again(start: Int, note: Int, next: Int)
    case done
  }

  /// Instructions with their numbers among those whose failures are noted, or -1.
  struct Code: Sendable {
    var instructions: [Instruction] = []
    var memoIndex: [Int32] = []
    var memoCount = 0
  }

  let quick: Code
  let plain: Code
  let sets: [ScalarSet]
  let groupCount: Int
  let noteCount: Int
  /// Whether a group is repeated without end.
  package let hasLoops: Bool
  /// Whether it can match without taking a scalar.
  package let canBeEmpty: Bool

  /// Reads a pattern of Oniguruma's syntax, as the tokenizers library has it.
  ///
  /// - Throws: what is wrong with it or not known to this reader.
  package init(oniguruma pattern: String) throws(RegexError) {
    var parser = try OnigurumaParser(pattern)
    try self.init(try parser.pattern(), repeatsEmpty: false, groupCount: 0)
  }

  /// - Parameter repeatsEmpty: whether groups that can match nothing may be repeated without end.
  init(_ node: RegexNode, repeatsEmpty: Bool, groupCount: Int) throws(RegexError) {
    var compiler = RegexCompiler(repeatsEmpty: repeatsEmpty, noteCount: 2 * (groupCount + 1))
    // A pattern that notes is run in plain code alone.
    quick = repeatsEmpty ? Code() : try compiler.code(node)
    compiler.isPlain = true
    plain = try compiler.code(node)
    sets = compiler.sets
    hasLoops = compiler.hasLoops
    self.groupCount = groupCount
    noteCount = compiler.noteCount
    canBeEmpty = node.canBeEmpty
  }
}

private struct RegexCompiler {
  /// Repetitions of a scalar up to this are written out in plain code.
  private static let writtenOut = 8

  let repeatsEmpty: Bool
  var isPlain = false
  var sets: [ScalarSet] = []
  var hasLoops = false
  /// Two a group, and one a repetition of what can be empty.
  var noteCount: Int
  private var setIndex: [ScalarSet: Int] = [:]
  private var instructions: [RegexProgram.Instruction] = []

  init(repeatsEmpty: Bool, noteCount: Int) {
    self.repeatsEmpty = repeatsEmpty
    self.noteCount = noteCount
  }

  mutating func code(_ node: RegexNode) throws(RegexError) -> RegexProgram.Code {
    instructions = []
    try add(node)
    instructions.append(.done)
    var code = RegexProgram.Code(instructions: instructions)
    for instruction in instructions {
      switch instruction {
      case .fork, .many, .look, .atomic:
        code.memoIndex.append(Int32(code.memoCount))
        code.memoCount += 1
      default: code.memoIndex.append(-1)
      }
    }
    return code
  }

  private mutating func add(_ node: RegexNode) throws(RegexError) {
    if instructions.count > RegexLimit.instructions { throw RegexError(problem: "it is too long") }
    switch node {
    case .scalar(let scalar): instructions.append(.scalar(scalar))
    case .set(let set): instructions.append(.set(try index(of: set)))
    case .sequence(let nodes): for node in nodes { try add(node) }
    case .anchor(let anchor): instructions.append(.anchor(anchor))
    case .alternatives(let branches): try add(branches)
    case .lookahead(let body, let isNegative): try addLook(body, isNegative, back: 0)
    case .lookbehind(let body, let isNegative, let width):
      try addLook(body, isNegative, back: width)
    case .atomic(let body):
      let place = reserve()
      try add(body)
      instructions.append(.done)
      instructions[place] = .atomic(next: instructions.count)
    case .group(let body, let number):
      instructions.append(.note(2 * number))
      try add(body)
      instructions.append(.note(2 * number + 1))
    case .repeated(let body, let minimum, let maximum, let greed):
      try addRepetition(body, minimum, maximum, greed)
    }
  }

  private mutating func addLook(
    _ body: RegexNode, _ isNegative: Bool, back: Int
  ) throws(RegexError) {
    let place = reserve()
    try add(body)
    instructions.append(.done)
    instructions[place] = .look(isNegative: isNegative, back: back, next: instructions.count)
  }

  private mutating func addRepetition(
    _ body: RegexNode, _ minimum: Int, _ maximum: Int?, _ greed: RegexNode.Greed
  ) throws(RegexError) {
    if let set = body.repeatable {
      let bound = maximum ?? minimum
      if !isPlain || greed == .possessive || bound > Self.writtenOut {
        let set = try index(of: set)
        guard isPlain, maximum == nil, greed != .possessive else {
          instructions.append(
            .many(set: set, minimum: minimum, maximum: maximum ?? .max, greed))
          return
        }
        instructions.append(.many(set: set, minimum: minimum, maximum: minimum, .possessive))
        return try addEndless(body, greed)
      }
    }
    if greed == .possessive {
      return try add(.atomic(.repeated(body, minimum: minimum, maximum: maximum, .greedy)))
    }
    for _ in 0..<minimum {
      let before = instructions.count
      try add(body)
      // An empty group need not be there more than once.
      if instructions.count == before { break }
    }
    if let maximum {
      try addOptional(body, times: maximum - minimum, greed)
    } else {
      try addEndless(body, greed)
    }
  }

  private mutating func add(_ branches: [RegexNode]) throws(RegexError) {
    var jumps: [Int] = []
    for (number, branch) in branches.enumerated() {
      guard number < branches.count - 1 else {
        try add(branch)
        break
      }
      let fork = reserve()
      try add(branch)
      jumps.append(reserve())
      instructions[fork] = .fork(fork + 1, instructions.count)
    }
    for jump in jumps { instructions[jump] = .jump(instructions.count) }
  }

  private mutating func addOptional(
    _ body: RegexNode, times: Int, _ greed: RegexNode.Greed
  ) throws(RegexError) {
    var forks: [Int] = []
    for _ in 0..<max(times, 0) {
      forks.append(reserve())
      try add(body)
    }
    for fork in forks { setFork(fork, inside: fork + 1, behind: instructions.count, greed) }
  }

  private mutating func addEndless(
    _ body: RegexNode, _ greed: RegexNode.Greed
  ) throws(RegexError) {
    if body.repeatable == nil {
      hasLoops = true
      if !repeatsEmpty, body.canBeEmpty {
        throw RegexError(problem: "it repeats a group that can be empty")
      }
    }
    let fork = reserve()
    if body.canBeEmpty {
      let note = noteCount
      noteCount += 1
      instructions.append(.note(note))
      try add(body)
      instructions.append(.again(start: fork, note: note, next: instructions.count + 1))
    } else {
      try add(body)
      instructions.append(.jump(fork))
    }
    setFork(fork, inside: fork + 1, behind: instructions.count, greed)
  }

  private mutating func setFork(_ fork: Int, inside: Int, behind: Int, _ greed: RegexNode.Greed) {
    instructions[fork] = greed == .lazy ? .fork(behind, inside) : .fork(inside, behind)
  }

  private mutating func reserve() -> Int {
    instructions.append(.done)
    return instructions.count - 1
  }

  private mutating func index(of set: ScalarSet) throws(RegexError) -> Int {
    if let known = setIndex[set] { return known }
    if sets.count >= RegexLimit.sets {
      throw RegexError(problem: "it has more than \(RegexLimit.sets) different sets")
    }
    setIndex[set] = sets.count
    sets.append(set)
    return sets.count - 1
  }
}

extension RegexNode {
  /// The set, where the node is one scalar.
  fileprivate var repeatable: ScalarSet? {
    switch self {
    case .scalar(let scalar): ScalarSet(scalar...scalar)
    case .set(let set): set
    default: nil
    }
  }
}
