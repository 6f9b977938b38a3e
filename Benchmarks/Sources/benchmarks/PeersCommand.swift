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

  func run() throws {
    let peer = try PeerProgram(python: peers.python, script: peers.script)
    let machine = Machine(
      program: programs.programPath, peerVersions: try peer.versions())
    try common.report(
      machine,
      try PeersCommand.sections(
        methods, programs, peer, try programs.workplace(machine, common)))
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
