import Files
import Foundation

/// One GGUF file, mapped and checked.
///
/// Opening reads the header in full; data are read when they are used, and are not judged.
package struct GGUFFile: Sendable {
  package let path: String
  package let version: Int
  package let metadata: GGUFMetadata
  /// The tensors, in the order of the file.
  package let tensors: [GGUFTensor]
  /// What is the same for two processes of one machine where they mapped the same file.
  package let identity: String
  package let file: MappedFile

  /// Maps the file at `path` and checks its header.
  ///
  /// - Parameter path: a GGUF file, or one part of it.
  /// - Parameter files: where its bytes come from.
  package init(path: String, files: FileMap = .disk) throws(GGUFError) {
    let file: MappedFile
    do throws(FileError) { file = try files.open(path) } catch { throw .unreadable(error) }
    self.file = file
    let header = try GGUFHeader(file)
    self.path = path
    version = header.version
    metadata = GGUFMetadata(path: path, values: header.values, file: file)
    tensors = header.entries.map { GGUFTensor($0, in: file) }
    identity = file.identity
  }

  /// Whether a file begins as GGUF files do.
  ///
  /// - Parameter path: any file.
  /// - Parameter files: where its bytes come from.
  package static func isOne(_ path: String, files: FileMap = .disk) -> Bool {
    if let isOne = files.begins(path, with: Array("GGUF".utf8)) { return isOne }
    // Opening a pipe would wait for somebody to write into it.
    let target = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let attributes = try? FileManager.default.attributesOfItem(atPath: target)
    guard attributes?[.type] as? FileAttributeType == .typeRegular,
      let handle = FileHandle(forReadingAtPath: path)
    else { return false }
    defer { try? handle.close() }
    return (try? handle.read(upToCount: 4)) == Data("GGUF".utf8)
  }
}

/// A model's GGUF file, or all parts of one that was split (`NAME-00001-of-00003.gguf`).
///
/// ```swift
/// let files = try GGUFFiles(path: "SmolLM2-135M-Instruct-Q4_K_M.gguf")
/// let embedding = files.tensor(named: "token_embd.weight")
/// ```
package struct GGUFFiles: Sendable {
  /// The file that was given; of a split one the first part.
  package let path: String
  /// All parts, in order.
  package let files: [GGUFFile]
  /// The tensors of all parts.
  package let tensors: [GGUFTensor]
  private let indexByName: [String: Int]

  /// Keys and values: those of the first part.
  package var metadata: GGUFMetadata { files[0].metadata }

  /// Opens a file, and its further parts where it has any.
  ///
  /// - Parameter path: the file, or the first of its parts.
  /// - Parameter map: where their bytes come from.
  package init(path: String, files map: FileMap = .disk) throws(GGUFError) {
    let first = try GGUFFile(path: path, files: map)
    self.path = path
    files = [first] + (try Self.furtherParts(first, map))
    tensors = files.flatMap(\.tensors)
    var index: [String: Int] = [:]
    for (place, tensor) in tensors.enumerated() {
      if let other = index.updateValue(place, forKey: tensor.name) {
        throw .badSplit(
          path: path,
          problem: "tensor '\(tensor.name)' is in \(tensors[other].path) and in "
            + "\(tensor.path)")
      }
    }
    indexByName = index
    if let stated = try metadata.count("split.tensors.count"), files.count > 1,
      stated != tensors.count
    {
      throw .badSplit(
        path: path,
        problem: "its parts have \(tensors.count) tensors, split.tensors.count says "
          + "\(stated)")
    }
  }

  package func tensor(named name: String) -> GGUFTensor? { indexByName[name].map { tensors[$0] } }

  private static func furtherParts(
    _ first: GGUFFile, _ files: FileMap
  ) throws(GGUFError) -> [GGUFFile] {
    let count = try first.metadata.count("split.count") ?? 1
    guard count > 1 else { return [] }
    let number = try first.metadata.count("split.no") ?? 0
    guard number == 0 else {
      throw .badSplit(path: first.path, problem: "it is part \(number + 1) of \(count)")
    }
    guard count <= 99_999 else {
      throw .badSplit(path: first.path, problem: "split.count is \(count)")
    }
    let ending = "-00001-of-\(five(count)).gguf"
    guard first.path.hasSuffix(ending) else {
      throw .badSplit(
        path: first.path,
        problem: "it is the first of \(count) parts, and its name does not end "
          + "in '\(ending)'")
    }
    let stem = first.path.dropLast(ending.count)
    var result: [GGUFFile] = []
    for index in 1..<count {
      let part = try GGUFFile(
        path: "\(stem)-\(five(index + 1))-of-\(five(count)).gguf", files: files)
      guard try part.metadata.count("split.no") == index,
        try part.metadata.count("split.count") == count
      else {
        throw .badSplit(path: part.path, problem: "it is not part \(index + 1) of \(count)")
      }
      result.append(part)
    }
    return result
  }

  private static func five(_ number: Int) -> String {
    let digits = "\(number)"
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
