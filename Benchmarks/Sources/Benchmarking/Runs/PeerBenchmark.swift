import JSON
import Kernels

/// The program against Hugging Face PEFT on the same files, by turns.
package enum PeerBenchmark {
  /// Jobs with LoRA in each precision.
  package static func jobs(
    _ jobs: [Job], precisions: [Precision], against peer: PeerProgram, at workplace: Workplace
  ) throws -> Section {
    var section = section("peers", "Against Hugging Face PEFT, by turns")
    for job in jobs {
      for precision in precisions {
        let task = try workplace.task(job, method: "lora", precision: precision)
        section.measure(task.row) { try row(task, peer, at: workplace) }
      }
    }
    section.notes = jobs.map { "\($0.name): \($0.summary)" }
    return section
  }

  /// Methods on job A.
  package static func methods(
    _ methods: [String], precisions: [Precision], against peer: PeerProgram,
    at workplace: Workplace
  ) throws -> Section {
    var section = section(
      "peer_methods", "Methods on job \(workplace.jobA.name) against Hugging Face PEFT, by turns")
    for precision in precisions {
      for method in methods {
        let task = try workplace.task(workplace.jobA, method: method, precision: precision)
        section.measure(task.row) { try row(task, peer, at: workplace) }
      }
    }
    return section
  }

  /// Families with LoRA, in f32.
  ///
  /// - Parameters:
  ///   - names: as ``FamilyModels/names()`` has them.
  ///   - blocks: of each model.
  package static func families(
    _ names: [String], blocks: Int, madeBy models: FamilyModels, against peer: PeerProgram,
    at workplace: Workplace
  ) throws -> Section {
    var section = section(
      "peer_families", "Families, \(blocks) blocks each, against Hugging Face PEFT, by turns",
      first: "family")
    var notes: [String] = []
    for name in names {
      section.measure(["job": .string(name)]) {
        let (job, files, text) = try models.make(name, blocks: blocks, at: workplace)
        let task = Task(job, files: files, method: "lora", precision: .f32)
        let row = try row(task, peer, at: workplace)
        notes.append("\(name): \(text), \(job.shape.vocabularySize) tokens' rows")
        return row
      }
    }
    section.notes = notes
    return section
  }

  private static func section(
    _ name: String, _ title: String, first: String = "job"
  ) -> Section {
    Section(
      name, title: title,
      columns: [
        .init("job", first), .init("method", "method"), .init("precision", "precision"),
        .init("setting", "ours"), .init("peer_setting", "peer"),
        .init("tokens_per_second", "tokens/s", .fixed(1)),
        .init("peer_tokens_per_second", "peer's", .fixed(1)), .init("ratio", "ratio", .factor),
        .init("spread", "±", .percent), .init("aim", "aim", .factor), .init("met", "met"),
        .init("peak_memory_bytes", "GB a rank", .gigabytes),
        .init("peer_peak_memory_bytes", "peer's", .gigabytes),
        .init("memory_ratio", "of peer's", .percent), .init("memory_aim", "aim", .percent),
        .init("memory_met", "met"),
      ])
  }

  private static func row(
    _ task: Task, _ peer: PeerProgram, at workplace: Workplace
  ) throws -> Section.Row {
    let setting = try workplace.bestSetting(task)
    Progress.say("\(task.text): which layout is the peer's best")
    let layout = try workplace.best(
      PeerProgram.layouts(batchSize: task.job.batchSize, cores: workplace.cores), name: \.text
    ) { try peer.run(task, $0, workplace.trialSteps).tokensPerSecond }
    var (ours, theirs): ([RunFigures], [RunFigures]) = ([], [])
    for number in 1...workplace.repeats {
      Progress.say("\(task.text): run \(number) of \(workplace.repeats), by turns")
      ours.append(try workplace.program.run(task, setting, workplace.steps(task.job)))
      theirs.append(try peer.run(task, layout, workplace.steps(task.job)))
    }
    try requireSameWork(task, ours[0].firstLoss, theirs[0].firstLoss)
    return row(task, setting, layout, ours, theirs)
  }

  private static func row(
    _ task: Task, _ setting: Setting, _ layout: PeerProgram.Layout, _ ours: [RunFigures],
    _ theirs: [RunFigures]
  ) -> Section.Row {
    let ratio = Sample(zip(ours, theirs).map { $0.tokensPerSecond / $1.tokensPerSecond })
    let memory = ours.map(\.peakMemoryBytes).max() ?? 0
    let peerMemory = theirs.map(\.peakMemoryBytes).max() ?? 0
    let memoryRatio = Double(memory) / Double(max(peerMemory, 1))
    let (aim, memoryAim) = (Aims.speedRatio(task, on: .best), Aims.memoryRatio(task))
    let figures: Section.Row = [
      "setting": .string(setting.text),
      "peer_setting": .string(layout.text), "runs": .int(ours.count),
      "tokens_per_second": .double(Sample(ours.map(\.tokensPerSecond)).median),
      "peer_tokens_per_second": .double(Sample(theirs.map(\.tokensPerSecond)).median),
      "ratio": .double(ratio.median), "spread": ratio.spreadValue,
      "aim": .number(aim),
      "met": .flag(aim.map { ratio.median >= $0 }),
      "peak_memory_bytes": .int(memory), "peer_peak_memory_bytes": .int(peerMemory),
      "memory_ratio": .double(memoryRatio), "memory_aim": .number(memoryAim),
      "memory_met": .flag(memoryAim.map { memoryRatio <= $0 }),
      "first_loss": .double(ours[0].firstLoss), "peer_first_loss": .double(theirs[0].firstLoss),
      "trainable_parameters": .int(ours[0].trainableParameters),
      "peer_trainable_parameters": .int(theirs[0].trainableParameters),
    ]
    return task.row.merging(figures) { $1 }
  }

  /// Both must begin with the same loss where a fresh adapter changes nothing.
  private static func requireSameWork(_ task: Task, _ ours: Double, _ theirs: Double) throws {
    // Virtual tokens begin at random, each program's own; AdaLoRA's loss there has its regulariser
    // in it.
    let differs = ["prompt-tuning", "p-tuning", "prefix-tuning", "adalora"].contains(task.method)
    if differs { return }
    let allowed = task.precision == .f32 ? 1e-4 : 1e-2
    if abs(ours - theirs) <= allowed * abs(theirs) { return }
    throw BenchmarkError.differentWork(ours: ours, peer: theirs)
  }
}
