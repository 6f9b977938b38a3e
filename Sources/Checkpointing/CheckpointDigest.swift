import Files
import HDF5

/// What a checkpoint says, in one number, however the file is laid out.
///
/// It covers the metadata, the method's values, and every dataset's path, type, shape and bytes
/// (XXH64, see `ContentHash`). Writing computes it from memory, reading back from the file.
enum CheckpointDigest {
  /// A hash that has taken in what a dataset is, and goes on with its bytes.
  static func start(of type: HDF5DataType, shape: [Int]) -> ContentHash {
    var hash = ContentHash()
    hash.update(text: type.description)
    hash.update(UInt64(shape.count))
    for dimension in shape { hash.update(UInt64(dimension)) }
    return hash
  }

  /// The digest of the whole file.
  ///
  /// - Parameter datasets: digest by path from `/`.
  static func whole(
    _ metadata: CheckpointMetadata, _ attributes: [String: CheckpointAttribute],
    datasets: [String: UInt64]
  ) -> UInt64 {
    var hash = ContentHash()
    hash.update(UInt64(bitPattern: Int64(metadata.step)))
    hash.update(metadata.epoch.bitPattern)
    hash.update(UInt64(bitPattern: Int64(metadata.samplesSeen)))
    for text in [
      metadata.method, metadata.configuration, metadata.baseFingerprint,
      metadata.datasetFingerprint,
    ] {
      hash.update(text: text)
    }
    hash.update(UInt64(attributes.count))
    for (name, value) in attributes.sorted(by: { $0.key < $1.key }) {
      hash.update(text: name)
      switch value {
      case .integer(let number):
        hash.update(0)
        hash.update(UInt64(bitPattern: number))
      case .real(let number):
        hash.update(1)
        hash.update(number.bitPattern)
      case .text(let text):
        hash.update(2)
        hash.update(text: text)
      }
    }
    hash.update(UInt64(datasets.count))
    for (path, digest) in datasets.sorted(by: { $0.key < $1.key }) {
      hash.update(text: path)
      hash.update(digest)
    }
    return hash.value
  }
}

/// The names of a checkpoint's attributes.
enum CheckpointKey {
  static let format = "format"
  static let formatName = "swift-peft-checkpoint"
  static let version = "version"
  static let currentVersion: Int64 = 1
  static let step = "step"
  static let epoch = "epoch"
  static let samplesSeen = "samples_seen"
  static let method = "method"
  static let configuration = "config"
  static let baseFingerprint = "base_fingerprint"
  static let datasetFingerprint = "dataset_fingerprint"
}
