import Foundation
import Tensors
import TestSupport
import Testing

/// Doubles from one number to another: one between neighbours, none between two NaN.
private func distance(_ a: Double, _ b: Double) -> UInt64 {
  if a.isNaN && b.isNaN { return 0 }
  if a.isNaN || b.isNaN { return .max }
  // In the order of the numbers themselves, both zeros at 0.
  func place(_ x: Double) -> Int64 {
    let magnitude = Int64(bitPattern: x.magnitude.bitPattern)
    return x.sign == .minus ? -magnitude : magnitude
  }
  return (place(a) - place(b)).magnitude
}

@Suite("Elementary functions") struct PortableMathTests {
  /// Doubles that may lie between a result and the correctly rounded one, that one included.
  private static func allowed(_ name: String) -> UInt64 {
    switch name {
    case "expm1": 2
    case "tanh": 4
    default: 1
    }
  }

  private static func value(_ name: String, _ x: Double, _ y: Double) -> Double? {
    switch name {
    case "exp": PortableMath.exp(x)
    case "expm1": PortableMath.expMinusOne(x)
    case "log": PortableMath.log(x)
    case "sin": PortableMath.sin(x)
    case "cos": PortableMath.cos(x)
    case "tanh": PortableMath.tanh(x)
    case "pow": PortableMath.pow(x, y)
    default: nil
    }
  }

  @Test("Values are within a unit in the last place of the correctly rounded ones")
  func references() throws {
    let text = try String(
      contentsOfFile: fixturePath("functions/values.txt"), encoding: .utf8)
    var seen: [String: Int] = [:]
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      let name = String(fields[0])
      let numbers = try fields.dropFirst().map {
        Double(bitPattern: try #require(UInt64($0, radix: 16)))
      }
      let expected = try #require(numbers.last)
      let found = try #require(Self.value(name, numbers[0], numbers[1]))
      #expect(
        distance(found, expected) <= Self.allowed(name), "\(name) of \(numbers.dropLast())")
      seen[name, default: 0] += 1
    }
    #expect(seen.count == 7 && seen.values.allSatisfy { $0 >= 200 })
  }

  @Test("Values are within two units of the C library's, on a hundred thousand points each")
  func library() {
    let random = CounterRandom(seed: 12)
    var worst: [String: UInt64] = [:]
    for i in 0..<100_000 {
      let (u, v) = (random.uniform(UInt64(2 * i)), random.uniform(UInt64(2 * i + 1)))
      func compare(_ name: String, _ found: Double, _ expected: Double) {
        worst[name] = max(worst[name] ?? 0, distance(found, expected))
      }
      let (x, y) = (2 * u - 1, 2 * v - 1)
      compare("exp", PortableMath.exp(745 * x), exp(745 * x))
      compare("expm1", PortableMath.expMinusOne(x * 30), expm1(x * 30))
      compare("log", PortableMath.log(exp(300 * x)), log(exp(300 * x)))
      compare("sin", PortableMath.sin(1e6 * x), sin(1e6 * x))
      compare("cos", PortableMath.cos(1e6 * x), cos(1e6 * x))
      compare("tanh", PortableMath.tanh(5 * x), tanh(5 * x))
      compare("pow", PortableMath.pow(exp(20 * x), 30 * y), pow(exp(20 * x), 30 * y))
    }
    for (name, found) in worst {
      #expect(found <= Self.allowed(name) + 1, "\(name) is \(found) units off")
    }
  }

  @Test("The ends of the range")
  func ends() {
    let infinity = Double.infinity
    #expect(PortableMath.exp(0) == 1 && PortableMath.exp(-0.0) == 1)
    #expect(PortableMath.exp(710) == infinity && PortableMath.exp(-746) == 0)
    #expect(PortableMath.exp(-infinity) == 0 && PortableMath.exp(infinity) == infinity)
    #expect(PortableMath.exp(.nan).isNaN && PortableMath.log(.nan).isNaN)
    #expect(PortableMath.log(1) == 0 && PortableMath.log(0) == -infinity)
    #expect(PortableMath.log(-1).isNaN && PortableMath.log(infinity) == infinity)
    #expect(PortableMath.sin(0) == 0 && PortableMath.cos(0) == 1)
    #expect(PortableMath.cos(.pi) == -1)
    #expect(PortableMath.sin(.nan).isNaN && PortableMath.cos(infinity).isNaN)
    #expect(PortableMath.tanh(infinity) == 1 && PortableMath.tanh(-infinity) == -1)
    #expect(PortableMath.tanh(-0.0).sign == .minus)
    #expect(PortableMath.pow(0, 0) == 1 && PortableMath.pow(0, 3) == 0)
    #expect(PortableMath.pow(0, -1) == infinity && PortableMath.pow(infinity, -1) == 0)
    #expect(PortableMath.pow(2, 10) == 1024 && PortableMath.pow(2, 1024) == infinity)
    #expect(PortableMath.pow(2, -1074) == Double.leastNonzeroMagnitude)
    #expect(PortableMath.pow(-1, 2).isNaN)
  }
}
