import Checkpointing
import Diagnostics
import HDF5
import Tensors
import TestSupport
import Testing

/// A small run's state: the memory that a checkpoint is written from or restored into.
final class SmallRun {
  // Never freed: views of it outlive the run in these tests, and it is small.
  let buffer = MatrixView(base: .allocate(capacity: 64), rows: 1, columns: 64)
  var metadata = CheckpointMetadata(
    step: 100, epoch: 0.1, samplesSeen: 800, method: "adalora",
    configuration: #"{"learning_rate": 2e-4, "note": "ünï"}"#, baseFingerprint: "xxh64:base",
    datasetFingerprint: "xxh64:data")

  /// A run whose numbers follow from `seed`; zeros without one.
  init(seed: UInt64? = nil) {
    buffer.fill(0)
    if let seed { CounterRandom(seed: seed).fillNormal(buffer, standardDeviation: 1) }
  }

  private func view(_ offset: Int, _ rows: Int, _ columns: Int) -> MatrixView {
    MatrixView(base: buffer.base + offset, rows: rows, columns: columns)
  }

  func tensors(_ section: CheckpointSection) -> [CheckpointTensor] {
    let start: Int
    switch section {
    case .adapter: start = 0
    case .firstMoments: start = 16
    case .secondMoments: start = 32
    case .method:
      return [
        CheckpointTensor(
          name: "exp_avg_ipt/base.layers.0.lora_A.weight", shape: [2, 3],
          values: view(48, 2, 3))
      ]
    }
    return [
      CheckpointTensor(
        name: "base.layers.0.lora_A.weight", shape: [2, 3],
        values: view(start, 2, 3)),
      CheckpointTensor(
        name: "base.layers.0.lora_B.weight", shape: [4, 2],
        values: view(start + 6, 4, 2)),
      CheckpointTensor(
        name: "scalar", shape: [], values: view(start + 14, 1, 1)),
    ]
  }

  var contents: CheckpointContents {
    var contents = CheckpointContents(metadata: metadata)
    for section in CheckpointSection.allCases { contents.tensors[section] = tensors(section) }
    contents.methodArrays = [
      "rank_pattern": .flags([true, false, true]), "counts": .integers([-1, .max]),
      "scores": .reals([0.1, -.infinity]), "none": .integers([]),
    ]
    contents.methodAttributes = [
      "phase": .text("final"), "budget": .integer(12), "beta": .real(0.85),
    ]
    return contents
  }
}

@Suite("Checkpoints")
struct CheckpointTests {
  @Test("What was written is restored to the last bit")
  func roundTrip() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("step.h5")
    let written = SmallRun(seed: 1)
    written.buffer.base[3] = .nan
    written.buffer.base[4] = -0.0
    try CheckpointWriter.write(written.contents, to: path)
    #expect(directory.names == ["step.h5"])
    let checkpoint = try CheckpointReader(path: path)
    #expect(checkpoint.metadata == written.metadata)
    #expect(checkpoint.methodAttributes == written.contents.methodAttributes)
    #expect(try checkpoint.methodArrays() == written.contents.methodArrays)
    let restored = SmallRun()
    for section in CheckpointSection.allCases {
      try checkpoint.restore(section, into: restored.tensors(section))
      for (old, new) in zip(written.tensors(section), restored.tensors(section)) {
        #expect(old.values.elements.map(\.bitPattern) == new.values.elements.map(\.bitPattern))
      }
    }
    #expect(try checkpoint.shape(of: "scalar", in: .adapter) == [])
    #expect(
      try checkpoint.tensorNames(in: .method) == ["exp_avg_ipt/base.layers.0.lora_A.weight"])
    #expect(
      try checkpoint.values(of: "base.layers.0.lora_B.weight", in: .adapter)
        == written.tensors(.adapter)[1].values.elements)
  }

  @Test("Equal states have equal digests, and any difference shows")
  func digests() throws {
    let directory = try TemporaryDirectory()
    func digest(_ change: (SmallRun) -> Void) throws -> UInt64 {
      let run = SmallRun(seed: 1)
      change(run)
      let path = directory.path("step.h5")
      try CheckpointWriter.write(run.contents, to: path)
      return try CheckpointReader(path: path).contentDigest()
    }
    let same = try digest { _ in }
    #expect(try digest { _ in } == same)
    #expect(try digest { $0.metadata.step = 101 } != same)
    #expect(try digest { $0.metadata.configuration = "{}" } != same)
    #expect(try digest { $0.buffer.base[0].negate() } != same)
  }

  @Test("A run that does not fit the checkpoint is told where")
  func misfit() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("step.h5")
    try CheckpointWriter.write(SmallRun(seed: 1).contents, to: path)
    let checkpoint = try CheckpointReader(path: path)
    let other = SmallRun()
    let extra = CheckpointTensor(
      name: "extra", shape: [1], values: MatrixView(base: other.buffer.base, rows: 1, columns: 1))
    #expect(
      throws: CheckpointError.missingTensor(file: path, section: .adapter, name: "extra")
    ) {
      try checkpoint.restore(.adapter, into: other.tensors(.adapter) + [extra])
    }
    #expect(
      throws: CheckpointError.unexpectedTensor(file: path, section: .adapter, name: "scalar")
    ) {
      try checkpoint.restore(.adapter, into: other.tensors(.adapter).dropLast())
    }
    let turned = CheckpointTensor(
      name: "base.layers.0.lora_A.weight", shape: [3, 2],
      values: MatrixView(base: other.buffer.base, rows: 3, columns: 2))
    #expect(
      throws: CheckpointError.wrongShape(
        file: path, tensor: "adapter/base.layers.0.lora_A.weight", expected: [3, 2], found: [2, 3])
    ) {
      try checkpoint.restore(.adapter, into: [turned] + other.tensors(.adapter).dropFirst())
    }
    #expect(other.buffer.elements.allSatisfy { $0 == 0 })
  }

  @Test("A file of another kind is said to be one")
  func otherFiles() throws {
    let path = fixturePath("hdf5/contiguous.h5")
    #expect(throws: CheckpointError.notACheckpoint(file: path, found: "swift-peft-dataset")) {
      try CheckpointReader(path: path)
    }
    let plain = fixturePath("hdf5/types.h5")
    #expect(throws: CheckpointError.notACheckpoint(file: plain, found: nil)) {
      try CheckpointReader(path: plain)
    }
  }

  @Test("A checkpoint that another program made or changed is refused")
  func withoutSeal() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("step.h5")
    do {
      let root = try HDF5File(creating: path).root
      try root.setText("format", "swift-peft-checkpoint")
      try root.setNumber("version", Int64(1))
      for name in ["step", "samples_seen"] { try root.setNumber(name, Int64(1)) }
      try root.setNumber("epoch", 1.0)
      for name in ["method", "config", "base_fingerprint", "dataset_fingerprint"] {
        try root.setText(name, "x")
      }
      try root.file.flush()
    }
    #expect(throws: CheckpointError.noSeal(file: path)) {
      try CheckpointReader(path: path)
    }
  }
}

