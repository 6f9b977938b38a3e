import Testing
import Training

@Suite("Lines of a run where nothing else is said") struct PeriodicLineTests {
  private func lines(
    every interval: Duration, lastSaid: ContinuousClock.Instant? = nil, loggingSteps: Int = 3
  ) throws -> [RunStatus] {
    let tiny = try TinyRun()
    let run = try tiny.open(["logging_steps": .int(loggingSteps)])
    var found: [RunStatus] = []
    let display =
      lastSaid.map { time in
        PeriodicLine(every: interval, lastSaid: { time }) { found.append($0) }
      } ?? PeriodicLine(every: interval) { found.append($0) }
    run.display = display
    try withExtendedLifetime(tiny) { _ = try run.train() }
    return found
  }

  @Test("They come when nothing was said for so long, with what is left of the run")
  func comes() throws {
    let all = try lines(every: .zero)
    #expect(all.map(\.step) == [1, 2], "steps 3 and 4 have lines of their own")
    #expect((all.last?.secondsLeft ?? 0) > 0 && all.first?.line.contains(" left  ") == true)
    #expect(try lines(every: .zero, loggingSteps: 1).isEmpty)
    #expect(try lines(every: .seconds(3600)).isEmpty)
    #expect(try lines(every: .seconds(1), lastSaid: .now + .seconds(3600)).isEmpty)
  }
}
