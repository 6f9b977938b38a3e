import Datasets
import Foundation
import Safetensors
import Tensors

/// The model directory and the dataset of a job, made of random numbers where they are not there.
///
/// The numbers follow from a seed, so that every machine measures the same files. Speed does not
/// depend on what the weights are, as long as they are of the usual size.
package struct JobFiles: Sendable {
  /// A Hugging Face model directory: `config.json` and bf16 weights.
  package let model: String
  /// An HDF5 dataset with the split `train`.
  package let data: String

  /// Finds or makes the files of `job` in `directory`.
  ///
  /// - Throws: where a file cannot be written.
  package init(_ job: Job, directory: String) throws {
    model = "\(directory)/\(job.shape.name)"
    data = "\(directory)/job-\(job.name).h5"
    let files = FileManager.default
    try files.createDirectory(atPath: model, withIntermediateDirectories: true)
    if !files.fileExists(atPath: "\(model)/model.safetensors") {
      Progress.say("making \(model)")
      try Data(JobFiles.configuration(job.shape).utf8)
        .write(to: URL(fileURLWithPath: "\(model)/config.json"), options: .atomic)
      try JobFiles.writeWeights(job.shape, to: "\(model)/model.safetensors")
    }
    if !files.fileExists(atPath: data) { try JobFiles.writeDataset(job, to: data) }
  }

  /// A model directory that somebody else made, and the dataset of `job` in `directory`.
  ///
  /// - Throws: where the dataset cannot be written.
  init(_ job: Job, model: String, directory: String) throws {
    self.model = model
    data = "\(directory)/job-\(job.name)-\(job.shape.vocabularySize).h5"
    if !FileManager.default.fileExists(atPath: data) { try JobFiles.writeDataset(job, to: data) }
  }

  /// `config.json` as transformers writes it.
  static func configuration(_ shape: ModelShape) -> String {
    """
    {
      "architectures": ["LlamaForCausalLM"],
      "attention_bias": false,
      "attention_dropout": 0.0,
      "bos_token_id": 1,
      "dtype": "bfloat16",
      "eos_token_id": 2,
      "head_dim": \(shape.headDim),
      "hidden_act": "silu",
      "hidden_size": \(shape.hiddenSize),
      "initializer_range": 0.02,
      "intermediate_size": \(shape.intermediateSize),
      "max_position_embeddings": 2048,
      "mlp_bias": false,
      "model_type": "llama",
      "num_attention_heads": \(shape.headCount),
      "num_hidden_layers": \(shape.blockCount),
      "num_key_value_heads": \(shape.keyValueHeadCount),
      "rms_norm_eps": 1e-06,
      "rope_theta": 10000.0,
      "tie_word_embeddings": \(shape.isTied),
      "use_cache": true,
      "vocab_size": \(shape.vocabularySize)
    }

    """
  }

  private static func writeWeights(_ shape: ModelShape, to path: String) throws {
    var entries: [SafetensorsWriter.Entry] = []
    func declare(_ name: String, _ size: [Int]) {
      entries.append(.init("\(name).weight", .bfloat16, shape: size))
    }
    declare("model.embed_tokens", [shape.vocabularySize, shape.hiddenSize])
    for block in 0..<shape.blockCount {
      let prefix = "model.layers.\(block)."
      for projection in shape.projections {
        declare(prefix + projection.name, [projection.outputSize, projection.inputSize])
      }
      declare(prefix + "input_layernorm", [shape.hiddenSize])
      declare(prefix + "post_attention_layernorm", [shape.hiddenSize])
    }
    declare("model.norm", [shape.hiddenSize])
    if !shape.isTied { declare("lm_head", [shape.vocabularySize, shape.hiddenSize]) }

    var writer = try SafetensorsWriter(path: path, tensors: entries)
    for (index, entry) in entries.enumerated() {
      let isNorm = entry.shape.count == 1
      try writer.write(entry.name) { start, target in
        if isNorm { return target.fill(1) }
        // The deviation of transformers' initialisation.
        FastRandom(seed: UInt64(index + 1)).fill(target, from: start, deviation: 0.02)
      }
    }
    try writer.finish()
  }

  private static func writeDataset(_ job: Job, to path: String) throws {
    let writer = try TokenDatasetWriter(path: path, vocabularySize: job.shape.vocabularySize)
    let random = CounterRandom(seed: 1, purpose: "tokens")
    var draw: UInt64 = 0
    for length in job.lengths {
      let tokens = (0..<length).map { _ in
        draw += 1
        return 3 + UInt32(random.integer(draw, below: UInt64(job.shape.vocabularySize - 3)))
      }
      let mask: [UInt8] = (0..<length).map { job.counts(position: $0, of: length) ? 1 : 0 }
      try writer.append(tokens: tokens, lossMask: mask, to: .train)
    }
    try writer.finish()
  }
}
