import Files
import Foundation
import GGUF
import JSON
import Templates

/// What a model's files say of its text, beside the tokenizer: documents of a Hugging Face
/// directory, or what a GGUF file has in their place.
struct ModelDocuments {
  /// The directory or file.
  let path: String
  /// `tokenizer_config.json`.
  private(set) var settings: JSONNode?
  /// `special_tokens_map.json`.
  private(set) var specialTokens: JSONNode?
  /// `config.json`.
  private(set) var configuration: JSONNode?
  /// `generation_config.json`.
  private(set) var generation: JSONNode?
  private let isGGUF: Bool

  init(_ path: String) throws {
    self.path = path
    isGGUF = GGUFFile.isOne(path)
    if isGGUF {
      let model = try GGUFModel(path: path)
      settings = try model.files.hasTokenizer ? model.files.tokenizerConfiguration() : nil
      configuration = JSONNode(model.configuration)
      return
    }
    settings = try Self.json(path + "/tokenizer_config.json")
    specialTokens = try Self.json(path + "/special_tokens_map.json")
    configuration = try Self.json(path + "/config.json")
    generation = try Self.json(path + "/generation_config.json")
  }

  /// Takes the configuration of a model that these tokens are for.
  mutating func use(configurationOf model: ModelDocuments) {
    configuration = model.configuration ?? configuration
    generation = model.generation ?? generation
  }

  /// The chat template, if there is one.
  func template() throws -> Template? {
    let file = path + "/chat_template.jinja"
    if FileManager.default.fileExists(atPath: file) {
      return try Template(try Self.text(file), name: file)
    }
    let older = path + "/chat_template.json"
    let place = isGGUF ? path : path + "/tokenizer_config.json"
    if let source = try Self.json(older)?["chat_template"]?.string {
      return try Template(source, name: older)
    }
    guard let node = settings?["chat_template"], !node.isNull else { return nil }
    if let source = node.string {
      return try Template(source, name: "chat_template of \(place)")
    }
    // Several templates, each with its name.
    for entry in node.array ?? [] where entry["name"]?.string == "default" {
      if let source = entry["template"]?.string {
        return try Template(source, name: "chat_template 'default' of \(place)")
      }
    }
    throw PreparationError.badConfiguration(
      path: place, field: "chat_template",
      expected: "a template, or a list with one of the name 'default'")
  }

  private static func json(_ path: String) throws -> JSONNode? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    do { return try JSONNode(parsing: Array(try text(path).utf8)) } catch let error as JSONError {
      throw PreparationError.unreadable(path: path, reason: "it is not JSON: \(error)")
    }
  }

  static func text(_ path: String) throws(PreparationError) -> String {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try InputFile.bytes(of: path) } catch {
      throw .unreadable(path: path, reason: error.reason)
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .unreadable(path: path, reason: "it is not UTF-8")
    }
    return text
  }
}
