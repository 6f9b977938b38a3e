import DataParallel
import Foundation
import TestSupport
import Testing

/// One program for Open MPI and for MPICH's binary interface.
@Suite("The MPI library of the launcher", .serialized)
struct MPILibraryTests {
  private let probe = ProcessRunner.built("mpi-probe")

  @Test("Who launched the process says which library it needs")
  func choice() throws {
    func libraries(_ environment: [String: String]) throws -> [MPILibrary] {
      try #require(LauncherClaim(environment: environment)).libraries
    }
    #expect(try libraries(["OMPI_COMM_WORLD_SIZE": "2"]) == [.openMPI])
    #expect(try libraries(["PMI_SIZE": "2", "PMI_RANK": "0"]) == [.mpich])
    let step = ["SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "0"]
    #expect(
      try libraries(step.merging(["PMIX_RANK": "0"]) { $1 }) == [.openMPI, .mpich])
    #expect(try libraries(step.merging(["PMI_RANK": "0"]) { $1 }) == [.mpich, .openMPI])
    #expect(
      try libraries(["MV2_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_RANK": "0"]) == [.mpich])
  }

  @Test("Under MPICH's launcher the same program does the same", arguments: 1...4)
  func mpich(ranks: Int) throws {
    let place = try ProcessRunner.mpich(ranks: ranks, probe, ["place"])
    #expect(place.status == 0, "\(place.errors)")
    #expect(
      place.outputLines.sorted()
        == (0..<ranks).map { "\($0)/\(ranks) local \($0)/\(ranks) nodes 1 mpi" })
    for check in ["collectives", "sums", "shared", "counter", "send", "reduce", "totals", "facts"] {
      let (one, other) = (
        try ProcessRunner.mpich(ranks: ranks, probe, [check]),
        try ProcessRunner.mpirun(ranks: ranks, probe, [check])
      )
      #expect(one.status == 0, "\(check): \(one.errors)")
      #expect(one.output == other.output, "\(check)")
    }
  }

  @Test("Under MPICH's launcher failures are told once, with the status")
  func failures() throws {
    for (check, status) in [(["agreement", "2", "1"], 65), (["step", "1"], 73)] {
      let result = try ProcessRunner.mpich(ranks: 3, probe, check)
      #expect(result.status == status, "\(result.errors)")
      let messages = result.errors.split(separator: "\n").filter { $0.hasPrefix("[rank 1/3] ") }
      #expect(messages.count == 1, "\(result.errors)")
    }
  }

  @Test("Where none fits, what was tried and how to mend it is said once, without a hang")
  func none() throws {
    // A launcher whose library nobody finds by these names.
    let place = ["SWIFT_PEFT_TRAIN_MPI_NAMES": "libmpi-that-is-not-there.so"]
    for rank in 0..<2 {
      let result = try ProcessRunner.run(
        probe, ["place"],
        environment: place.merging(["PMI_SIZE": "2", "PMI_RANK": "\(rank)"]) { $1 })
      #expect(result.status == 64, "\(result.errors)")
      #expect(result.errors.isEmpty == (rank == 1))
      if rank == 0 {
        #expect(
          result.errors.contains("libmpi-that-is-not-there.so") && result.errors.contains("--mpi"),
          "\(result.errors)")
      }
    }
  }
}
