import ArgumentParser
import Foundation
import JSON
import Tensors

/// `inspect`: what a file or directory is, and whether it is sound.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Say what a file or directory is, and whether it is sound.",
    discussion: """
      Knows model, adapter and output directories, safetensors, HDF5 datasets and checkpoints,
      tokenizer.json, and the token files of llm.c, Megatron, Cerebras and NVIDIA. Everything is read and checked; a damaged one ends with status 65.
      """)

  @Argument(help: ArgumentHelp("file or directory", valueName: "PATH")) var path: String
  @Flag(help: "Print one JSON object on standard output") var json = false

  func run() throws {
    let inspection = try Inspection(path: path)
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

  var errorClass: ErrorClass { .input }

  var description: String {
    switch self {
    case .notFound(let path): "There is no file or directory \(path). Check the path."
    case .unknownKind(let path):
      "\(path) is nothing that this program knows. Known are model, adapter and output directories, "
        + "safetensors, HDF5 datasets and checkpoints, tokenizers, and the token files of llm.c, "
        + "Megatron, Cerebras and NVIDIA."
    }
  }
}
