import Glibc

/// How files that are mapped come into memory: from where they lie, or as others sent them.
public struct FileMap: Sendable {
  /// All from where they lie.
  public static let disk = FileMap(received: [])

  private let received: [String: MappedFile]

  /// Takes these in the place of the files of their paths.
  package init(received: [MappedFile]) {
    self.received = Dictionary(
      received.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
  }

  /// A file's bytes.
  ///
  /// - Throws: `FileError.cannotRead`.
  package func open(_ path: String) throws(FileError) -> MappedFile {
    if let file = received[path] { return file }
    return try MappedFile(path: path)
  }

  /// Whether there is something of that name.
  package func exists(_ path: String) -> Bool {
    if received[path] != nil { return true }
    // `access` copies the path.
    return unsafe access(path, F_OK) == 0
  }

  /// Whether a file was received and begins with these bytes; nil where it was not received.
  package func begins(_ path: String, with bytes: [UInt8]) -> Bool? {
    guard let file = received[path] else { return nil }
    return unsafe file.bytes.prefix(bytes.count).elementsEqual(bytes)
  }

  /// The names of received files in a directory.
  package func names(in directory: String) -> [String] {
    received.keys.filter { $0.hasPrefix(directory + "/") }.map {
      String($0.dropFirst(directory.count + 1))
    }
  }
}
