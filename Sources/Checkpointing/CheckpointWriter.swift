import Files
import HDF5

/// Writes one checkpoint: aside, sealed, read back and compared, on disk, then under its name.
///
/// ```swift
/// try CheckpointWriter.write(contents, to: "run/checkpoints/step-00000100.h5")
/// ```
///
/// Whatever fails, files that were there before are as they were. Reading back goes through the
/// operating system's cache: it proves what was written, not the disk under it.
package enum CheckpointWriter {
  /// Writes `contents` to `path`, replacing a file of that name at once or not at all.
  ///
  /// Throws `storage`, `system` or `notVerified`, all of class output.
  package static func write(
    _ contents: CheckpointContents, to path: String
  ) throws(CheckpointError) {
    let pending = try publishing { () throws(FileError) in try PendingFile(path: path) }
    let partialPath = pending.partialPath
    // The file is closed when this returns: it holds the only reference.
    let digest: UInt64
    do throws(HDF5Error) { digest = try write(contents, filling: pending) } catch {
      throw .storage(error)
    }
    let seal = try CheckpointSeal.seal(of: partialPath)
    do throws(FileError) { try pending.append(seal) } catch { throw .storage(.file(error)) }
    do throws(CheckpointError) {
      let found = try CheckpointReader(path: partialPath).contentDigest()
      guard found == digest else {
        throw .damaged(file: partialPath, expected: digest, found: found)
      }
    } catch {
      throw .notVerified(file: path, reason: error.description)
    }
    do throws(FileError) { try pending.publish() } catch { throw .storage(.file(error)) }
  }

  /// Writes the file and returns the digest of the whole.
  private static func write(
    _ contents: CheckpointContents, filling pending: borrowing PendingFile
  ) throws(HDF5Error) -> UInt64 {
    let root = try HDF5File(filling: pending).root
    try writeAttributes(contents.metadata, to: root)
    var digests: [String: UInt64] = [:]
    for (section, tensors) in contents.tensors {
      for tensor in tensors {
        let path = "\(section.rawValue)/\(tensor.name)"
        precondition(
          section == .method || !tensor.name.contains("/"), "a tensor named '\(tensor.name)'")
        precondition(digests[path] == nil, "the tensor '\(path)' twice")
        digests[path] = try write(tensor, to: root, path)
      }
    }
    for (name, array) in contents.methodArrays {
      let path = "\(CheckpointSection.method.rawValue)/\(name)"
      precondition(digests[path] == nil, "the list '\(path)' twice")
      digests[path] =
        switch array {
        case .integers(let values): try write(values, to: root, path)
        case .reals(let values): try write(values, to: root, path)
        case .flags(let values): try write(values.map { $0 ? 1 : 0 } as [UInt8], to: root, path)
        }
    }
    try writeMethodAttributes(contents.methodAttributes, to: root)
    try root.file.flush()
    return CheckpointDigest.whole(
      contents.metadata, contents.methodAttributes, datasets: digests)
  }

  private static func writeAttributes(
    _ metadata: CheckpointMetadata, to root: HDF5Group
  ) throws(HDF5Error) {
    try root.setText(CheckpointKey.format, CheckpointKey.formatName)
    try root.setNumber(CheckpointKey.version, CheckpointKey.currentVersion)
    try root.setNumber(CheckpointKey.step, Int64(metadata.step))
    try root.setNumber(CheckpointKey.epoch, metadata.epoch)
    try root.setNumber(CheckpointKey.samplesSeen, Int64(metadata.samplesSeen))
    try root.setText(CheckpointKey.method, metadata.method)
    try root.setText(CheckpointKey.configuration, metadata.configuration)
    try root.setText(CheckpointKey.baseFingerprint, metadata.baseFingerprint)
    try root.setText(CheckpointKey.datasetFingerprint, metadata.datasetFingerprint)
  }

  private static func writeMethodAttributes(
    _ attributes: [String: CheckpointAttribute], to root: HDF5Group
  ) throws(HDF5Error) {
    guard !attributes.isEmpty else { return }
    let name = CheckpointSection.method.rawValue
    let group = try root.kind(of: name) == nil ? root.createGroup(name) : root.group(name)
    for (name, value) in attributes {
      switch value {
      case .integer(let number): try group.setNumber(name, number)
      case .real(let number): try group.setNumber(name, number)
      case .text(let text): try group.setText(name, text)
      }
    }
  }

  /// Writes a tensor from where it lies and returns its digest.
  private static func write(
    _ tensor: CheckpointTensor, to root: HDF5Group, _ path: String
  ) throws(HDF5Error) -> UInt64 {
    let dataset = try root.createDataset(path, of: Float.self, shape: tensor.shape)
    // Unsafe: a `CheckpointTensor`'s view has as many numbers as its shape, end to end.
    let values = unsafe UnsafeBufferPointer(start: tensor.values.base, count: tensor.values.count)
    try unsafe dataset.write(rows: 0..<dataset.rowCount, from: values)
    var hash = CheckpointDigest.start(of: Float.dataType, shape: tensor.shape)
    unsafe hash.update(UnsafeRawBufferPointer(values))
    return hash.value
  }

  /// Writes a list and returns its digest.
  private static func write<Element: HDF5Element>(
    _ values: [Element], to root: HDF5Group, _ path: String
  ) throws(HDF5Error) -> UInt64 {
    let dataset = try root.createDataset(path, of: Element.self, shape: [values.count])
    try dataset.write(values)
    var hash = CheckpointDigest.start(of: Element.dataType, shape: [values.count])
    hash.update(values)
    return hash.value
  }
}
