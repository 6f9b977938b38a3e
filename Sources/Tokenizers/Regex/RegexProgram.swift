/// A compiled pattern: instructions for a backtracking matcher.
///
/// Repetitions of a single set, which is all that the published patterns repeat, are one instruction
/// and leave one entry on the stack whatever their length. Groups that can match nothing are not
/// repeated without end: such a pattern is refused.
struct RegexProgram: Sendable {
  enum Instruction: Sendable {
    /// One scalar of a set.
    case set(Int)
    /// Scalars of a set, at least and at most so many.
    case many(set: Int, minimum: Int, maximum: Int, RegexNode.Greed)
    /// Goes on at the first, and at the second where that fails.
    case fork(Int, Int)
    case jump(Int)
    /// Runs up to its `done`; goes on at `next` from here if the outcome is as wanted.
    case look(isNegative: Bool, next: Int)
    /// Runs up to its `done`, forgets other ways, goes on at `next` from there.
    case atomic(next: Int)
    case anchor(RegexNode.Anchor)
    case done
  }

  let instructions: [Instruction]
  let sets: [ScalarSet]

  init(_ pattern: String) throws(RegexError) {
    var parser = RegexParser(pattern)
    var compiler = RegexCompiler()
    try compiler.add(try parser.pattern())
    compiler.instructions.append(.done)
    instructions = compiler.instructions
    sets = compiler.sets
  }
}

private struct RegexCompiler {
  /// More copies of repeated groups than any sane pattern needs.
  static let limit = 20_000

  var instructions: [RegexProgram.Instruction] = []
  var sets: [ScalarSet] = []

  mutating func add(_ node: RegexNode) throws(RegexError) {
    if instructions.count > Self.limit { throw RegexError(problem: "it is too long") }
    switch node {
    case .set(let set): instructions.append(.set(index(of: set)))
    case .sequence(let nodes): for node in nodes { try add(node) }
    case .anchor(let anchor): instructions.append(.anchor(anchor))
    case .alternatives(let branches): try add(branches[...])
    case .lookahead(let body, let isNegative):
      let place = reserve()
      try add(body)
      instructions.append(.done)
      instructions[place] = .look(isNegative: isNegative, next: instructions.count)
    case .atomic(let body):
      let place = reserve()
      try add(body)
      instructions.append(.done)
      instructions[place] = .atomic(next: instructions.count)
    case .repeated(.set(let set), let minimum, let maximum, let greed):
      instructions.append(
        .many(set: index(of: set), minimum: minimum, maximum: maximum ?? .max, greed))
    case .repeated(let body, let minimum, let maximum, .possessive):
      try add(.atomic(.repeated(body, minimum: minimum, maximum: maximum, .greedy)))
    case .repeated(let body, let minimum, let maximum, let greed):
      for _ in 0..<minimum { try add(body) }
      if let maximum {
        try addOptional(body, times: maximum - minimum, greed)
      } else {
        try addEndless(body, greed)
      }
    }
  }

  private mutating func add(_ branches: ArraySlice<RegexNode>) throws(RegexError) {
    guard let first = branches.first else { return }
    guard branches.count > 1 else { return try add(first) }
    let fork = reserve()
    try add(first)
    let jump = reserve()
    instructions[fork] = .fork(fork + 1, instructions.count)
    try add(branches.dropFirst())
    instructions[jump] = .jump(instructions.count)
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
    if body.canBeEmpty { throw RegexError(problem: "it repeats a group that can be empty") }
    let fork = reserve()
    try add(body)
    instructions.append(.jump(fork))
    setFork(fork, inside: fork + 1, behind: instructions.count, greed)
  }

  private mutating func setFork(_ fork: Int, inside: Int, behind: Int, _ greed: RegexNode.Greed) {
    instructions[fork] = greed == .lazy ? .fork(behind, inside) : .fork(inside, behind)
  }

  private mutating func reserve() -> Int {
    instructions.append(.done)
    return instructions.count - 1
  }

  private mutating func index(of set: ScalarSet) -> Int {
    if let known = sets.firstIndex(of: set) { return known }
    sets.append(set)
    return sets.count - 1
  }
}

extension RegexNode {
  fileprivate var canBeEmpty: Bool {
    switch self {
    case .set: false
    case .sequence(let nodes): nodes.allSatisfy(\.canBeEmpty)
    case .alternatives(let branches): branches.contains(where: \.canBeEmpty)
    case .repeated(let body, let minimum, _, _): minimum == 0 || body.canBeEmpty
    case .atomic(let body): body.canBeEmpty
    case .lookahead, .anchor: true
    }
  }
}
