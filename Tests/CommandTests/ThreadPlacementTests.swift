import Foundation
import TestSupport
import Testing

#if os(Linux)
  /// Masks need two processors to differ; a machine of one has nothing to place.
  private let processors = ProcessInfo.processInfo.activeProcessorCount

  @Suite("Threads and the launcher's masks", .serialized) struct ThreadPlacementTests {
    /// Starts `mpirun` behind `taskset`, so that all ranks get the mask that is given.
    private func mpirun(
      ranks: Int, processors: String, _ bench: Workbench, _ arguments: [String]
    ) throws -> ProcessResult {
      try ProcessRunner.run(
        URL(fileURLWithPath: "/usr/bin/env"),
        [
          "taskset", "-c", processors, "mpirun", "--oversubscribe", "--bind-to", "none", "-n",
          "\(ranks)", Workbench.program.path,
        ] + bench.options(output: bench.path("out")) + ["--max-steps", "1"] + arguments,
        environment: ProcessRunner.mpirunEnvironment)
    }

    @Test("Ranks of one mask are bound to different cores", .enabled(if: processors >= 2))
    func disjoint() throws {
      let bench = try Workbench()
      let result = try mpirun(ranks: 2, processors: "0,1", bench, ["--log-all-ranks"])
      try #require(result.status == 0, "\(result.errors)")
      let places = result.errors.split(separator: "\n").compactMap { line in
        line.range(of: "bound to ").map { line[$0.upperBound...].prefix { $0 != ")" } }
      }
      #expect(places.count == 2 && Set(places).isSubset(of: ["0", "1", "0,1", "0-1"]))
      // Hyperthreads of one core are taken apart too, so both are alone in any case.
      #expect(Set(places) == ["0", "1"])
      #expect(!result.errors.contains("warning"), "\(result.errors)")
    }

    @Test("All ranks on one core are warned of, with what to start them with")
    func oneCore() throws {
      let bench = try Workbench()
      let result = try mpirun(ranks: 3, processors: "0", bench, [])
      try #require(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("all 3 ranks of this node are bound to one core"))
      #expect(result.errors.contains("--bind-to none"))
      #expect(!result.errors.contains(", bound to"))
    }

    @Test("More threads than cores are warned of once", .enabled(if: processors >= 2))
    func tooManyThreads() throws {
      let bench = try Workbench()
      let result = try mpirun(ranks: 2, processors: "0,1", bench, ["--threads", "3"])
      try #require(result.status == 0, "\(result.errors)")
      #expect(result.errors.components(separatedBy: "2 ranks of 3 threads share").count == 2)
    }

    @Test("Threads are left to the system where that is asked for")
    func unbound() throws {
      let bench = try Workbench()
      let result = try bench.run(
        bench.options(output: bench.path("out")) + ["--max-steps", "1", "--bind-threads", "none"])
      try #require(result.status == 0, "\(result.errors)")
      #expect(!result.errors.contains(", bound to"))
    }
  }
#endif
