import ArgumentParser
import DataParallel
import Diagnostics
import Foundation
import JSON
import Logging
import Training

/// `plan`: memory, arithmetic, communication and time of a run, before it is submitted.
struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Memory, arithmetic and communication of a run, before it is submitted.",
    discussion: """
      Takes the options of train, or its YAML file, and writes nothing. Memory is what the run would \
      reserve. Times follow from some of the run's own micro-batches, which are computed here for a few \
      seconds on --threads threads, beside as many more processes as the job has ranks on a node and this \
      machine has cores and memory for, and from a model of the allreduce: start it on a node like those \
      of the job, as one process. With --flops nothing is computed and nothing large allocated, and where \
      this machine has no memory for a rank there are no times without it (null with --json). --slurm \
      prints the lines of a batch script.
      """)

  @Option(help: ArgumentHelp("ranks of the job (default: 1)", valueName: "N")) var ranks: Int?
  @Option(
    help: ArgumentHelp(
      "ranks that share a node (default: all that its cores allow)", valueName: "N"))
  var ranksPerNode: Int?
  @Option(
    help: ArgumentHelp(
      "between nodes: 10GbE, 100GbE, IB (default: 10GbE)", valueName: "NAME"))
  var network: String?
  @Option(
    help: ArgumentHelp(
      "useful GFLOP/s of a rank there, in place of what is measured here", valueName: "X"))
  var flops: Double?
  @Option(
    help: ArgumentHelp(
      "standard deviation of a micro-batch's time over its mean (default: measured here; with --flops 0.02)",
      valueName: "X"))
  var spread: Double?
  @Option(
    help: ArgumentHelp("memory of a node in GiB (default: this one's)", valueName: "X"))
  var nodeMemory: Double?
  @Flag(
    help: "Add a table of 1, 2, 4 … ranks up to --ranks: as many micro-batches a rank, and in all")
  var scalingTable = false
  @Flag(help: "Print the #SBATCH lines for the job") var slurm = false
  @Flag(help: "Print one JSON object on standard output") var json = false
  @OptionGroup var options: TrainOptions

  func validate() throws {
    for (name, value) in [("--ranks", ranks), ("--ranks-per-node", ranksPerNode)] {
      if let value, !(1...1_000_000).contains(value) {
        throw ValidationError("\(name) is \(value); give 1 to 1000000.")
      }
    }
    for (name, value) in [("--flops", flops), ("--node-memory", nodeMemory)] {
      if let value, !(value > 0 && value.isFinite && value < 1e9) {
        throw ValidationError("\(name) is \(value); give a number above 0.")
      }
    }
    if let spread, !(spread >= 0 && spread <= 1) {
      throw ValidationError("--spread is \(spread); give 0 to 1.")
    }
    if let network, NetworkModel.named(network) == nil {
      let names = NetworkModel.all.map(\.name).joined(separator: ", ")
      throw ValidationError("--network is '\(network)'; known are \(names).")
    }
  }

  func run() throws {
    if PlanNeighbours.isOne { return try computeBeside() }
    let style = options.logStyle
    Job.run(style: style, mpi: options.mpiChoice) { communicator, logger in
      if communicator.worldSize > 1 {
        throw PlanError.severalRanks(communicator.worldSize)
      }
      var quiet = logger
      // The plan is what is asked for; what its opening says, with --verbose alone.
      if style.level > .debug { quiet.logLevel = .warning }
      // Nothing of one is left when the next is made, which measures what this process holds.
      func plan(
        isPlanned: Bool, _ logger: Logger, willMeasure: () -> Int = { 0 }
      ) throws -> RunPlan {
        let run = try self.run(communicator, logger, isPlanned: isPlanned)
        return try RunPlan(
          try Trainer(run), job: job(run), scales: scalingTable, willMeasure: willMeasure)
      }
      // Sizes first, of which nothing is allocated: what is measured must fit here.
      var silent = quiet
      silent.logLevel = .critical
      var made = try plan(isPlanned: true, flops == nil ? silent : quiet)
      if flops == nil {
        if let shortage = made.shortageHere {
          logger.warning("nothing is measured. \(shortage) For times give --flops.")
        } else {
          let local = min(made.job.ranks, made.job.ranksPerNode, cores(made.threads))
          let neighbours = PlanNeighbours(count: made.ranksThatFitHere(atMost: local) - 1)
          made = try plan(isPlanned: false, quiet, willMeasure: neighbours.waitUntilComputing)
          neighbours.end()
        }
      }
      print(json ? made.value.text() : slurm ? made.slurm : made.text)
      if slurm { for problem in made.problems { logger.warning("\(problem)") } }
    }
  }

  /// The run that is planned, which writes nothing.
  private func run(
    _ communicator: Communicator, _ logger: Logger, isPlanned: Bool
  ) throws -> TrainingRun {
    var settings = try options.settings()
    settings.remove("resume")
    let isDemo = settings["model"] == nil && settings["data"] == nil
    let configuration = try RunConfiguration(isDemo ? Demo.settings(settings) : settings)
    return try TrainingRun(
      configuration, model: try configuration.model ?? Demo.locate().basePath,
      data: try configuration.data ?? Demo.locate().dataPath, communicator: communicator,
      logger: logger, writes: false, scansBase: false, isPlanned: isPlanned)
  }

  /// What a process does that computes beside another's measurement.
  private func computeBeside() throws {
    let silent = Logger(label: "neighbour") { _ in SwiftLogNoOpLogHandler() }
    let run = try run(Communicator(alone: ()), silent, isPlanned: false)
    try PlanNeighbours.compute(try Trainer(run))
  }

  /// Ranks of so many threads that this machine has cores for.
  private func cores(_ threads: Int) -> Int {
    max(1, ProcessInfo.processInfo.activeProcessorCount / threads)
  }

  private func job(_ run: TrainingRun) -> RunPlan.Job {
    let ranks = self.ranks ?? 1
    return RunPlan.Job(
      ranks: ranks, ranksPerNode: ranksPerNode ?? min(ranks, cores(run.compute.threadCount)),
      network: network.flatMap { NetworkModel.named($0) } ?? NetworkModel.all[0],
      operationsPerSecond: flops.map { $0 * 1e9 }, spread: spread,
      nodeMemory: nodeMemory.map { Int($0 * 1_073_741_824) }
        ?? Int(ProcessInfo.processInfo.physicalMemory))
  }
}

/// Why there is no plan.
enum PlanError: ClassifiedError {
  case severalRanks(Int)

  var errorClass: ErrorClass { .usage }

  var description: String {
    switch self {
    case .severalRanks(let count):
      "plan was started on \(count) ranks; start it as one process and name them with --ranks \(count)."
    }
  }
}
