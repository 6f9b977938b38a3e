import DataParallel
import Diagnostics
import Foundation
import Hashing
import Logging
import Training

/// What the tests start under `mpirun`: a run whose ranks differ in a way that no option asks for.
///
///     training-probe run.yaml [model=A,B,…] [data=A,B,…] [flip=RANK,STEP,WHAT,BIT]
///     training-probe run.yaml flips=FIRST,END
///       [stall=RANK,STEP,stop|loop|stray] [poison=FROM,TO] [spoil=STEP,FILE]
///
/// `model` and `data` give each rank a path of its own. `flip` inverts a bit, at the end of a step, of
/// the middle element of the last tensor: of its value, or of a moment (`first`, `second`), or of the
/// base (`vector`: a copy in memory). `stall` lets a rank stop, compute for ever or wait for a message of
/// its own. `poison` makes a value of the adapter NaN after one step until after another. `spoil` inverts a bit in the middle of
/// a file. Each rank writes, once trained, its number, the exported step and a hash of its adapter.
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
    var stall: [String] = []
    var poison: [String] = []
    var spoil: [String] = []
    for argument in arguments.dropFirst() {
      let parts = argument.split(separator: "=", maxSplits: 1).map(String.init)
      let values = parts[1].split(separator: ",").map(String.init)
      switch parts[0] {
      case "model": model = values[communicator.rank % values.count]
      case "data": data = values[communicator.rank % values.count]
      case "stall": stall = values
      case "poison": poison = values
      case "spoil": spoil = values
      case "flips":
        var logger = Logger(label: "training-probe")
        logger.logLevel = .critical
        var flips = Flips(arguments[0], communicator, logger)
        return try flips.run((Int(values[0]) ?? 0)..<(Int(values[1]) ?? 0))
      default: flip = values
      }
    }
    var logger = Logger(label: "training-probe")
    logger.logLevel = .error
    let run = try TrainingRun(
      configuration, model: model, data: data, communicator: communicator, logger: logger)
    let trainer = try Trainer(run)
    let isMine = { (values: [String]) in Int(values.first ?? "") == communicator.rank }
    var kept: Float = 0
    trainer.didEndStep = { step in
      if isMine(flip), step == Int(flip[1]) { invert(flip[2], bit: UInt32(flip[3]) ?? 0, of: run) }
      if isMine(stall), step == Int(stall[1]) { stand(stall[2], communicator) }
      if spoil.count == 2, communicator.rank == 0, step == Int(spoil[0]) { spoilFile(spoil[1]) }
      if poison.count == 2 {
        // All ranks alike, so that it is the numbers that are at fault, not a difference.
        let values = run.attached.arena.allValues
        if step == Int(poison[0]) {
          kept = values[0, 0]
          values[0, 0] = .nan
        } else if step == Int(poison[1]) {
          values[0, 0] = kept
        }
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
    if what == "vector" {
      guard let view = run.decoder.parameters.compactMap(\.vector).last else { return }
      view[0, view.columns / 2] = Float(
        bitPattern: view[0, view.columns / 2].bitPattern ^ (1 << bit))
      return
    }
    let view =
      switch what {
      case "first": run.optimizer.firstMoment(slot)
      case "second": run.optimizer.secondMoment(slot)
      default: run.attached.arena.values(slot)
      }
    let (row, column) = (view.rows / 2, view.columns / 2)
    view[row, column] = Float(bitPattern: view[row, column].bitPattern ^ (1 << bit))
  }

  private static func stand(_ how: String, _ communicator: Communicator) {
    switch how {
    case "stop": kill(getpid(), SIGSTOP)
    case "loop": while true { usleep(1000) }
    default: _ = try? communicator.allGather(bytes: [UInt8](repeating: 1, count: 1 << 20))
    }
  }

  private static func spoilFile(_ path: String) {
    guard let file = FileHandle(forUpdatingAtPath: path) else { return }
    let middle = (try? file.seekToEnd()).map { $0 / 2 } ?? 0
    try? file.seek(toOffset: middle)
    guard let byte = try? file.read(upToCount: 1)?.first else { return }
    try? file.seek(toOffset: middle)
    try? file.write(contentsOf: [byte ^ 4])
  }
}
