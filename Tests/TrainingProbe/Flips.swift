import DataParallel
import Foundation
import Logging
import Tensors
import Training

/// Many short runs in each of which one bit of one rank flips: of the adapter, of a moment, of a vector
/// of the base in memory, of the base's file.
struct Flips {
  let configurationPath: String
  let communicator: Communicator
  let logger: Logger
  private var counts: [String: Int] = [:]
  private var problems: [String] = []

  init(_ configurationPath: String, _ communicator: Communicator, _ logger: Logger) {
    self.configurationPath = configurationPath
    self.communicator = communicator
    self.logger = logger
  }

  /// A bit and when it flips, as a number says.
  private struct Flip {
    let what: String
    let rank: Int
    let step: Int
    let bit: UInt32
    let random: CounterRandom

    init(_ number: Int, ranks: Int) {
      random = CounterRandom(seed: UInt64(number), purpose: "flip")
      what = ["value", "first", "second", "vector", "file"][Int(random.integer(0, below: 5))]
      rank = Int(random.integer(1, below: UInt64(ranks)))
      step = 1 + Int(random.integer(2, below: 3))
      bit = UInt32(random.integer(3, below: 32))
    }

    func choose(_ draw: UInt64, of count: Int) -> Int {
      Int(random.integer(draw, below: UInt64(count)))
    }
  }

  /// Does those of some numbers and prints on rank 0 how many were found, and which were not.
  mutating func run(_ numbers: Range<Int>) throws {
    for number in numbers { try run(number) }
    guard communicator.rank == 0 else { return }
    let text = counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
    let lines = problems + ["found: \(text.joined(separator: ", "))", "missed: \(problems.count)"]
    FileHandle.standardOutput.write(Data((lines.joined(separator: "\n") + "\n").utf8))
  }

  private mutating func run(_ number: Int) throws {
    let flip = Flip(number, ranks: communicator.worldSize)
    var settings = try RunSettings(yamlFile: configurationPath)
    let output = (settings["output_dir"]?.string ?? "") + "-\(number)"
    try settings.set("output_dir", value: .string(output), source: .commandLine)
    let configuration = try RunConfiguration(settings)
    let run = try TrainingRun(
      configuration, model: configuration.model ?? "", data: configuration.data ?? "",
      communicator: communicator, logger: logger)
    let trainer = try Trainer(run)
    let name = name(of: flip, in: run)
    let file = (configuration.model ?? "") + "/model.safetensors"
    let communicator = self.communicator
    trainer.didEndStep = { step in
      // The file is one for all ranks.
      if step == flip.step, communicator.rank == (flip.what == "file" ? 0 : flip.rank) {
        Self.invert(flip, run, file)
      }
    }
    var message = ""
    do { _ = try trainer.train() } catch let error as MPIError where error.isThrownByAllRanks {
      message = error.description
    }
    try communicator.barrier()
    if communicator.rank == 0 {
      if flip.what == "file" { Self.invert(flip, run, file) }
      try? FileManager.default.removeItem(atPath: output)
    }
    try communicator.barrier()
    let isState = ["value", "first", "second"].contains(flip.what)
    let places =
      isState
      ? ["before the update of step \(flip.step + 1),", "after step \(flip.step),"]
      : ["The base changed"]
    if message.contains(name), places.contains(where: { message.contains($0) }) {
      counts[flip.what, default: 0] += 1
    } else {
      problems.append(
        "number \(number), \(flip.what) of \(name), rank \(flip.rank), step \(flip.step), bit \(flip.bit): \(message.isEmpty ? "nothing" : message)"
      )
    }
  }

  /// What the message must name.
  private func name(of flip: Flip, in run: TrainingRun) -> String {
    switch flip.what {
    case "file": return "in "
    case "vector":
      let vectors = run.decoder.parameters.filter { $0.vector != nil }
      return "'\(vectors[flip.choose(4, of: vectors.count)].name)'"
    default:
      let slots = run.optimizer.slots
      return "'\(slots[flip.choose(4, of: slots.count)].name)'"
    }
  }

  private static func invert(_ flip: Flip, _ run: TrainingRun, _ file: String) {
    let view: MatrixView
    switch flip.what {
    case "file": return invert(flip, file)
    case "vector":
      let vectors = run.decoder.parameters.compactMap(\.vector)
      view = vectors[flip.choose(4, of: vectors.count)]
    default:
      let slots = run.optimizer.slots
      let slot = slots[flip.choose(4, of: slots.count)]
      view =
        switch flip.what {
        case "first": run.optimizer.firstMoment(slot)
        case "second": run.optimizer.secondMoment(slot)
        default: run.attached.arena.values(slot)
        }
    }
    let (row, column) = (flip.choose(5, of: view.rows), flip.choose(6, of: view.columns))
    view[row, column] = Float(bitPattern: view[row, column].bitPattern ^ (1 << flip.bit))
  }

  /// Inverts a bit in the second half of a file, which is behind the header.
  private static func invert(_ flip: Flip, _ path: String) {
    guard let file = FileHandle(forUpdatingAtPath: path), let end = try? file.seekToEnd() else {
      return
    }
    let place = end / 2 + UInt64(flip.choose(5, of: Int(end / 2)))
    try? file.seek(toOffset: place)
    guard let byte = try? file.read(upToCount: 1)?.first else { return }
    try? file.seek(toOffset: place)
    try? file.write(contentsOf: [byte ^ (1 << UInt8(flip.bit % 8))])
    try? file.close()
  }
}