@Suite("Damaged checkpoints")
struct DamagedCheckpointTests {
  /// The bytes of a sound checkpoint.
  private func sound() throws -> [UInt8] {
    let directory = try TemporaryDirectory()
    let path = directory.path("step.h5")
    try CheckpointWriter.write(SmallRun(seed: 1).contents, to: path)
    return try bytes(of: path)
  }

  @Test("Truncated anywhere, it is an error")
  func truncated() throws {
    let whole = try sound()
    let directory = try TemporaryDirectory()
    let lengths = Array(stride(from: 0, to: whole.count, by: 211)) + [whole.count - 1]
    for length in lengths {
      let path = directory.path("\(length).h5")
      try write(whole.prefix(length), to: path)
      #expect(throws: CheckpointError.self, "cut to \(length)") { try CheckpointReader(path: path) }
    }
  }

  @Test("With any byte flipped it is an error")
  func flipped() throws {
    let directory = try TemporaryDirectory()
    var content = try sound()
    let path = directory.path("step.h5")
    let places =
      Array(stride(from: 0, to: content.count, by: 61)) + Array(content.indices.suffix(24))
    for place in places {
      content[place] ^= UInt8(1 << (place % 8))
      try write(content, to: path)
      content[place] ^= UInt8(1 << (place % 8))
      #expect(throws: CheckpointError.self, "byte \(place)") { try CheckpointReader(path: path) }
    }
  }

  @Test("A flipped byte in each dataset is found", arguments: CheckpointSection.allCases)
  func everyDataset(section: CheckpointSection) throws {
    let directory = try TemporaryDirectory()
    var content = try sound()
    let path = directory.path("step.h5")
    for tensor in SmallRun(seed: 1).tensors(section) {
      let numbers = tensor.values.elements.flatMap { number in
        (0..<4).map { UInt8(truncatingIfNeeded: number.bitPattern >> ($0 * 8)) }
      }
      let place = try #require(
        content.indices.first { content[$0...].starts(with: numbers) }, "\(tensor.name)")
      content[place + numbers.count - 2] ^= 16
      try write(content, to: path)
      content[place + numbers.count - 2] ^= 16
      do throws(CheckpointError) {
        _ = try CheckpointReader(path: path)
        Issue.record("\(tensor.name) was taken for sound")
      } catch {
        guard case .damaged(path, _, _) = error else {
          Issue.record("\(error)")
          continue
        }
        #expect(error.errorClass == .input)
      }
    }
  }

  @Test("Bytes lost in the middle or added at the end are found")
  func lengths() throws {
    let directory = try TemporaryDirectory()
    let content = try sound()
    let path = directory.path("step.h5")
    let wrongs: [[UInt8]] = [
      content + [0], content + content.suffix(24), Array(content.dropFirst(8)),
      Array(content[..<3000]) + Array(content[3001...]),
    ]
    for wrong in wrongs {
      try write(wrong, to: path)
      #expect(throws: CheckpointError.self) { try CheckpointReader(path: path) }
    }
  }
}
