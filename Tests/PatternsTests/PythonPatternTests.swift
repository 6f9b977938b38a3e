import Foundation
import JSON
import Patterns
import TestSupport
import Testing

@Suite("Patterns as Python reads them")
struct PythonPatternTests {
  /// What Python knows and the reader refuses by name.
  private static let unknown = ["is not known here", "more than 100000", "different sets"]

  @Test("Every pattern of Python's re matches what Python says it does")
  func reference() throws {
    let path = fixturePath("patterns/python.json")
    let cases = try #require(
      try JSONNode(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path)))).array)
    #expect(cases.count > 1500)
    var (compared, refused, unknown) = (0, 0, 0)
    for item in cases {
      let source = try #require(item.array?[0].string)
      let rows = item.array?[1].array
      let pattern: PythonPattern
      do throws(RegexError) { pattern = try PythonPattern(source) } catch {
        if Self.unknown.contains(where: error.problem.contains) {
          unknown += 1
        } else {
          refused += 1
          #expect(rows == nil, "\(source.debugDescription) is refused: \(error)")
        }
        continue
      }
      guard let rows else {
        Issue.record("\(source.debugDescription) is read; Python refuses it")
        continue
      }
      for row in rows {
        let parts = row.array ?? [row]
        let text = try #require(parts[0].string)
        let name = "\(source.debugDescription) on \(text.debugDescription)"
        #expect(
          try pattern.matchesWhole(text) == (parts.count > 1 && parts[1].integer == 1), "\(name)")
        let match = try pattern.match(text)
        #expect(
          match?.groups[0]?.utf8.count == (parts.count > 2 ? parts[2].integer : nil), "\(name)")
        if let match, parts.count > 3, let groups = parts[3].array {
          // Python lets a group that is repeated take nothing once more in the end.
          for (group, expected) in zip(match.groups.dropFirst(), groups)
          where expected.string?.isEmpty != true {
            #expect(group == expected.string, "groups: \(name)")
          }
        }
        compared += 1
      }
    }
    #expect(compared > 7000 && refused > 300 && unknown < 100, "\(compared) \(refused) \(unknown)")
  }

  @Test(
    "A construct that is not known is refused by name",
    arguments: [
      (#"(a)\1"#, #"a reference to a group, '\1'"#), ("(?P<x>a)(?P=x)", "'(?P='"),
      ("(a)?(?(1)b|c)", "'(?('"), (#"\N{BULLET}"#, #"'\N'"#),
    ])
  func unknown(source: String, words: String) {
    #expect { _ = try PythonPattern(source) } throws: { "\($0)".contains(words) }
  }

  @Test(
    "Patterns that take an exponential time elsewhere take none here",
    arguments: [
      "(a+)+$", "(a|a)*$", "(a|aa)+$", "(.*)*x", "(?:a?){200}a{200}", "((a*)*)*$", "(a*a*)*$",
      "(?=(a+)+$)a", "(?>(a+)+)$", "(?!(a+)+b)a*$", #"(\w+\.?)+$"#, "(a|b|ab)*c", "(.*?,){20}x",
      "(?:(?:a+)+)+$", "(a+?)+?$", "a*a*a*a*a*$",
    ])
  func exponential(source: String) throws {
    let clock = ThreadClock()
    let pattern = try PythonPattern(source)
    let text = String(repeating: "a", count: 400) + "!"
    let time = try clock.measure {
      #expect(try !pattern.matchesWhole(text))
      _ = try pattern.match(text)
    }
    #expect(time < .seconds(20))
  }

  @Test("What takes too many steps all the same is an error, not a wait")
  func budget() throws {
    let pattern = try PythonPattern("(a{1,90000})+(a{1,90000})+$")
    #expect(throws: RegexError.tooSlow) {
      _ = try pattern.matchesWhole(String(repeating: "a", count: 30_000) + "!")
    }
  }

  @Test(
    "Patterns without measure are refused",
    arguments: [
      String(repeating: "(", count: 50_000), String(repeating: "(?:", count: 50_000),
      String(repeating: "(a", count: 200) + String(repeating: ")", count: 200),
      String(repeating: "a", count: 70_000), "((((a{99}){99}){99}){99}){99}",
      "(((a{99999}b){99999}){99999})", "a{999999999999999999999}",
      String(repeating: "(?i", count: 3000), "((?:a?){9000}){9}",
    ])
  func measureless(source: String) {
    #expect(throws: RegexError.self) { _ = try PythonPattern(source) }
    #expect(throws: RegexError.self) { _ = try RegexProgram(oniguruma: source + "(") }
  }

  @Test("Empty groups repeated without measure take no time")
  func empty() throws {
    let source = "(?:(?:(?:(?:){99999}){99999}){99999}){99999}a"
    #expect(try PythonPattern(source).matchesWhole("a"))
  }

  @Test("Letters, digits, blanks and cases are Python's")
  func scalars() throws {
    let path = fixturePath("patterns/scalars.json")
    let file = try JSONNode(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path))))
    func set(_ name: String) throws -> ScalarSet {
      var (set, start, isInside) = (ScalarSet(), UInt32(0), false)
      for run in try #require(file[name]?.array).compactMap(\.integer) {
        if isInside, run > 0 { set.insert(start...(start + UInt32(run) - 1)) }
        start += UInt32(run)
        isInside.toggle()
      }
      return set
    }
    let assigned = try set("assigned")
    for (name, own) in [
      ("\\w", PythonSets.word), ("\\d", PythonSets.digits), ("\\s", PythonSets.space),
    ] {
      var (ours, theirs) = (own, try set(name))
      ours.formIntersection(assigned)
      theirs.formIntersection(assigned)
      let other = zip(ours.words, theirs.words).enumerated().filter { $0.element.0 != $0.element.1 }
      #expect(other.isEmpty, "\(name): \(other.map { String(64 * $0.offset, radix: 16) })")
    }
    var parser = try PythonParser("")
    parser.flags = .ignoreCase
    for item in try #require(file["cases"]?.array) {
      let members = (item.array ?? []).compactMap(\.integer).map { UInt32($0) }
      var expected = ScalarSet()
      for member in members { expected.insert(member...member) }
      for member in members {
        let cases = parser.cases(of: ScalarSet(member...member))
        #expect(cases == expected, "\(members.map { String($0, radix: 16) })")
      }
    }
  }

  @Test("A pattern that is asked for again is the same")
  func kept() throws {
    for index in 0..<200 {
      let count = index % 70
      let text = String(repeating: "a", count: count)
      #expect(try PythonPattern.kept("a{\(count)}").matchesWhole(text))
    }
  }
}

