import Checkpointing
import Diagnostics
import Files
import HDF5
import TestSupport
import Testing

@Suite("Checkpoint directories")
struct CheckpointDirectoryTests {
  private func contents(step: Int) -> CheckpointContents {
    let run = SmallRun(seed: UInt64(step))
    run.metadata.step = step
    // The tensors' memory goes with the run; metadata alone serves here.
    return CheckpointContents(metadata: run.metadata)
  }

  @Test("Files are named by step, and old ones go")
  func rotation() throws {
    let temporary = try TemporaryDirectory()
    let directory = CheckpointDirectory(path: temporary.path("a/b/checkpoints"))
    #expect(try directory.steps() == [])
    for step in [10, 20, 30, 40] {
      let path = try directory.save(contents(step: step), keeping: 2, protecting: [10])
      #expect(path == "\(directory.path)/step-000000\(step).h5")
    }
    #expect(try directory.steps() == [10, 30, 40])
    try directory.save(contents(step: 123_456_789))
    #expect(try directory.steps() == [10, 30, 40, 123_456_789])
    #expect(try directory.newestSound().newest?.metadata.step == 123_456_789)
  }

  @Test("Later steps, left by a run that was taken back, do not crowd out the newest")
  func laterSteps() throws {
    let temporary = try TemporaryDirectory()
    let directory = CheckpointDirectory(path: temporary.path)
    for step in [10, 20, 30] { try directory.save(contents(step: step)) }
    try write([1, 2, 3], to: directory.path(step: 30))
    try directory.save(contents(step: 15), keeping: 1)
    #expect(try directory.steps() == [15, 20, 30])
  }

  @Test("Damaged checkpoints are named and passed over")
  func damaged() throws {
    let temporary = try TemporaryDirectory()
    let directory = CheckpointDirectory(path: temporary.path)
    #expect(try directory.newestSound().newest == nil)
    for step in [1, 2, 3, 4] { try directory.save(contents(step: step)) }
    try write(try bytes(of: directory.path(step: 3)).dropLast(9), to: directory.path(step: 3))
    try write([], to: directory.path(step: 4))
    try write([], to: temporary.path("step-5.h5"))
    try write([], to: temporary.path("other.h5"))
    let search = try directory.newestSound()
    #expect(search.newest?.metadata.step == 2)
    #expect(search.damaged.map(\.path) == [directory.path(step: 4), directory.path(step: 3)])
    #expect(search.damaged.allSatisfy { $0.reason.description.contains($0.path) })
  }

  @Test("What a crash left half written is ignored, and cleared away by the next save")
  func partialFiles() throws {
    let temporary = try TemporaryDirectory()
    let directory = CheckpointDirectory(path: temporary.path)
    try write([1], to: temporary.path(".step-00000009.h5.partial-1"))
    try write([1], to: temporary.path(".keep"))
    #expect(try directory.newestSound().newest == nil)
    try directory.save(contents(step: 1))
    #expect(temporary.names == [".keep", "step-00000001.h5"])
  }

  @Test("A directory that cannot be made is the output's fault, and says why")
  func notWritable() throws {
    let temporary = try TemporaryDirectory()
    try write([1], to: temporary.path("file"))
    let directory = CheckpointDirectory(path: temporary.path("file/checkpoints"))
    do throws(CheckpointError) {
      try directory.save(contents(step: 1))
      Issue.record("it was saved")
    } catch {
      #expect(error.errorClass == .output)
      #expect(error.description.contains("Not a directory"))
    }
  }

  @Test("A save that fails leaves the checkpoint of the same step as it was")
  func failedSave() throws {
    let temporary = try TemporaryDirectory()
    let directory = CheckpointDirectory(path: temporary.path)
    try directory.save(contents(step: 1))
    let before = try bytes(of: directory.path(step: 1))
    // The partial file cannot be created where something else has its name.
    let pending = try PendingFile(path: directory.path(step: 1))
    let partialPath = pending.partialPath
    try write([], to: partialPath + "x")
    do throws(CheckpointError) {
      try CheckpointWriter.write(contents(step: 1), to: temporary.path("none/step-00000001.h5"))
      Issue.record("it was saved")
    } catch {
      #expect(error.errorClass == .output)
    }
    #expect(try bytes(of: directory.path(step: 1)) == before)
    #expect(try directory.newestSound().newest?.metadata.step == 1)
  }
}
