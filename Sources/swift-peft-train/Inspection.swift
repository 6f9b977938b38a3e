import Checkpointing
import Datasets
import Diagnostics
import Files
import Foundation
import GGUF
import HDF5
import JSON
import Model
import PEFT
import Preparation
import Safetensors
import Tokenizers
import Training

/// What a file or directory is, what it holds, and what is wrong with it.
struct Inspection {
  /// A sentence's noun, for example `model directory`.
  private(set) var kind = "unknown"
  /// What it holds, in the order of telling.
  private(set) var facts: [(name: String, value: JSONValue)] = []
  /// Lines for readers behind the facts.
  private(set) var text: [String] = []
  /// What is wrong; nil when it is sound.
  private(set) var problem: (any ClassifiedError)?
  private let path: String
  /// What it was trained on: the base's path and what was found out about base and dataset then.
  private var trained: (base: String?, origin: AdapterOrigin)?

  /// Looks at a path and reads everything there.
  ///
  /// - Throws: `InspectionError` where there is nothing, or nothing known.
  init(path: String) throws {
    self.path = path
    let manager = FileManager.default
    guard manager.fileExists(atPath: path) else { throw InspectionError.notFound(path: path) }
    // A pipe would be waited for, and a device read for ever.
    if (try? manager.contentsOfDirectory(atPath: path)) == nil { try InputFile.check(path) }
    do {
      if let names = try? manager.contentsOfDirectory(atPath: path) {
        try readDirectory(Set(names))
      } else {
        try readFile()
      }
    } catch let error as InspectionError {
      throw error
    } catch let error as any ClassifiedError {
      problem = error
    }
  }

  /// As one object.
  var value: JSONValue {
    var members = Dictionary(facts.map { ($0.name, $0.value) }) { $1 }
    members["path"] = .string(path)
    members["kind"] = .string(kind)
    members["sound"] = .bool(problem == nil)
    if let problem { members["problem"] = .string(problem.description) }
    return .object(members)
  }

  private mutating func tell(_ name: String, _ value: JSONValue) { facts.append((name, value)) }

  // MARK: What it was trained on

  /// Compares the base and the dataset that it was trained on with those of today, all of their bytes.
  ///
  /// What differs becomes the ``problem``. A dataset that is no longer there is told as such.
  ///
  /// - Parameter model: the base; where nil the one that was trained on.
  /// - Throws: `InspectionError` where nothing is stated or the base is not there, and what is wrong with
  ///   the base or the dataset.
  mutating func verify(model: String?) throws {
    if problem != nil { return }
    guard let (named, origin) = trained, let base = model ?? named else {
      throw InspectionError.nothingToVerify(path: path, kind: kind)
    }
    let manager = FileManager.default
    guard manager.fileExists(atPath: base) else {
      throw InspectionError.noBase(path: path, base: base)
    }
    let decoder = try Decoder(directory: base)
    // Behind the digest stands what the base was quantised to, which its files do not tell.
    let stated = String(origin.baseFingerprint.prefix { $0 != " " })
    let found = BaseDigest.isSampled(stated) ? decoder.sampledFingerprint : decoder.digest.text
    tell("base_verified", .bool(found == stated))
    if found != stated {
      problem = InspectionError.differs(path: path, what: "base", place: base, found, stated)
      return
    }
    guard let data = origin.data, manager.fileExists(atPath: data) else {
      tell("dataset_verified", .null)
      return
    }
    let dataset = try TokenDataset(path: data).fingerprint
    tell("dataset_verified", .bool(dataset == origin.datasetFingerprint))
    if dataset != origin.datasetFingerprint {
      problem = InspectionError.differs(
        path: path, what: "dataset", place: data, dataset, origin.datasetFingerprint)
    }
  }

  // MARK: Directories

  private mutating func readDirectory(_ names: Set<String>) throws {
    if names.contains("adapter_config.json") {
      try readAdapter()
    } else if names.contains("config.json") {
      try readModel()
    } else if names.contains("metrics.jsonl") || names.contains("checkpoints") {
      try readOutput(names)
    } else if names.contains("tokenizer.json") || names.contains("vocab.json") {
      try readTokenizer(in: path)
    } else {
      throw InspectionError.unknownKind(path: path)
    }
  }

