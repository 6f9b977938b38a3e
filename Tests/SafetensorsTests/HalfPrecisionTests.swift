import Tensors
import TestSupport
import Testing

@Suite("16-bit floats")
struct HalfPrecisionTests {
  @Test("Every f16 expands to its value and rounds back to itself")
  func allHalves() {
    for bits in UInt16.min...UInt16.max {
      let expected = Float(Float16(bitPattern: bits))
      let value = HalfPrecision.float(float16: bits)
      guard !expected.isNaN else {
        #expect(value.isNaN && HalfPrecision.float(float16: HalfPrecision.float16(value)).isNaN)
        continue
      }
      guard value.bitPattern == expected.bitPattern, HalfPrecision.float16(value) == bits else {
        Issue.record("\(bits) became \(value)")
        return
      }
    }
  }

  @Test("Rounding to f16 is to the nearest, ties to even, for all magnitudes")
  func roundsToHalf() {
    let random = SeededRandom(5).generator()
    for counter in 0..<200_000 {
      let word = random.bits(UInt64(counter))
      // Exponents from below f16's subnormals to above its range; ties made likely.
      var bits = UInt32(truncatingIfNeeded: word) & 0x807f_ffff
      bits |= UInt32(95 + (word >> 40) % 55) << 23
      if word >> 62 == 0 { bits &= ~0xfff }
      let value = Float(bitPattern: bits)
      guard HalfPrecision.float16(value) == Float16(value).bitPattern else {
        Issue.record("\(value) became \(HalfPrecision.float16(value))")
        return
      }
    }
    #expect(HalfPrecision.float16(65519.996) == 0x7bff && HalfPrecision.float16(65520) == 0x7c00)
    #expect(HalfPrecision.float16(-.infinity) == 0xfc00)
  }

  @Test("Rounding to bf16 is to the nearest, ties to even, and NaN stays NaN")
  func roundsToBFloat() {
    #expect(HalfPrecision.bfloat16(1) == 0x3f80)
    #expect(HalfPrecision.bfloat16(Float(bitPattern: 0x3f80_8000)) == 0x3f80)
    #expect(HalfPrecision.bfloat16(Float(bitPattern: 0x3f81_8000)) == 0x3f82)
    #expect(HalfPrecision.bfloat16(Float(bitPattern: 0x3f80_8001)) == 0x3f81)
    #expect(HalfPrecision.bfloat16(.greatestFiniteMagnitude) == 0x7f80)
    #expect(HalfPrecision.bfloat16(-.infinity) == 0xff80)
    #expect(HalfPrecision.bfloat16(Float(bitPattern: 0xffff_ffff)) & 0x7fff > 0x7f80)
  }
}
