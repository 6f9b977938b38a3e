import Checkpointing
import Datasets
import Foundation
import JSON
import Model
import Mutating
import PEFT
import Safetensors
import Templates
import Tokenizers
import Training

/// Reads changed copies of a file, one after the other, as the program would.
///
///     mutation-probe READER FILE FIRST COUNT FOLDER
///
/// READER is json, safetensors, dataset, checkpoint, tokenizer, template, config or adapter. The change
/// number N follows from N alone. Before each reading the number goes to FOLDER/at, so that whoever
/// started it knows which one it did not survive: memory is limited to 4 GiB of addresses beyond what
/// the program has, and a reading that takes more than five seconds of processor time ends the process by
/// SIGPROF, one that waits for a minute by SIGALRM. At the
/// end it prints how many were read and how many refused.
@main
enum MutationProbe {
  private static let secondsEach = 5
  private static let secondsOfWaiting: UInt32 = 60
  private static let mostBytes: rlim_t = 4 << 30

  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.count == 5, let reader = Reader(rawValue: arguments[0]),
      let first = UInt64(arguments[2]), let count = UInt64(arguments[3])
    else { exit(64) }
    let (path, folder) = (arguments[1], arguments[4])
    var limit = rlimit(rlim_cur: mostBytes, rlim_max: mostBytes)
    // A heap that grows past this fails; what is mapped counts, too.
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    let seed = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let at = URL(fileURLWithPath: folder + "/at")
    var (read, refused) = (0, 0)
    for number in first..<first + count {
      try Data("\(number)".utf8).write(to: at)
      var mutation = Mutation(seed: number)
      let bytes = mutation.changed(seed)
      // Time of the processor, which does not depend on what else the machine does.
      limitProcessor(seconds: secondsEach)
      alarm(secondsOfWaiting)
      do {
        try reader.read(bytes, named: URL(fileURLWithPath: path).lastPathComponent, in: folder)
        read += 1
      } catch { refused += 1 }
      limitProcessor(seconds: 0)
      alarm(0)
    }
    print("read \(read) refused \(refused)")
  }
}

/// Ends the process by SIGPROF when it has used so many seconds; 0: never.
private func limitProcessor(seconds: Int) {
  var timer = itimerval()
  timer.it_value.tv_sec = seconds
  setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
}

/// A reader of strangers' files.
enum Reader: String {
  case json
  case safetensors
  case dataset
  case checkpoint
  case tokenizer
  case template
  case config
  case adapter

  /// Reads a file of these bytes, and all that is in it.
  func read(_ bytes: [UInt8], named name: String, in folder: String) throws {
    let path = folder + "/" + name
    func write() throws { try Data(bytes).write(to: URL(fileURLWithPath: path)) }
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
      // The file is one of an adapter directory that lies in the folder.
      let copy = folder + "/adapter"
      if !FileManager.default.fileExists(atPath: copy) {
        try FileManager.default.copyItem(atPath: folder + "/original", toPath: copy)
      }
      try Data(bytes).write(to: URL(fileURLWithPath: copy + "/" + name))
      let source = try AdapterSource(path: copy)
      _ = try PEFTMethods.make(
        source.methodName, options: MethodOptions(source.fields, source: source.description))
    }
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
