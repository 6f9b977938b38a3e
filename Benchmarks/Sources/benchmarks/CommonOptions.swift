import ArgumentParser
import Benchmarking
import Foundation
import JSON

/// What all measurements take.
struct CommonOptions: ParsableArguments {
  @Flag(help: "Print one JSON object on standard output") var json = false
  @Flag(help: "Fewer and shorter measurements, to see that everything works") var quick = false

  /// Prints the machine and the sections, as tables or as one object.
  ///
  /// - Throws: status 1 where something could not be measured.
  func report(_ machine: Machine, _ sections: [Section]) throws {
    if json {
      var members: [String: JSONValue] = ["machine": machine.json, "quick": .bool(quick)]
      for section in sections { members[section.name] = section.json }
      print(JSONValue.object(members).text())
    } else {
      print(machine.text)
      print(sections.map(\.text).joined(separator: "\n"))
    }
    if sections.contains(where: { !$0.failures.isEmpty }) { throw ExitCode.failure }
  }
}

/// What measurements of whole programs take besides.
struct ProgramOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The program to measure (default: swift-peft-train beside this one)", valueName: "FILE"))
  var program: String?
  @Option(
    help: ArgumentHelp(
      "Where models of random weights and datasets are made, and found again; about 3 GB",
      valueName: "DIR"))
  var workDir = Workplace.defaultDirectory
  @Option(help: ArgumentHelp("Cores to use (default: those that are allowed)", valueName: "N"))
  var cores: Int?
  @Option(
    help: ArgumentHelp("How often each run is repeated, by turns (default: 5)", valueName: "N"))
  var repeats: Int?
  @Option(parsing: .upToNextOption, help: "Jobs: A, B, C; none for none") var jobs: [String] = [
    "A", "B", "C",
  ]
  @Option(parsing: .upToNextOption, help: "Precisions: f32, bf16")
  var precisions: [Precision] = Precision.allCases

  @Flag(help: "A tiny model in place of every job's, to see in seconds that everything works")
  var tiny = false

  func validate() throws {
    if let cores, cores < 1 { throw ValidationError("--cores \(cores): at least 1") }
    if let repeats, repeats < 1 { throw ValidationError("--repeats \(repeats): at least 1") }
    for name in jobs where jobs != ["none"] && !Job.all.contains(where: { $0.name == name }) {
      throw ValidationError("--jobs \(name): the jobs are A, B and C")
    }
  }

  /// The jobs that were asked for.
  var chosenJobs: [Job] {
    tiny && jobs != ["none"] ? [.tiny] : Job.all.filter { jobs.contains($0.name) }
  }

  /// The program's path.
  var programPath: String { program ?? TrainerProgram.defaultPath }

  func workplace(_ machine: Machine, _ common: CommonOptions) throws -> Workplace {
    try Workplace(
      programPath: programPath, directory: workDir, cores: cores ?? machine.coreCount,
      repeats: repeats ?? (common.quick ? 1 : 5), isQuick: common.quick, isTiny: tiny)
  }

  /// Checks the names of methods.
  func methods(_ names: [String], among known: [String]) throws -> [String] {
    for name in names where !known.contains(name) {
      throw ValidationError("--methods \(name): known are \(known.joined(separator: ", "))")
    }
    return names
  }
}

extension Precision: ExpressibleByArgument {}
