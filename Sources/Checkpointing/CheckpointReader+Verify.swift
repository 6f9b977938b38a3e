import HDF5

/// What opening a checkpoint checks, and what reading it back compares.
extension CheckpointReader {
  /// Numbers hashed at once: 1 to 8 MiB, whatever a tensor's size.
  private static let blockCount = 1 << 20

  /// Checks the seal of a file that HDF5 would take for one of its own.
  static func checkSeal(_ path: String) throws(CheckpointError) {
    do throws(CheckpointError) {
      try CheckpointSeal.check(path)
    } catch {
      // A dataset, or any other file, is better called what it is than a cut checkpoint.
      guard case .noSeal = error else { throw error }
      let root = try storage { () throws(HDF5Error) in try HDF5File(reading: path).root }
      do throws(CheckpointError) {
        try checkFormat(root, path)
      } catch .storage(.unreadableText) {
        // Not to be told from a checkpoint whose end is missing.
      }
      throw error
    }
  }

  static func checkFormat(_ root: HDF5Group, _ path: String) throws(CheckpointError) {
    let key = CheckpointKey.format
    let found = try storage { () throws(HDF5Error) -> String? in
      guard try root.hasAttribute(key), case .text = try root.attributeType(key) else {
        return nil
      }
      return try root.text(key)
    }
    guard found == CheckpointKey.formatName else {
      throw .notACheckpoint(file: path, found: found)
    }
    let version: Int64 = try storage { () throws(HDF5Error) in
      try root.number(CheckpointKey.version)
    }
    guard version == CheckpointKey.currentVersion else {
      throw .unknownVersion(file: path, found: version)
    }
  }

  static func metadata(_ root: HDF5Group) throws(HDF5Error) -> CheckpointMetadata {
    CheckpointMetadata(
      step: Int(try root.number(CheckpointKey.step, as: Int64.self)),
      epoch: try root.number(CheckpointKey.epoch),
      samplesSeen: Int(try root.number(CheckpointKey.samplesSeen, as: Int64.self)),
      method: try root.text(CheckpointKey.method),
      configuration: try root.text(CheckpointKey.configuration),
      baseFingerprint: try root.text(CheckpointKey.baseFingerprint),
      datasetFingerprint: try root.text(CheckpointKey.datasetFingerprint))
  }

  static func methodAttributes(
    _ root: HDF5Group, _ path: String
  ) throws(CheckpointError) -> [String: CheckpointAttribute] {
    let section = CheckpointSection.method.rawValue
    let group = try storage { () throws(HDF5Error) in
      try root.kind(of: section) == nil ? nil : try root.group(section)
    }
    guard let group else { return [:] }
    var attributes: [String: CheckpointAttribute] = [:]
    for name in try storage({ () throws(HDF5Error) in try group.attributeNames() }) {
      let type = try storage { () throws(HDF5Error) in try group.attributeType(name) }
      let value = try storage { () throws(HDF5Error) -> CheckpointAttribute? in
        switch type {
        case .integer: .integer(try group.number(name))
        case .float: .real(try group.number(name))
        case .text: .text(try group.text(name))
        case .other: nil
        }
      }
      guard let value else {
        throw .wrongType(file: path, object: "/\(section), attribute \(name)", found: type)
      }
      attributes[name] = value
    }
    return attributes
  }

  /// The digest of a dataset of any type that a checkpoint holds.
  static func digest(of dataset: HDF5Dataset) throws(CheckpointError) -> UInt64 {
    switch dataset.type {
    case Float.dataType: return try digest(of: dataset, as: Float.self)
    case Double.dataType: return try digest(of: dataset, as: Double.self)
    case Int64.dataType: return try digest(of: dataset, as: Int64.self)
    case UInt8.dataType: return try digest(of: dataset, as: UInt8.self)
    default:
      throw .wrongType(
        file: dataset.file.path, object: dataset.location.object, found: dataset.type)
    }
  }

  private static func digest<Element: HDF5Element>(
    of dataset: HDF5Dataset, as type: Element.Type
  ) throws(CheckpointError) -> UInt64 {
    var hash = CheckpointDigest.start(of: Element.dataType, shape: dataset.shape)
    let rowsAtOnce = max(1, blockCount / max(1, dataset.rowElementCount))
    var block: [Element] = []
    for start in stride(from: 0, to: dataset.rowCount, by: rowsAtOnce) {
      let rows = start..<min(start + rowsAtOnce, dataset.rowCount)
      let count = rows.count * dataset.rowElementCount
      if block.count != count { block = Array(repeating: .zero, count: count) }
      do throws(HDF5Error) {
        try dataset.read(rows: rows, into: &block)
      } catch { throw .storage(error) }
      hash.update(block)
    }
    return hash.value
  }
}
