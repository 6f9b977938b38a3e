import Diagnostics
import Testing

@Suite("Durations as people write them") struct DurationTextTests {
  @Test(
    "Numbers with units, from days to seconds",
    arguments: [
      ("90s", 90), ("45m", 2700), ("3h50m", 13_800), ("1d12h", 129_600), ("1.5h", 5400), ("0", 0),
      ("0s", 0), ("1d1h1m1s", 90_061),
    ])
  func durations(text: String, seconds: Double) {
    #expect(DurationText.seconds(text) == seconds)
  }

  @Test(
    "What is none",
    arguments: [
      "", "10", "m", "3h50", "50m3h", "3h3h", "-5m", "1e3s", "3 h", "∞s", "3x", "99999999d",
    ])
  func others(text: String) {
    #expect(DurationText.seconds(text) == nil)
  }

  @Test("They are said in the largest units that fit")
  func texts() {
    #expect(DurationText.text(seconds: 600) == "10m")
    #expect(DurationText.text(seconds: 13_800) == "3h 50m")
    #expect(DurationText.text(seconds: 3) == "3s")
    #expect(DurationText.text(seconds: 0.25) == "0.3s")
  }
}
