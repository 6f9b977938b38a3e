import ArgumentParser
import Benchmarking
import Foundation

/// How the peer is found.
struct PeerOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A Python with the packages of Benchmarks/peers/requirements.txt", valueName: "PATH"))
  var python = "python3"
  @Option(help: ArgumentHelp("The peer's script", valueName: "FILE"))
  var script = "Benchmarks/peers/peft_peer.py"
  @Option(help: ArgumentHelp("The script that makes models of families", valueName: "FILE"))
  var familyScript = "Benchmarks/peers/family_models.py"
}

/// `peers`: the same jobs by Hugging Face PEFT, by turns with ours.
struct PeersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "peers",
    abstract: "The same jobs by Hugging Face PEFT, by turns, and the ratios.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var programs: ProgramOptions
  @OptionGroup var peers: PeerOptions
  @Option(
    parsing: .upToNextOption,
    help: "Methods to compare on job A ('all' for those that PEFT has; default: none)")
  var methods: [String] = []
  @Option(
    parsing: .upToNextOption,
    help: "Families to compare in f32 ('all' for every one that has a shape; default: none)")
  var families: [String] = []
  @Option(help: ArgumentHelp("Blocks of a family's model", valueName: "N"))
  var blocks = 4

  func validate() throws {
    if blocks < 1 { throw ValidationError("--blocks \(blocks): at least 1") }
  }

  func run() throws {
    let peer = try PeerProgram(python: peers.python, script: peers.script)
    let machine = Machine(
      program: programs.programPath, peerVersions: try peer.versions())
    let workplace = try programs.workplace(machine, common)
    let models = FamilyModels(python: peers.python, script: peers.familyScript)
    // Before hours pass.
    let known = families.isEmpty ? [] : try models.names()
    for name in families where families != ["all"] && !known.contains(name) {
      throw ValidationError("--families \(name): known are \(known.joined(separator: ", "))")
    }
    var sections = try PeersCommand.sections(methods, programs, peer, workplace)
    if !families.isEmpty {
      sections.append(
        try PeerBenchmark.families(
          families == ["all"] ? known : families, blocks: blocks, madeBy: models, against: peer,
          at: workplace))
    }
    try common.report(machine, sections)
  }

  static func sections(
    _ methods: [String], _ programs: ProgramOptions, _ peer: PeerProgram, _ workplace: Workplace
  ) throws -> [Section] {
    let methods =
      methods == ["all"]
      ? PeerProgram.methods : try programs.methods(methods, among: PeerProgram.methods)
    var sections: [Section] = []
    if !programs.chosenJobs.isEmpty {
      sections.append(
        try PeerBenchmark.jobs(
          programs.chosenJobs, precisions: programs.precisions, against: peer, at: workplace))
    }
    if !methods.isEmpty {
      sections.append(
        try PeerBenchmark.methods(
          methods, precisions: programs.precisions, against: peer, at: workplace))
    }
    return sections
  }
}

/// `all`: everything, with the peer where a Python is given.
struct AllCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "all",
    abstract: "Every measurement, one after the other; the peer's where --python is given.")

  @OptionGroup var common: CommonOptions
  @OptionGroup var programs: ProgramOptions
  @Option(
    help: ArgumentHelp(
      "A Python with the packages of Benchmarks/peers/requirements.txt", valueName: "PATH"))
  var python: String?
  @Option(help: ArgumentHelp("The peer's script", valueName: "FILE"))
  var script = "Benchmarks/peers/peft_peer.py"

  func run() throws {
    // First, so that hours do not pass before it is missed.
    let peer = try python.map { try PeerProgram(python: $0, script: script) }
    let machine = Machine(
      program: programs.programPath, peerVersions: try peer?.versions() ?? [:])
    let workplace = try programs.workplace(machine, common)
    var sections = OperationBenchmark.run(threads: workplace.cores, isQuick: common.quick)
    sections += try StepsCommand.sections(MethodChoice.names, programs, workplace)
    sections += try ScalingCommand.sections(programs, workplace)
    if let peer {
      sections += try PeersCommand.sections(PeerProgram.methods, programs, peer, workplace)
    }
    try common.report(machine, sections)
  }
}
