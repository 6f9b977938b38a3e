/// A sum of `Double`s that does not depend on the order of its terms.
///
/// ```swift
/// var sum = ExactSum()
/// sum.add(loss)
/// print(sum.value)
/// ```
///
/// Each term is rounded once onto the grid 2⁻⁶⁴ and added as four digits of 32 bits, each digit in an
/// `Int64` of its own that has room for 2³¹ terms. Integer addition has no order, so the sum, and the
/// number it is read back as, are the same however the terms were dealt to ranks. For terms under
/// 2⁶² in magnitude; a larger or non-finite one makes ``value`` NaN.
public struct ExactSum: Sendable, Hashable {
  /// Digits of weight 2³², 2⁰, 2⁻³² and 2⁻⁶⁴, signed and not carried.
  var digits: (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
  /// Terms that no digit can hold.
  var unrepresentable: Int64 = 0

  /// A sum without terms.
  public init() {}

  /// Adds a term.
  public mutating func add(_ term: Double) {
    guard term.magnitude < 0x1p62 else {
      unrepresentable += 1
      return
    }
    // Rounding to the nearest at each digit leaves a rest of half a digit at most; subtraction and
    // scaling by a power of two are exact.
    var rest = term * 0x1p-32
    func digit() -> Int64 {
      let nearest = rest.rounded(.toNearestOrEven)
      rest = (rest - nearest) * 0x1p32
      return Int64(nearest)
    }
    digits.0 += digit()
    digits.1 += digit()
    digits.2 += digit()
    digits.3 += digit()
  }

  /// The sum, as the nearest `Double` or its neighbour; NaN where a term could not be held.
  public var value: Double {
    guard unrepresentable == 0 else { return .nan }
    // Carrying first makes the digits, hence the result, a function of the sum alone.
    let carried = Self.carried(digits)
    // A negative sum is carried as its negative: else it would be read as the difference of two
    // large numbers.
    guard carried.0 < 0 else { return Self.read(carried) }
    return -Self.read(Self.carried((-digits.0, -digits.1, -digits.2, -digits.3)))
  }

  private typealias Digits = (Int64, Int64, Int64, Int64)

  private static func carried(_ digits: Digits) -> Digits {
    let mask: Int64 = 0xffff_ffff
    let third = digits.2 + (digits.3 >> 32)
    let second = digits.1 + (third >> 32)
    return (digits.0 + (second >> 32), second & mask, third & mask, digits.3 & mask)
  }

  private static func read(_ digits: Digits) -> Double {
    (Double(digits.0) * 0x1p32 + Double(digits.1))
      + (Double(digits.2) * 0x1p-32 + Double(digits.3) * 0x1p-64)
  }

  /// Whether both have the same digits.
  public static func == (one: ExactSum, other: ExactSum) -> Bool {
    one.digits == other.digits && one.unrepresentable == other.unrepresentable
  }

  /// Feeds the digits to a hasher.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(digits.0)
    hasher.combine(digits.1)
    hasher.combine(digits.2)
    hasher.combine(digits.3)
    hasher.combine(unrepresentable)
  }
}
