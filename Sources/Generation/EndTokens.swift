import Files
import Foundation
import JSON
import Model

/// The tokens that end a model's answers.
public enum EndTokens {
  /// What transformers ends an answer at: `eos_token_id` of `generation_config.json`, a number or a
  /// list, else that of `config.json`.
  ///
  /// - Throws: `ModelError` where `generation_config.json` cannot be read or its field is not ids.
  public static func of(_ decoder: Decoder) throws(ModelError) -> Set<Int> {
    let standard = Set(decoder.configuration.endTokens)
    let path = decoder.directory + "/generation_config.json"
    guard FileManager.default.fileExists(atPath: path) else { return standard }
    let data: Data
    do throws(FileError) { data = Data(try InputFile.bytes(of: path)) } catch {
      throw .unreadableFile(path: path, reason: error.reason)
    }
    let node: JSONValue
    do { node = try JSONValue(parsing: data) } catch {
      throw .malformedConfiguration(path: path, reason: "\(error)")
    }
    guard let value = node["eos_token_id"], !value.isNull else { return standard }
    let ids = value.array?.map(\.int) ?? [value.int]
    let known = ids.compactMap { $0 }
    guard known.count == ids.count else {
      throw .unsupportedField(
        name: "eos_token_id", value: value.text(), expected: "a token id or a list of them",
        path: path)
    }
    return Set(known)
  }
}
