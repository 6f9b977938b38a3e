import Files
import Glibc
import JSON

/// The weights of a Hugging Face model directory, in one file or in shards.
///
/// ```swift
/// let weights = try WeightFiles(directory: "SmolLM2-135M")
/// let embedding = try weights.tensor(named: "model.embed_tokens.weight")
/// ```
///
/// Looked for in transformers' order: `model.safetensors`; `model.safetensors.index.json` with the
/// shards that it names; else the directory's only `*.safetensors` file. Every shard is mapped and
/// checked at once, so that what is missing is known before a run begins.
package struct WeightFiles: Sendable {
  package let directory: String
  /// The files, in the order of their names.
  package let files: [SafetensorsFile]
  private let tensorByName: [TensorName: SafetensorsTensor]
  /// All tensors' names, file by file.
  package let names: [String]

  /// Opens the weights of `directory`.
  ///
  /// - Parameter directory: one with `model.safetensors`, or with shards and their index.
  /// - Parameter map: where their bytes come from.
  /// - Throws: what is missing or wrong, class `input`.
  package init(directory: String, files map: FileMap = .disk) throws(SafetensorsError) {
    self.directory = directory
    let single = directory + "/model.safetensors"
    let index = directory + "/model.safetensors.index.json"
    if map.exists(single) {
      files = [try SafetensorsFile(path: single, files: map)]
      tensorByName = try Self.tensors(of: files, placed: [:])
    } else if map.exists(index) {
      (files, tensorByName) = try Self.shards(index: index, directory: directory, map)
    } else {
      let received = map.names(in: directory)
      let found = received.isEmpty ? try Self.candidates(directory) : received
      guard let only = found.first, found.count == 1 else {
        throw .noModelFile(directory: directory, found: found)
      }
      files = [try SafetensorsFile(path: directory + "/" + only, files: map)]
      tensorByName = try Self.tensors(of: files, placed: [:])
    }
    names = files.flatMap(\.names)
  }

  /// Whether there is a tensor of that name.
  package func contains(_ name: String) -> Bool { tensorByName[TensorName(name)] != nil }

  /// A tensor by its name, whichever file it is in.
  ///
  /// - Throws: `missingTensor`, with names that end alike.
  package func tensor(named name: String) throws(SafetensorsError) -> SafetensorsTensor {
    guard let tensor = tensorByName[TensorName(name)] else {
      throw .missingTensor(
        path: files.count == 1 ? files[0].path : directory, tensor: name,
        similar: similarNames(to: name, among: names))
    }
    return tensor
  }

  /// Opens what the index names and checks that each tensor is where it says.
  private static func shards(
    index: String, directory: String, _ files: FileMap
  ) throws(SafetensorsError) -> ([SafetensorsFile], [TensorName: SafetensorsTensor]) {
    let document: JSONNode
    do { document = try JSONNode(parsing: try readBytes(index)) } catch let error as JSONError {
      throw .headerSyntax(path: index, error: error)
    } catch let error as SafetensorsError {
      throw error
    } catch {
      throw .unreadable(path: index, reason: "\(error)")
    }
    guard let map = document["weight_map"]?.object else {
      throw .headerField(
        path: index, field: "weight_map", found: document["weight_map"]?.kind ?? "missing",
        expected: "an object from tensor to file")
    }
    var shardOfTensor: [TensorName: String] = [:]
    var firstTensor: [String: String] = [:]
    for (tensor, value) in map.members {
      guard let shard = value.string else {
        throw .headerField(
          path: index, field: "weight_map.\(tensor)", found: value.kind, expected: "a file name")
      }
      guard !shard.isEmpty, !shard.utf8.contains(UInt8(ascii: "/")), shard != "..", shard != "."
      else { throw .shardOutsideDirectory(index: index, shard: shard) }
      shardOfTensor[TensorName(tensor)] = shard
      if firstTensor[shard] == nil { firstTensor[shard] = tensor }
    }
    var shards: [SafetensorsFile] = []
    var fileByShard: [String: SafetensorsFile] = [:]
    for (shard, tensor) in firstTensor.sorted(by: { $0.key < $1.key }) {
      let path = directory + "/" + shard
      guard files.exists(path) else {
        throw .missingShard(index: index, shard: shard, tensor: tensor)
      }
      let file = try SafetensorsFile(path: path, files: files)
      shards.append(file)
      fileByShard[shard] = file
    }
    for (tensor, value) in map.members {
      guard let shard = value.string, let file = fileByShard[shard], file.contains(tensor) else {
        throw .missingFromShard(index: index, shard: value.string ?? "", tensor: tensor)
      }
    }
    let placed = shardOfTensor.mapValues { directory + "/" + $0 }
    return (shards, try tensors(of: shards, placed: placed))
  }

  /// All tensors by name; one that is in two files must be placed in one of them by the index.
  private static func tensors(
    of files: [SafetensorsFile], placed: [TensorName: String]
  ) throws(SafetensorsError) -> [TensorName: SafetensorsTensor] {
    var result: [TensorName: SafetensorsTensor] = [:]
    for tensor in files.flatMap(\.tensors) {
      let name = TensorName(tensor.name)
      if let path = placed[name] {
        if path == tensor.path { result[name] = tensor }
      } else if let other = result.updateValue(tensor, forKey: name) {
        throw .tensorInTwoShards(tensor: tensor.name, first: other.path, second: tensor.path)
      }
    }
    return result
  }

  /// The names of a directory's safetensors files.
  private static func candidates(_ directory: String) throws(SafetensorsError) -> [String] {
    guard let stream = unsafe opendir(directory) else {
      throw .unreadable(path: directory, reason: systemReason(errno))
    }
    defer { _ = unsafe closedir(stream) }
    var result: [String] = []
    while let entry = unsafe readdir(stream) {
      // d_name is a C string inside the entry, which lives until the next readdir.
      let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        unsafe String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
      }
      if name.hasSuffix(".safetensors") { result.append(name) }
    }
    return result.sorted()
  }

  private static func readBytes(_ path: String) throws(SafetensorsError) -> [UInt8] {
    let file = try SafetensorsFile.map(path)
    return unsafe Array(file.bytes)
  }
}
