import DataParallel
import Foundation
import Logging
import Tensors
import Training

/// What the tests start under `mpirun`: a run whose ranks differ in a way that no option asks for.
///
///     training-probe run.yaml [model=A,B,…] [data=A,B,…] [flip=RANK,STEP,WHAT,BIT]
///
/// `model` and `data` give each rank a path of its own. `flip` inverts a bit, at the end of a step, of
/// the middle element of the last tensor: of its value, or of a moment (`first`, `second`). Each rank
/// writes, once trained, its number, the exported step and a hash of its adapter.
@main
enum TrainingProbe {
  static func main() {
    var communicator: Communicator?
    do {
      let joined = try Communicator()
      communicator = joined
      try run(Array(CommandLine.arguments.dropFirst()), joined)
      joined.finalize()
    } catch {
      let status: Int32 =
        switch (error as? any ClassifiedError)?.errorClass ?? .failure {
        case .usage: 64
        case .input: 65
        case .output: 73
        case .failure: 1
        }
      Communicator.end(error, status: status, in: communicator)
    }
  }

  private static func run(_ arguments: [String], _ communicator: Communicator) throws {
    let configuration = try RunConfiguration(RunSettings(yamlFile: arguments.first ?? ""))
    var (model, data) = (configuration.model ?? "", configuration.data ?? "")
    var flip: [String] = []
    for argument in arguments.dropFirst() {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      let values = parts[1].split(separator: ",").map(String.init)
      switch parts[0] {
      case "model": model = values[communicator.rank % values.count]
      case "data": data = values[communicator.rank % values.count]
      default: flip = values
      }
    }
    var logger = Logger(label: "training-probe")
    logger.logLevel = .error
    let run = try TrainingRun(
      configuration, model: model, data: data, communicator: communicator, logger: logger)
    let trainer = try Trainer(run)
    if flip.count == 4, Int(flip[0]) == communicator.rank {
      trainer.didEndStep = { step in
        if step == Int(flip[1]) { invert(flip[2], bit: UInt32(flip[3]) ?? 0, of: run) }
      }
    }
    let outcome = try trainer.train()
    // One write a line, so that ranks do not mix theirs.
    let hash = XXH64.text(XXH64.hash(run.attached.arena.allValues))
    let line = "rank \(communicator.rank) step \(outcome.exportedStep) \(hash)\n"
    FileHandle.standardOutput.write(Data(line.utf8))
  }

  private static func invert(_ what: String, bit: UInt32, of run: TrainingRun) {
    guard let slot = run.attached.arena.slots.last else { return }
    let view =
      switch what {
      case "first": run.optimizer.firstMoment(slot)
      case "second": run.optimizer.secondMoment(slot)
      default: run.attached.arena.values(slot)
      }
    let (row, column) = (view.rows / 2, view.columns / 2)
    view[row, column] = Float(bitPattern: view[row, column].bitPattern ^ (1 << bit))
  }
}
