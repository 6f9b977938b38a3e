// Trains a LoRA adapter on rows of text: train-from-code MODEL ROWS OUTPUT
// Alone it is one process; under `mpirun -n 8` the same program is eight ranks.
import DataParallel
import JSON
import Logging
import Preparation
import Training

precondition(CommandLine.arguments.count == 4, "train-from-code MODEL ROWS OUTPUT")
let (model, rows, output) = (
  CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3]
)
let communicator = try Communicator()
do {
  try communicator.together {
    guard communicator.rank == 0 else { return }
    var options = PreparationOptions()
    options.inputs = [rows]
    options.output = output + ".h5"
    options.validationShare = 0.1
    print(try Preparation(ModelText(directory: model), options).run().text)
  }
  let settings = try RunSettings([
    "model": .string(model), "data": .string(output + ".h5"), "output_dir": .string(output),
    "method": "lora", "r": 16, "lora_alpha": 32, "target_modules": "all-linear",
    "learning_rate": 5e-4, "global_batch_size": 16,
  ])
  var logger = Logger(label: "train-from-code")
  if communicator.rank > 0 { logger.logLevel = .critical }
  let run = try TrainingRun(settings, communicator: communicator, logger: logger)
  let outcome = try run.train()
  if communicator.rank == 0 {
    print("\(outcome.adapterPath): evaluation loss \(outcome.evalLoss ?? .nan)")
  }
  communicator.finalize()
} catch {
  Communicator.end(error, status: 1, in: communicator)
}
