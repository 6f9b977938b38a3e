import ArgumentParser
import Diagnostics
import Foundation
import JSON

/// `inspect`: what a file or directory is, and whether it is sound.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Say what a file or directory is, and whether it is sound.",
    discussion: """
      Knows model, adapter and output directories, safetensors, HDF5 datasets and checkpoints, tokenizer.json, and the token files of llm.c, Megatron, Cerebras and NVIDIA. Everything is read and checked; a damaged one ends with status 65. --verify reads all bytes of the base and the dataset, too, that an adapter, a checkpoint or a run was trained on, and says whether they are still the same.
      """)

  @Argument(help: ArgumentHelp("file or directory", valueName: "PATH")) var path: String
  @Flag(help: "Compare the base and the dataset that it was trained on with those of today")
  var verify = false
  @Option(
    help: ArgumentHelp(
      "with --verify, the base (default: where it was in training)", valueName: "DIR|FILE"))
  var model: String?
  @Flag(help: "Print one JSON object on standard output") var json = false

  func run() throws {
    var inspection = try Inspection(path: path)
    if verify { try inspection.verify(model: model) }
    if json {
      print(inspection.value.text())
    } else {
      print("\(path): \(inspection.kind), \(inspection.problem == nil ? "sound" : "damaged")")
      for (name, value) in inspection.facts {
        print("  \(name): \(value.string ?? value.text())")
      }
      for line in inspection.text { print(line) }
    }
    if let problem = inspection.problem { throw problem }
  }
}

/// The error for something that is none of the kinds the program knows.
enum InspectionError: ClassifiedError {
  case notFound(path: String)
  case unknownKind(path: String)
  case nothingToVerify(path: String, kind: String)
  case noBase(path: String, base: String)
  case differs(path: String, what: String, place: String, _ found: String, _ stated: String)

  var errorClass: ErrorClass { .input }

  var description: String {
    switch self {
    case .notFound(let path): "There is no file or directory \(path). Check the path."
    case .nothingToVerify(let path, let kind):
      "\(path) (\(kind)) does not say what it was trained on: --verify is for adapters, checkpoints and "
        + "output directories of this program. Without it all that is there is read and checked."
    case .noBase(let path, let base):
      "\(path) was trained on \(base), which is not there. Name the base with --model."
    case .differs(let path, let what, let place, let found, let stated):
      "\(path) was trained on another \(what) than \(place) is now: its fingerprint was \(stated) and is "
        + "\(found). Use the \(what) as it was."
    case .unknownKind(let path):
      "\(path) is nothing that this program knows. Known are model, adapter and output directories, "
        + "safetensors, HDF5 datasets and checkpoints, tokenizers, and the token files of llm.c, "
        + "Megatron, Cerebras and NVIDIA."
    }
  }
}