  private mutating func readModel() throws {
    if kind == "unknown" { kind = "model directory" }
    let decoder = try Decoder(directory: path)
    let configuration = decoder.configuration
    tell("model_type", .string(configuration.modelType))
    tell("parameters", .int(decoder.parameterCount))
    tell("blocks", .int(configuration.blockCount))
    tell("hidden_size", .int(configuration.hiddenSize))
    tell("vocabulary", .int(configuration.vocabularySize))
    tell("positions", .int(configuration.maximumPositions))
    tell("tied_embeddings", .bool(configuration.tiesEmbeddings))
    if !decoder.warnings.isEmpty {
      tell("warnings", .array(decoder.warnings.map { .string($0) }))
    }
    // Vectors are held as f32 copies; matrices lie as they are stored.
    let matrices = decoder.parameters.filter { $0.shape.count == 2 }
    let types = Set(matrices.map(\.storedFormat.name))
    tell("fingerprint", .string(decoder.fingerprint))
    tell("matrix_types", .array(types.sorted().map { .string($0) }))
    if !configuration.unrecognized.isEmpty {
      tell("unrecognized_fields", .array(configuration.unrecognized.map { .string($0) }))
    }
    tellText()
  }

  /// How the model reads text.
  ///
  /// A tokenizer that this program does not know hinders no training.
  private mutating func tellText() {
    do {
      let text = try ModelText(directory: path)
      tell("tokenizer", .string("\(text.tokenizer.vocabularySize) tokens"))
      tell("chat_template", text.template.map { .string($0.name) } ?? .null)
      let ends = text.stopTokens.sorted().map { text.tokenizer.token(of: $0) ?? "\($0)" }
      tell("end_tokens", .array(ends.map { .string($0) }))
    } catch TokenizerError.noTokenizer {
      tell("tokenizer", .null)
    } catch let error as any ClassifiedError {
      tell("tokenizer", .string("unusable here: \(error)"))
    } catch {
      tell("tokenizer", .string("unusable here: \(error.localizedDescription)"))
    }
  }

  private mutating func readAdapter() throws {
    kind = "adapter directory"
    let directory = AdapterDirectory(path: path)
    let configuration = try directory.configuration()
    tell("peft_type", configuration["peft_type"] ?? .null)
    tell("base", configuration["base_model_name_or_path"] ?? .null)
    let source = try AdapterSource(path: path)
    // Reading the options finds fields that are wrong or unknown.
    _ = try PEFTMethods.make(
      source.methodName, options: MethodOptions(source.fields, source: source.description))
    tell("method", .string(source.methodName))
    trained = try AdapterOrigin(directory: path).map {
      (configuration["base_model_name_or_path"]?.string, $0)
    }
    tellTensors((source.tensors ?? []).map { ($0.name, $0.shape) })
  }

  private mutating func readOutput(_ names: Set<String>) throws {
    kind = "output directory of a run"
    tell("finished", .bool(names.contains("adapter")))
    let search = try CheckpointDirectory(path: path + "/checkpoints").newestSound()
    let step = search.newest.map { JSONValue.int($0.metadata.step) } ?? .null
    tell("newest_sound_step", step)
    if let newest = search.newest {
      let checkpoint = StoredCheckpoint(newest)
      trained = (checkpoint.configuration["model"]?.string, AdapterOrigin(checkpoint))
    }
    tell("damaged_checkpoints", .array(search.damaged.map { .string($0.path) }))
    if let history = try RunHistory(directory: path) {
      let configuration = try? InputFile.bytes(of: path + "/config.yaml")
      text =
        RunReport(
          history, directory: path,
          configuration: String(decoding: configuration ?? [], as: UTF8.self)
        ).plainText
    }
    if let first = search.damaged.first { throw first.reason }
  }

  // MARK: Files