@Suite("The two ways to run a pattern")
struct RegexMatcherTests {
  @Test("Plain code finds what quick code finds")
  func equal() throws {
    var random = Draws(state: 7)
    let sources = [
      #"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#,
      #"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*[\p{Ll}]+|\p{N}{1,3}|\s+$|\s*[\r\n]|\s+"#,
      #"(a|b)+?1|(?>a+)b|a{2,3}?b|\ba|b\B|(?:ab)*+a|[ab]{9,12}"#, #"(?:a|b){2,}(?=1)|(?!a)b|$|^a"#,
    ]
    let alphabet = Array("aabbb11 \n\r.A'sé")
    for source in sources {
      let program = try RegexProgram(oniguruma: source)
      for _ in 0..<400 {
        let text = String(
          (0..<random.below(41)).map { _ in
            alphabet[random.below(alphabet.count)]
          })
        let bytes = Array(text.utf8)
        var (quick, plain): ([Range<Int>], [Range<Int>]) = ([], [])
        var matcher = RegexMatcher(program)
        try matcher.matches(bytes, in: 0..<bytes.count) { quick.append($0) }
        var other = RegexMatcher(program)
        other.usePlainCode()
        try other.matches(bytes, in: 0..<bytes.count) { plain.append($0) }
        #expect(quick == plain, "\(source) on \(text.debugDescription)")
      }
    }
  }

  @Test(
    "A tokenizer's pattern of exponential time is left for the plain code",
    arguments: ["(?:a+)+$", "(?:a|aa)+b", "(?:a+b?)+c|a", #"(?:\w+\s?)+$"#])
  func exponential(source: String) throws {
    let program = try RegexProgram(oniguruma: source)
    let bytes = Array((String(repeating: "a", count: 3000) + "!").utf8)
    let clock = ThreadClock()
    var count = 0
    var matcher = RegexMatcher(program)
    let time = try clock.measure {
      try matcher.matches(bytes, in: 0..<bytes.count) { _ in count += 1 }
    }
    #expect(time < .seconds(30))
    #expect(count == (source.hasSuffix("|a") ? 3000 : 0))
  }
}

/// Whole numbers that follow from a seed (SplitMix64).
private struct Draws {
  var state: UInt64

  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9e37_79b9_7f4a_7c15
    var x = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
    x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
    return Int((x ^ (x >> 31)) % UInt64(bound))
  }
}
