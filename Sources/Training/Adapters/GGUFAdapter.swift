import Files
import GGUF
import JSON
import Model
import PEFT
import Tensors

/// A LoRA adapter in the form that llama.cpp loads (`--lora`).
///
/// The file has one alpha for all pairs of factors, which llama.cpp divides by each pair's rank. What
/// rank-stabilised scaling and patterns differ from that is folded into B. Of the architecture `llama` the
/// rows of B for queries and keys lie in llama.cpp's order, as those of the base do.
public enum GGUFAdapter {
  /// Writes an adapter.
  ///
  /// - Parameters:
  ///   - path: the new file.
  ///   - export: the adapter.
  ///   - model: the base it was trained on, for its architecture and heads.
  /// - Throws: `PEFTError.cannotExport` with what GGUF cannot say, `GGUFError`, `FileError`.
  public static func write(
    _ export: AdapterExport, to path: String, base model: DecoderConfiguration
  ) throws {
    guard let architecture = GGUFNames.architecture(ofModelType: model.modelType),
      let names = GGUFNames.of(architecture)
    else {
      throw PEFTError.cannotExport(
        format: "GGUF", what: "adapters of the model type \(model.modelType)")
    }
    let factors = try LoRA.factors(of: export, for: "GGUF")
    guard let first = factors.first else {
      throw PEFTError.cannotExport(format: "GGUF", what: "an adapter without factors")
    }
    let alpha = first.scaling * Double(first.rank)
    guard let type = GGUFType.named("F32") else { preconditionFailure("GGUF without F32") }
    var entries: [GGUFWriter.Entry] = []
    var stems: [String] = []
    for pair in factors {
      guard let stem = names.gguf(pair.path + ".weight") else {
        throw PEFTError.cannotExport(format: "GGUF", what: "factors of '\(pair.path)'")
      }
      stems.append(stem)
      entries.append(
        GGUFWriter.Entry(stem + ".lora_a", type, shape: [pair.rank, pair.inputSize]))
      entries.append(
        GGUFWriter.Entry(stem + ".lora_b", type, shape: [pair.outputSize, pair.rank]))
    }
    var writer = try GGUFWriter(
      path: path,
      metadata: [
        ("general.architecture", .string(architecture)), ("general.type", .string("adapter")),
        ("general.file_type", .count(0)), ("adapter.type", .string("lora")),
        ("adapter.lora.alpha", .number(Float(alpha))),
      ], tensors: entries)
    for (pair, stem) in zip(factors, stems) {
      let factor = Float(pair.scaling * Double(pair.rank) / alpha)
      let head = GGUFNames.isInterleaved(stem, architecture: architecture) ? model.headDim : 0
      try writer.write(stem + ".lora_a") { row, target in
        target.assign(pair.a[(row * pair.inputSize)..<((row + 1) * pair.inputSize)])
      }
      try writer.write(stem + ".lora_b") { row, target in
        let row = GGUFNames.huggingFaceRow(row, head: head)
        target.assign(pair.b[(row * pair.rank)..<((row + 1) * pair.rank)].map { $0 * factor })
      }
    }
    try writer.finish()
  }
}