  private mutating func readFile() throws {
    let url = URL(fileURLWithPath: path)
    let head = (try? FileHandle(forReadingFrom: url).read(upToCount: 16)) ?? nil
    let start = [UInt8](head ?? Data())
    if start.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      try readHDF5()
    } else if start.starts(with: Array("GGUF".utf8)) {
      try readGGUF()
    } else if let format = ImportFormat(recognizing: path) {
      try readImport(format)
    } else if path.hasSuffix(".safetensors")
      || (start.count > 8 && start[8] == 0x7b && start[0] != 0x7b)
    {
      // A header's length is a multiple of 8, so its first byte is no brace; a JSON text's is.
      try readSafetensors()
    } else if url.lastPathComponent == "tokenizer.json" || isTokenizer(start) {
      try readTokenizer()
    } else if path.hasSuffix(".h5") || path.hasSuffix(".hdf5") {
      kind = "HDF5 file"
      _ = try HDF5File(reading: path)
    } else {
      throw InspectionError.unknownKind(path: path)
    }
  }

  /// Whether a JSON file of another name is a tokenizer, by its members.
  private func isTokenizer(_ start: [UInt8]) -> Bool {
    guard path.hasSuffix(".json"), start.first == 0x7b,
      let data = try? Data(contentsOf: URL(fileURLWithPath: path)),
      let node = try? JSONNode(parsing: [UInt8](data))
    else { return false }
    return node["model"] != nil && node["added_tokens"] != nil
  }

  /// What an HDF5 file says it is; a checkpoint's seal speaks before the file is opened.
  private func storedFormat() throws -> String {
    if CheckpointReader.mayRead(path) { return CheckpointReader.formatName }
    let root = try HDF5File(reading: path).root
    return try root.hasAttribute("format") ? root.text("format") : ""
  }

  private mutating func readHDF5() throws {
    kind = "HDF5 file"
    switch try storedFormat() {
    case TokenDataset.format:
      kind = "dataset"
      let dataset = try TokenDataset(path: path)
      tell("vocab_size", .int(dataset.vocabularySize))
      tell("fingerprint", .string(dataset.fingerprint))
      if let sha256 = dataset.tokenizerSHA256 { tell("tokenizer_sha256", .string(sha256)) }
      for split in [dataset.train, dataset.validation].compactMap(\.self) {
        tell(
          split.name.rawValue,
          [
            "examples": .int(split.exampleCount), "tokens": .int(split.tokenCount),
            "counted_tokens": .int(split.countedTokenCount),
            "longest": .int(split.maximumTokenCount(ofExamples: 1)),
            "without_target": .int(split.uncountedExampleCount),
          ])
      }
    case CheckpointReader.formatName:
      kind = "checkpoint"
      let checkpoint = try StoredCheckpoint(path: path)
      let metadata = checkpoint.reader.metadata
      trained = (checkpoint.configuration["model"]?.string, AdapterOrigin(checkpoint))
      tell("step", .int(metadata.step))
      tell("epoch", .double(metadata.epoch))
      tell("samples_seen", .int(metadata.samplesSeen))
      tell("method", .string(metadata.method))
      tell("base_fingerprint", .string(metadata.baseFingerprint))
      tell("dataset_fingerprint", .string(metadata.datasetFingerprint))
      tellTensors(try checkpoint.tensors().map { ($0.name, $0.shape) })
    default:
      guard let format = ImportFormat(recognizing: path) else {
        throw InspectionError.unknownKind(path: path)
      }
      try readImport(format)
    }
  }

  private mutating func readImport(_ format: ImportFormat) throws {
    kind = format.description
    let survey = try format.survey(path)
    tell("examples", .int(survey.examples))
    tell("tokens", .int(survey.tokens))
    tell("counted_tokens", .int(survey.countedTokens))
    tell("longest", .int(survey.longest))
    tell("largest_token", .int(Int(survey.largestToken)))
    tell("import", .string("swift-peft-train prepare --from \(format.rawValue)"))
  }

  private mutating func readGGUF() throws {
    kind = "GGUF file"
    let files = try GGUFFiles(path: path)
    tell("version", .int(files.files[0].version))
    tell("parts", .int(files.files.count))
    tell(
      "architecture", try files.metadata.string("general.architecture").map { .string($0) } ?? .null
    )
    tellTensors(files.tensors.map { ($0.name, $0.shape) })
    tell("types", .array(Set(files.tensors.map(\.type.name)).sorted().map { .string($0) }))
    try readModel()
  }

  private mutating func readSafetensors() throws {
    kind = "safetensors file"
    let file = try SafetensorsFile(path: path)
    try file.checkSeal()
    tellTensors(file.tensors.map { ($0.name, $0.shape) })
    let types = Set(file.tensors.map(\.storedType.rawValue))
    tell("types", .array(types.sorted().map { .string($0) }))
    for tensor in file.tensors where tensor.elementType != nil {
      if let index = try tensor.firstNonFinite() {
        throw ModelError.nonFiniteTensor(name: tensor.name, file: path, index: index)
      }
    }
  }

  private mutating func readTokenizer() throws {
    kind = "tokenizer"
    tellTokenizer(try Tokenizer(contentsOf: path))
  }

  private mutating func readTokenizer(in directory: String) throws {
    kind = "tokenizer directory"
    let text = try ModelText(directory: directory)
    tellTokenizer(text.tokenizer)
    tell("chat_template", text.template.map { .string($0.name) } ?? .null)
  }

  private mutating func tellTokenizer(_ tokenizer: Tokenizer) {
    tell("vocabulary", .int(tokenizer.vocabularySize))
    tell("added_tokens", .int(tokenizer.addedTokens.count))
    tell("sha256", .string(tokenizer.sha256))
    tell("vocabulary_sha256", .string(tokenizer.vocabularySHA256))
  }

  private mutating func tellTensors(_ tensors: [(name: String, shape: [Int])]) {
    tell("tensors", .int(tensors.count))
    tell("numbers", .int(tensors.reduce(0) { $0 + $1.shape.reduce(1, *) }))
  }
}
