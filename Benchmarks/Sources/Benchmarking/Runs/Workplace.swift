import Foundation

/// What all measurements of whole programs share: the program, where files lie, how long to measure.
package struct Workplace: Sendable {
  /// The program that is measured.
  package let program: TrainerProgram
  /// Where models and datasets are made, and runs write.
  package let directory: String
  /// Cores to use.
  package let cores: Int
  /// How often each measurement is repeated, by turns with what it is compared with.
  package let repeats: Int
  /// Shorter runs.
  package let isQuick: Bool
  /// A tiny model stands for those of all jobs: to see that everything works, in seconds.
  package let isTiny: Bool

  /// - Throws: where there is no program, or the directory cannot be made.
  package init(
    programPath: String, directory: String, cores: Int, repeats: Int, isQuick: Bool,
    isTiny: Bool = false
  ) throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    program = try TrainerProgram(path: programPath, directory: directory)
    self.directory = directory
    self.cores = cores
    self.repeats = repeats
    self.isQuick = isQuick
    self.isTiny = isTiny
  }

  /// Where files are made when nobody says where: they are found again by the next run.
  package static var defaultDirectory: String {
    NSTemporaryDirectory() + "/swift-peft-train-benchmarks"
  }

  /// The job that methods and ranks are compared on.
  var jobA: Job { isTiny ? .tiny : .a }
  /// The job whose start is measured.
  var jobB: Job { isTiny ? .tiny : .b }

  /// Steps of a measured run: some 4000 tokens, which take the slowest peer minutes.
  func steps(_ job: Job) -> StepCounts {
    if isQuick { return StepCounts(warmUp: 1, timed: 1) }
    return StepCounts(warmUp: 1, timed: job.name == "B" || job.isFamily ? 3 : 5)
  }

  /// Steps of a run that only chooses a layout.
  var trialSteps: StepCounts { StepCounts(warmUp: 1, timed: isQuick ? 1 : 3) }

  /// How long a measurement of the machine's own speed lasts.
  var peakSeconds: Double { isQuick ? 0.05 : 0.3 }

  /// A job's task, its files made where they are not there.
  package func task(_ job: Job, method: String, precision: Precision) throws -> Task {
    Task(
      job, files: try JobFiles(job, directory: directory), method: method, precision: precision)
  }

  /// The best of some choices, each tried once; a lone one is not tried.
  func best<Choice>(
    _ choices: [Choice], name: (Choice) -> String, speed: (Choice) throws -> Double
  ) rethrows -> Choice {
    var best = (choice: choices[0], speed: -Double.infinity)
    guard choices.count > 1 else { return best.choice }
    for choice in choices {
      let speed = try speed(choice)
      Progress.say("  \(name(choice)): \(Int(speed)) tokens/s")
      if speed > best.speed { best = (choice, speed) }
    }
    return best.choice
  }

  /// Our best layout for a task.
  func bestSetting(_ task: Task) throws -> Setting {
    Progress.say("\(task.text): which layout is best")
    return try best(
      Setting.candidates(batchSize: task.job.batchSize, cores: cores), name: \.text
    ) { try program.run(task, $0, trialSteps).tokensPerSecond }
  }
}

extension RunFigures {
  /// Useful floating-point operations a second: the median of the timed steps.
  func usefulOperationsPerSecond(_ task: Task, _ steps: StepCounts) -> Double {
    Sample(
      stepSeconds.enumerated().map { index, seconds in
        let lengths = task.job.lengths(step: steps.warmUp + index + 1)
        return UsefulWork(task.job, lengths: lengths, method: task.method).total / seconds
      }
    ).median
  }
}
