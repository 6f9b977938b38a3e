import GGUF
import Generation
import Kernels
import Model
import Preparation
import Tensors

extension Reader {
  /// Reads every number of every tensor that is stored in a known way.
  static func readTensors(ofGGUF path: String) throws {
    for tensor in try GGUFFiles(path: path).tensors
    where tensor.shape.count <= 2 && tensor.elementCount <= 1 << 20 {
      guard let weight = try? tensor.weight() else { continue }
      readNumbers(weight)
      _ = tensor.firstNonFinite(bytes: 0..<tensor.byteCount)
    }
  }

  private static func readNumbers(_ weight: WeightMatrix) {
    let numbers = OwnedMatrix(rows: weight.outputSize, columns: weight.inputSize)
    // The view does not keep its owner.
    withExtendedLifetime(numbers) { weight.copyFloats(into: numbers.view) }
  }

  /// Loads a model, reads every weight and continues a prompt.
  static func compute(_ path: String) throws {
    let decoder = try Decoder(directory: path)
    for parameter in decoder.parameters { readNumbers(parameter.matrix) }
    _ = decoder.contents.digest
    let generator = try TextGenerator(
      decoder: decoder, compute: Compute(threads: 1), maximumLength: 6)
    _ = generator.generate(
      prompt: (1...3).map { $0 % decoder.configuration.vocabularySize }, maximumNewTokens: 3,
      sampler: Sampler(temperature: 1, topP: 0.9, seed: 1), endTokens: [])
  }

  /// Reads a tokenizer with its template and tokens, and goes from text to ids and back.
  static func readText(_ path: String) throws {
    let text = try ModelText(directory: path)
    let prompt = try text.prompt([.init(role: "user", content: "Hello world, in words")])
    let ids = try text.tokenizer.encode(
      (prompt ?? "") + "hello <tool> " + String(repeating: "a", count: 100),
      addSpecialTokens: true)
    _ = text.tokenizer.decode(ids)
  }
}
