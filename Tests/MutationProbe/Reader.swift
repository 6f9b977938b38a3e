import Checkpointing
import Datasets
import Foundation
import JSON
import Model
import PEFT
import Safetensors
import Templates
import Tokenizers
import Training

/// A reader of strangers' files, or of files of our own that carry no digest.
enum Reader: String {
  case json
  case safetensors
  case dataset
  case checkpoint
  case tokenizer
  case template
  case config
  case adapter
  /// A model in GGUF: header, tensors, tokenizer, template, and a few tokens computed.
  case gguf
  /// A file of a directory that bitsandbytes quantised, and a few tokens computed.
  case quantized
  /// A file of a plain model directory, and a few tokens computed.
  case model
  /// A file beside a tokenizer, and what they say together.
  case text
  /// Rows as `prepare` takes them.
  case rows
  /// Token files of other programs.
  case imports
  /// A YAML file of `train`, and all that is checked behind it.
  case settings
  /// A YAML file of `compare`.
  case comparison
  /// What a run leaves: metrics, origin, rows of a comparison.
  case run

  /// Reads a file of these bytes, and all that is in it.
  func read(_ bytes: [UInt8], named name: String, in folder: String) throws {
    let path = folder + "/" + name
    func write() throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
    /// The directory that the file belongs to, with the changed one in it.
    func directory() throws -> String {
      let copy = folder + "/copy"
      if !FileManager.default.fileExists(atPath: copy) {
        try FileManager.default.copyItem(atPath: folder + "/original", toPath: copy)
      }
      try Data(bytes).write(to: URL(fileURLWithPath: copy + "/" + name))
      return copy
    }
    switch self {
    case .json: _ = try JSONValue(parsing: Data(bytes)).text()
    case .safetensors:
      try write()
      let file = try SafetensorsFile(path: path)
      for tensor in file.tensors where (try? tensor.floatType()) != nil {
        _ = try tensor.firstNonFinite()
        _ = try tensor.floats()
      }
    case .dataset:
      try write()
      let dataset = try TokenDataset(path: path, modelVocabularySize: 1 << 20, maxLength: 64)
      for split in [dataset.train, dataset.validation].compactMap(\.self) {
        let buffer = ExampleBuffer(
          tokenCapacity: split.maximumTokenCount(ofExamples: 1), sequenceCapacity: 1)
        for example in 0..<min(split.exampleCount, 100) {
          buffer.removeAll()
          try split.append(example, to: buffer)
        }
      }
      _ = dataset.fingerprint
    case .checkpoint:
      try write()
      let checkpoint = try StoredCheckpoint(path: path)
      for section in CheckpointSection.allCases { _ = try checkpoint.tensors(in: section) }
      _ = try checkpoint.reader.methodArrays()
      _ = try checkpoint.reader.contentDigest()
    case .tokenizer:
      try write()
      let tokenizer = try Tokenizer(contentsOf: path)
      let ids = try tokenizer.encode(
        "Hello  world, it's 12345 </s> \n\n" + String(repeating: "a", count: 100))
      _ = tokenizer.decode(ids)
    case .template:
      let template = try Template(String(decoding: bytes, as: UTF8.self), name: name)
      _ = try template.render(Self.conversation)
    case .config:
      let value = try JSONValue(parsing: Data(bytes))
      _ = try DecoderConfiguration(value, path: name)
    case .adapter:
      let source = try AdapterSource(path: try directory())
      _ = try PEFTMethods.make(
        source.methodName, options: MethodOptions(source.fields, source: source.description))
    case .gguf:
      try write()
      try Self.inTurn(
        { try Self.readTensors(ofGGUF: path) }, { try Self.compute(path) },
        // Fixtures of that name have a vocabulary without merges.
        { if name != "model.gguf" { try Self.readText(path) } })
    case .quantized, .model: try Self.compute(try directory())
    case .text: try Self.readText(try directory())
    case .rows:
      try write()
      try Self.prepare(path, in: folder)
    case .imports:
      let copy = try directory()
      try Self.importTokens("\(copy)/\(name)", in: folder)
    case .settings:
      try write()
      try Self.readSettings(path)
    case .comparison:
      try write()
      try Self.readComparison(path)
    case .run: try Self.readRun(try directory())
    }
  }

  /// Does one after the other, whatever becomes of each.
  ///
  /// - Throws: the first of their errors.
  static func inTurn(_ works: (() throws -> Void)...) throws {
    var first: (any Error)?
    for work in works {
      do { try work() } catch { first = first ?? error }
    }
    if let first { throw first }
  }

  private static let conversation: [(String, JSONNode)] = {
    let turns = ["system", "user", "assistant", "user"].map { role in
      JSONNode.object(
        JSONObject([("role", .string(role)), ("content", .string("Some words of \(role)."))]))
    }
    return [
      ("messages", .array(turns)), ("add_generation_prompt", .bool(true)),
      ("bos_token", .string("<s>")), ("eos_token", .string("</s>")),
    ]
  }()
}
