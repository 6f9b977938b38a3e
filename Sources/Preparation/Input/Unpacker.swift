/// What undoes a compression, some bytes at a time.
protocol Unpacker: AnyObject {
  /// Whether the file may end here: between two compressed streams, not within one.
  var isComplete: Bool { get }

  /// Unpacks from the front of `input`, and takes what it used away.
  ///
  /// - Throws: what is wrong with the bytes, in words.
  func unpack(_ input: inout ArraySlice<UInt8>, into output: inout [UInt8]) throws(UnpackProblem)
}

/// Why bytes cannot be unpacked.
struct UnpackProblem: Error {
  let reason: String
}

/// How a file is compressed.
enum Compression: String {
  case gzip
  case zstd

  /// The compression whose mark a file begins with.
  init?(_ start: [UInt8]) {
    if start.starts(with: [0x1f, 0x8b]) {
      self = .gzip
    } else if start.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) {
      self = .zstd
    } else {
      return nil
    }
  }

  /// Endings of names that say no more than that a file is compressed.
  static let extensions = [".gz", ".gzip", ".zst", ".zstd"]

  func unpacker() throws(UnpackProblem) -> any Unpacker {
    switch self {
    case .gzip: try GzipUnpacker()
    case .zstd: try ZstdUnpacker()
    }
  }
}
