import Foundation
import TestSupport
import Testing

@Suite("ProcessRunner")
struct ProcessRunnerTests {
  private let shell = URL(fileURLWithPath: "/bin/sh")

  @Test("Status, output, errors and input of a program arrive")
  func ordinaryProgram() throws {
    let result = try ProcessRunner.run(
      shell, ["-c", "cat; echo $WORD >&2; exit 65"], environment: ["WORD": "seen"], input: "given")
    #expect(result.status == 65)
    #expect(result.output == "given")
    #expect(result.errors == "seen\n")
    #expect(!result.timedOut)
  }

  @Test("A program that does not end is killed, which is an error even where it answers with 0")
  func endlessProgram() throws {
    let script = "trap 'exit 0' TERM; echo began; while :; do sleep 0.01; done"
    let process = try ProcessRunner.start(shell, ["-c", script])
    let result = try process.wait(timeoutSeconds: 0.2)
    #expect(result.timedOut)
    #expect(result.status == 0)
    let error = #expect(throws: TimeoutError.self) { try result.requireFinished() }
    let text = try #require(error?.description)
    #expect(text.contains("sh was killed after") && text.contains("began"), "\(text)")
    #expect(throws: TimeoutError.self) {
      try ProcessRunner.run(shell, ["-c", "exec sleep 60"], timeoutSeconds: 0.2)
    }
  }

  @Test("A program runs in the directory given and can be sent a signal")
  func directoryAndSignal() throws {
    let process = try ProcessRunner.start(
      shell, ["-c", "trap 'pwd; exit 3' USR1; echo ready; while :; do sleep 0.01; done"],
      directory: URL(fileURLWithPath: "/usr"))
    #expect(process.waitUntil { $0.outputSoFar == "ready\n" })
    process.send(signal: SIGUSR1)
    let result = try process.wait(timeoutSeconds: 10)
    #expect(result.status == 3)
    #expect(result.outputLines == ["ready", "/usr"])
  }

  @Test("mpirun starts the ranks asked for", arguments: [1, 3])
  func ranks(count: Int) throws {
    let result = try ProcessRunner.mpirun(
      ranks: count, shell, ["-c", "echo $OMPI_COMM_WORLD_SIZE"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.outputLines == Array(repeating: "\(count)", count: count))
  }
}
