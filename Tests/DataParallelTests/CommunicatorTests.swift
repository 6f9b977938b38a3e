import DataParallel
import Foundation
import TestSupport
import Testing

/// What the probe checks within a job is in Tests/MPIProbe; here it is started.
@Suite("Communicator", .serialized)
struct CommunicatorTests {
  private let probe = ProcessRunner.built("mpi-probe")

  private func job(_ ranks: Int, _ arguments: [String]) throws -> ProcessResult {
    try ProcessRunner.mpirun(ranks: ranks, probe, arguments)
  }

  /// The program's own lines on standard error, without those of mpirun.
  private func messages(_ result: ProcessResult) -> [String] {
    result.errors.split(separator: "\n").map(String.init).filter {
      $0.hasPrefix("[rank ") || $0.hasPrefix("error: ")
    }
  }

  @Test("A process without a launcher is a world of one and starts no MPI")
  func alone() throws {
    let result = try ProcessRunner.run(probe, ["place"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output == "0/1 local 0/1 nodes 1 alone\n")
    for check in ["collectives", "sums", "reduce", "totals"] {
      let result = try ProcessRunner.run(probe, [check])
      #expect(result.status == 0, "\(check): \(result.errors)")
    }
  }

  @Test("Ranks know their places", arguments: [1, 2, 3, 4])
  func places(ranks: Int) throws {
    let result = try job(ranks, ["place"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(
      result.outputLines.sorted()
        == (0..<ranks).map { "\($0)/\(ranks) local \($0)/\(ranks) nodes 1 mpi" })
  }

  @Test(
    "Collectives are right in place, out of place and for short buffers", arguments: [1, 2, 3, 4])
  func collectives(ranks: Int) throws {
    let result = try job(ranks, ["collectives"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.outputLines == ["collectives of \(ranks) ranks are right"])
  }

  @Test("Ranges of a buffer are summed in place", arguments: [1, 2, 3, 4])
  func sums(ranks: Int) throws {
    let result = try job(ranks, ["sums"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.outputLines == ["sums of \(ranks) ranks are right"])
  }

  @Test(
    "Nodes of unlike numbers of ranks: memory, numbers taken in turn, bytes sent to them",
    arguments: [(1, 1), (2, 2), (2, 1), (3, 2), (4, 1), (5, 2)])
  func nodes(ranks: Int, ranksPerNode: Int) throws {
    let nodes = (ranks + ranksPerNode - 1) / ranksPerNode
    for (check, text) in [("shared", ""), ("counter", "numbers"), ("send", "bytes for")] {
      let result = try ProcessRunner.mpirun(
        ranks: ranks, ProcessRunner.built("mpi-probe"), [check],
        environment: ["SWIFT_PEFT_TRAIN_RANKS_PER_NODE": "\(ranksPerNode)"])
      #expect(result.status == 0, "\(check): \(result.errors)")
      if !text.isEmpty {
        let number = check == "counter" ? "of \(nodes)" : "\(nodes)"
        #expect(result.outputLines == ["\(text) \(number) nodes are right"])
      }
    }
  }

  @Test("Memory of a node is one copy, filled together, and no file stays", arguments: [1, 2, 3])
  func sharedMemory(ranks: Int) throws {
    let result = try job(ranks, ["shared"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.outputLines == ["memory shared by \(ranks) ranks is right"])
  }

  @Test("Gradients and totals are the same bits on any number of ranks")
  func exactReduction() throws {
    let gradients = try ProcessRunner.run(probe, ["reduce"])
    let totals = try ProcessRunner.run(probe, ["totals"])
    #expect(gradients.status == 0, "\(gradients.errors)")
    #expect(gradients.outputLines.count == 4)
    #expect(Set(gradients.outputLines).count == 4)
    for ranks in 1...4 {
      let reduced = try job(ranks, ["reduce"])
      #expect(reduced.status == 0, "\(reduced.errors)")
      #expect(reduced.output == gradients.output, "\(ranks) ranks")
      let summed = try job(ranks, ["totals"])
      #expect(summed.status == 0, "\(summed.errors)")
      #expect(summed.output == totals.output, "\(ranks) ranks")
    }
  }

  @Test("A failure in set-up is told once and ends all ranks with its status")
  func agreement() throws {
    let fine = try job(3, ["agreement"])
    #expect(fine.status == 0, "\(fine.errors)")
    #expect(fine.output == "nobody of 3 failed\n")

    for failing in [["2"], ["2", "1"]] {
      let result = try job(3, ["agreement"] + failing)
      let first = failing.last ?? ""
      #expect(result.status == 65)
      #expect(
        messages(result) == ["[rank \(first)/3] base.safetensors is cut off on rank \(first)"],
        "\(result.errors)")
      #expect(result.output == "")
    }
    let alone = try ProcessRunner.run(probe, ["agreement", "0"])
    #expect(alone.status == 65)
    #expect(alone.errors == "error: base.safetensors is cut off on rank 0\n")
  }

  @Test(
    "A failure within a step is told once and ends the ranks that wait", arguments: ["0", "1", "2"])
  func failureInStep(failing: String) throws {
    let result = try job(3, ["step", failing])
    #expect(result.status == 73)
    #expect(messages(result) == ["[rank \(failing)/3] the disk is full"], "\(result.errors)")
  }

  @Test("A failure that all ranks meet at once is told once")
  func failureEverywhere() throws {
    let result = try job(3, ["step", "0", "1", "2"])
    #expect(result.status == 73)
    #expect(messages(result) == ["[rank 0/3] the disk is full"], "\(result.errors)")
  }

  @Test("Different configurations are an error that names the option, both values and the ranks")
  func configurations() throws {
    #expect(try job(3, ["configuration"]).output == "one configuration\n")
    let result = try job(4, ["configuration", "1", "3"])
    #expect(result.status == 64)
    let lines = messages(result)
    #expect(lines.count == 1)
    #expect(
      lines.first?.hasPrefix(
        """
        [rank 0/4] Ranks have different settings, learning_rate first: ranks 1, 3 of 4 have \
        '1e-3', rank 0 has '2e-4'.
        """) == true, "\(result.errors)")
    // An option that one rank alone was given does not shift the comparison of the others.
    let more = try job(3, ["configuration", "0"])
    #expect(more.status == 64)
    #expect(
      messages(more).first?.hasPrefix(
        """
        [rank 0/3] Ranks have different settings, adapter first: rank 0 of 3 has 'old', \
        rank 1 has nothing.
        """) == true, "\(more.errors)")
  }

  @Test("What ranks have differently is named, with the ranks that are fewer")
  func facts() throws {
    #expect(try job(2, ["facts"]).output == "one model\n")
    for (ranks, odd, sentence) in [
      (3, ["2"], "rank 2 of 3 has 1, rank 0 has 2"), (3, ["0"], "rank 0 of 3 has 1, rank 1 has 2"),
      (2, ["1"], "rank 1 of 2 has 1, rank 0 has 2"),
      (4, ["0", "3"], "ranks 1, 2 of 4 have 2, rank 0 has 1"),
    ] {
      let result = try job(ranks, ["facts"] + odd)
      #expect(result.status == 65)
      #expect(
        messages(result) == [
          "[rank 0/\(ranks)] Ranks differ in the model, second first: \(sentence). Copy it again."
        ], "\(result.errors)")
    }
  }

  @Test("A process that is alone although its launcher says otherwise is an error")
  func lonelyRanks() throws {
    // mpirun of another installation: its variables are there, its daemon cannot be reached.
    let foreign = ["OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "0"]
    let result = try ProcessRunner.run(
      probe, ["place"], environment: foreign.merging(ProcessRunner.mpirunEnvironment) { $1 })
    #expect(result.status == 64)
    #expect(result.output == "")
    #expect(
      messages(result).first?.hasPrefix(
        """
        [rank 0/8] OMPI_COMM_WORLD_SIZE says that this process is one of 8, but for MPI it is \
        alone
        """) == true, "\(result.errors)")

    // srun without --mpi: every rank ends with the status, rank 0 alone speaks.
    for rank in ["0", "5"] {
      let result = try ProcessRunner.run(
        probe, ["place"], environment: ["SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": rank])
      #expect(result.status == 64)
      #expect(result.output == "")
      #expect(messages(result).count == (rank == "0" ? 1 : 0))
      #expect(result.errors.contains("srun --mpi=pmix") == (rank == "0"))
    }
  }

  @Test("A batch script's own shell runs a single process")
  func batchShell() throws {
    let result = try ProcessRunner.run(
      probe, ["place"], environment: ["SLURM_NTASKS": "8", "SLURM_PROCID": "0"])
    #expect(result.output == "0/1 local 0/1 nodes 1 alone\n", "\(result.errors)")
  }
}
