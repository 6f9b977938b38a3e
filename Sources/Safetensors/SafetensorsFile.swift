import Files

/// A safetensors file, mapped into memory and checked.
///
/// ```swift
/// let file = try SafetensorsFile(path: "model.safetensors")
/// let norm = try file.tensor(named: "model.norm.weight").floats()
/// ```
///
/// Opening reads and checks the header in full: a file that opens has every byte of its data, each
/// belonging to exactly one tensor. The data itself is read when it is used, and is not judged:
/// `SafetensorsTensor.firstNonFinite` does that for whoever wants it.
package final class SafetensorsFile: Sendable {
  package let path: String
  /// What `__metadata__` says, for example `["format": "pt"]`.
  package let metadata: [String: String]
  /// The tensors in the order of their data.
  package let tensors: [SafetensorsTensor]
  /// What is the same for two processes of one machine where they mapped the same file: its device,
  /// number, size and times.
  package let identity: String
  package let file: MappedFile
  private let indexByName: [TensorName: Int]
  private let headerEnd: Int

  /// Maps the file at `path` and checks its header.
  ///
  /// - Parameter path: a safetensors file.
  /// - Parameter files: where its bytes come from.
  /// - Throws: what is wrong with it, class `input`.
  package init(path: String, files: FileMap = .disk) throws(SafetensorsError) {
    let file = try Self.map(path, files)
    let header = try unsafe SafetensorsHeader(path: path, bytes: file.bytes)
    self.path = path
    self.file = file
    headerEnd = header.byteCount
    metadata = header.metadata
    identity = file.identity
    tensors = header.entries.map { SafetensorsTensor($0, in: file) }
    // The header refused names that come twice.
    indexByName = Dictionary(
      header.entries.enumerated().map { (TensorName($1.name), $0) }, uniquingKeysWith: { a, _ in a }
    )
  }

  /// Maps a file that may be one.
  static func map(
    _ path: String, _ files: FileMap = .disk
  ) throws(SafetensorsError) -> MappedFile {
    let file: MappedFile
    do throws(FileError) { file = try files.open(path) } catch {
      throw SafetensorsError(error)
    }
    let byteCount = unsafe file.bytes.count
    guard byteCount >= 8 else { throw .tooShort(path: path, byteCount: byteCount) }
    return file
  }

  /// Whether the header has a digest of the whole file.
  package var isSealed: Bool { metadata[SafetensorsSeal.key] != nil }

  /// Compares the digest in the header with the bytes, all of which are read; a file without one
  /// passes.
  ///
  /// - Throws: `damaged`.
  package func checkSeal() throws(SafetensorsError) {
    try SafetensorsSeal.check(file, metadata: metadata, headerEnd: headerEnd)
  }

  /// The tensors' names in the order of their data.
  package var names: [String] { tensors.map(\.name) }

  /// Whether there is a tensor of that name.
  package func contains(_ name: String) -> Bool { indexByName[TensorName(name)] != nil }

  /// A tensor by its name.
  ///
  /// - Throws: `missingTensor`, with names that end alike.
  package func tensor(named name: String) throws(SafetensorsError) -> SafetensorsTensor {
    guard let index = indexByName[TensorName(name)] else {
      throw .missingTensor(path: path, tensor: name, similar: similarNames(to: name, among: names))
    }
    return tensors[index]
  }
}

/// A name compared byte by byte, as the format does: Swift's own comparison takes canonically
/// equivalent strings for equal.
struct TensorName: Hashable, Sendable {
  let text: String

  init(_ text: String) { self.text = text }

  static func == (a: TensorName, b: TensorName) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }

  func hash(into hasher: inout Hasher) {
    var copy = text
    // The bytes are read inside the closure only.
    copy.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
  }
}

/// Up to three names with the longest common ending, of at least two components.
func similarNames(to name: String, among names: [String]) -> [String] {
  let wanted = Array(name.utf8.reversed())
  let scored = names.map { candidate in
    (candidate, zip(candidate.utf8.reversed(), wanted).prefix { $0 == $1 }.count)
  }
  let longest = scored.map(\.1).max() ?? 0
  guard longest >= 8 else { return [] }
  return scored.filter { $0.1 == longest }.prefix(3).map(\.0)
}
