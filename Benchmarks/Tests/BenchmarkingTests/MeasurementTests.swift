import Benchmarking
import Foundation
import JSON
import TestSupport
import Testing

@Suite("Measurements")
struct MeasurementTests {
  @Test("A sample's median and spread are those of its quartiles")
  func sample() {
    let sample = Sample([9, 1, 5, 3, 7])
    #expect(sample.median == 5)
    #expect(sample.spread == 0.4)
    #expect(Sample([2, 4]).median == 3)
    #expect(Sample([6]).spread == 0)
  }

  @Test("Every operation agrees with arithmetic in Double")
  func operations() {
    let (section, failures) = OperationBenchmark.check()
    #expect(failures.isEmpty, "\(failures.joined(separator: "\n"))")
    #expect(section.rows.count > 40)
  }

  @Test("A section shows values as its columns say and leaves out what is not there")
  func section() throws {
    var section = Section(
      "s", title: "Title",
      columns: [
        .init("a", "A"), .init("b", "B", .percent), .init("c", "C", .gigabytes),
        .init("d", "D"),
      ])
    section.append(["a": "x", "b": .double(0.5), "c": .int(2_000_000_000), "d": .bool(true)])
    section.append(["a": "y"])
    #expect(section.text.contains("x  50.0 %  2.00  yes"))
    #expect(section.text.contains("y       –     –  –"))
    #expect(section.json.array?.count == 2)
  }

  @Test(
    "Layouts use all cores as far as there are sequences", arguments: [1, 2, 3, 4, 8], [1, 2, 4, 7])
  func layouts(batch: Int, cores: Int) {
    let candidates = Setting.candidates(batchSize: batch, cores: cores)
    #expect(Set(candidates).count == candidates.count)
    #expect(candidates.contains { $0.ranks == 1 && $0.threads == cores })
    for candidate in candidates {
      #expect(candidate.totalThreads <= cores)
      #expect(batch % candidate.ranks == 0)
      #expect(candidate.microBatch >= 1 && candidate.microBatch <= batch / candidate.ranks)
    }
  }

  @Test("The program is measured on files that were made for it, alone and as two ranks")
  func program() throws {
    // Containers may forbid that one rank reads another's memory.
    for (name, value) in ProcessRunner.mpirunEnvironment { setenv(name, value, 1) }
    let directory = try TemporaryDirectory()
    let program = try TrainerProgram(
      path: ProcessRunner.built("swift-peft-train").path, directory: directory.path)
    let files = try JobFiles(.tiny, directory: directory.path)
    let steps = StepCounts(warmUp: 1, timed: 2)
    let losses = try [1, 2].map { ranks in
      let figures = try program.run(
        Task(.tiny, files: files, method: "lora", precision: .f32),
        Setting(ranks: ranks, threads: 1, microBatch: 2), steps)
      #expect(figures.stepTokens == [2, 3].map { Job.tiny.lengths(step: $0).reduce(0, +) })
      #expect(figures.tokensPerSecond > 0)
      #expect(figures.peakMemoryBytes > 1 << 20)
      #expect(figures.trainableParameters == 3 * 16 * (128 + 96 + 96 + 128 + 3 * 224))
      expectSameWork(figures, "lora")
      return figures.firstLoss
    }
    let full = try program.run(
      Task(.tiny, files: files, method: "full", precision: .f32),
      Setting(ranks: 1, threads: 1, microBatch: 2), steps)
    expectSameWork(full, "full")
    // Both numbers of ranks train the same.
    #expect(losses[0] == losses[1])
    // Random weights know nothing: the loss is that of guessing among 512.
    #expect(abs(losses[0] - 6.24) < 0.2, "\(losses[0])")
    #expect(
      try program.secondsToFirstStep(
        Task(.tiny, files: files, method: "lora", precision: .f32),
        Setting(ranks: 1, threads: 1, microBatch: 2)) > 0)
  }

  /// The program counts its arithmetic layer by layer, the benchmarks by the model's sizes.
  private func expectSameWork(_ figures: RunFigures, _ method: String) {
    let expected = [2, 3].map {
      UsefulWork(.tiny, lengths: Job.tiny.lengths(step: $0), method: method).total
    }
    #expect(figures.stepOperations.count == 2)
    for (counted, expected) in zip(figures.stepOperations, expected) {
      #expect(abs(counted / expected - 1) < 1e-6, "\(method): \(counted), \(expected) expected")
    }
  }

  @Test("A program that fails is reported with its last words")
  func failing() throws {
    let directory = try TemporaryDirectory()
    let program = try TrainerProgram(
      path: ProcessRunner.built("swift-peft-train").path, directory: directory.path)
    let files = try JobFiles(.tiny, directory: directory.path)
    try Data("no HDF5".utf8).write(to: URL(fileURLWithPath: files.data))
    do {
      _ = try program.run(
        Task(.tiny, files: files, method: "lora", precision: .f32),
        Setting(ranks: 1, threads: 1, microBatch: 1), StepCounts(warmUp: 0, timed: 1))
      Issue.record("a damaged dataset was trained on")
    } catch let error as BenchmarkError {
      #expect(error.description.contains("status 65"), "\(error)")
      #expect(error.description.contains(files.data), "\(error)")
    }
    #expect(throws: BenchmarkError.self) {
      try TrainerProgram(path: "/nowhere/swift-peft-train", directory: directory.path)
    }
  }
}
