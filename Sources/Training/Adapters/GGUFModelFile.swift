import Files
import Foundation
import GGUF
import JSON
import Model
import PEFT
import Tensors

/// A stand-alone model in GGUF: a base with what a method trained folded in, for llama.cpp and Ollama.
///
/// It computes in f32, tensor by tensor, and rounds once: matrices to the type that is asked for, vectors not
/// at all. A base in GGUF lends its keys; one from Hugging Face tells them in GGUF's words.
public enum GGUFModelFile {
  /// The types that matrices may be written in.
  public static let types = ["F32", "F16", "BF16", "Q8_0"]

  /// Writes the model.
  ///
  /// - Parameters:
  ///   - path: the new file.
  ///   - base: the base, with the method attached.
  ///   - method: what merges into it.
  ///   - type: one of ``types``.
  /// - Throws: `PEFTError.cannotMerge`, `PEFTError.cannotExport` with what GGUF cannot say, `FileError`.
  public static func write(
    to path: String, base: Decoder, method: any PEFTMethod, type: String
  ) throws {
    if let reason = method.mergeRefusal {
      throw PEFTError.cannotMerge(method: method.name, reason: reason)
    }
    let configuration = base.configuration
    guard
      let architecture = GGUFNames.architecture(ofModelType: configuration.modelType),
      let names = GGUFNames.of(architecture), let wanted = GGUFType.named(type),
      let single = GGUFType.named("F32"), let half = GGUFType.named("F16")
    else {
      throw PEFTError.cannotExport(
        format: "GGUF", what: "models of the type \(configuration.modelType)")
    }
    let (sources, _) = try ModelDirectory.sources(of: base)
    let divisors = rotaryDivisors(configuration)
    var entries: [GGUFWriter.Entry] = []
    if let divisors {
      entries.append(GGUFWriter.Entry("rope_freqs.weight", single, shape: [divisors.count]))
    }
    var places: [String] = []
    for (name, tensor) in sources {
      guard let place = names.gguf(name) else {
        throw PEFTError.cannotExport(format: "GGUF", what: "the tensor '\(name)'")
      }
      places.append(place)
      // What is [in, out] here, GGUF has the other way round.
      let shape =
        configuration.storesInputMajor(name, shape: tensor.shape)
        ? tensor.shape.reversed() : tensor.shape
      let isWhole = (shape.last ?? 0) % wanted.elements == 0
      entries.append(
        GGUFWriter.Entry(
          place, shape.count < 2 ? single : isWhole ? wanted : half, shape: Array(shape)))
    }
    var writer = try GGUFWriter(
      path: path,
      metadata: try GGUFKeys.of(base, architecture: architecture, type: type), tensors: entries)
    if let divisors {
      try writer.write("rope_freqs.weight") { _, target in target.assign(divisors) }
    }
    let buffer = FloatBuffer(count: sources.map(\.tensor.elementCount).max() ?? 0)
    for ((name, tensor), place) in zip(sources, places) {
      let rows = tensor.shape.count == 2 ? tensor.shape[0] : 1
      let columns = tensor.shape.last ?? 1
      let values = buffer.view(rows: rows, columns: columns)
      try tensor.copyFloats(into: values)
      _ = method.merge(into: values, of: name, decoder: base)
      let head =
        GGUFNames.isInterleaved(place, architecture: architecture) ? configuration.headDim : 0
      if tensor.shape.count < 2 {
        let numbers = values.elements
        try writer.write(place) { _, target in
          target.assign(
            (0..<columns).map { numbers[GGUFNames.huggingFaceRow($0, head: head)] })
        }
      } else if configuration.storesInputMajor(name, shape: tensor.shape) {
        try writer.write(place) { row, target in
          for index in 0..<rows { target[0, index] = values[index, row] }
        }
      } else {
        try writer.write(place) { row, target in
          let row = GGUFNames.huggingFaceRow(row, head: head)
          target.copy(from: values.rows(row..<(row + 1)))
        }
      }
    }
    try writer.finish()
  }

  /// What llama.cpp divides each frequency by, where that is Llama 3's stretching.
  private static func rotaryDivisors(_ configuration: DecoderConfiguration) -> [Float]? {
    guard let rotary = configuration.rotary.first ?? nil, case .llama3 = rotary.scaling else {
      return nil
    }
    var plain = rotary
    plain.scaling = .none
    return zip(
      plain.inverseFrequencies(length: 1), rotary.inverseFrequencies(length: 1)
    ).map { Float($0 / $1) }
  }
}
