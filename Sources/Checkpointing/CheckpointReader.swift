import HDF5

/// A checkpoint that was opened and found sound.
///
/// ```swift
/// let checkpoint = try CheckpointReader(path: path)
/// try checkpoint.restore(.adapter, into: tensors)
/// ```
///
/// Opening reads all bytes once and compares their digest before anything in them is believed, so
/// nothing that is taken out later comes from a damaged file. It knows tensors by name and shape, not what they are for.
package final class CheckpointReader {
  package let path: String
  /// Where the run stood.
  package let metadata: CheckpointMetadata
  /// Values that the method kept, by name.
  package let methodAttributes: [String: CheckpointAttribute]
  private let root: HDF5Group
  private let datasetPaths: [String]

  /// Checks a file's seal and opens it.
  ///
  /// Throws `noSeal`, `damaged`, `storage`, `notACheckpoint`, `unknownVersion`, `wrongType` or
  /// `system`.
  package init(path: String) throws(CheckpointError) {
    self.path = path
    try CheckpointReader.checkSeal(path)
    let root = try storage { () throws(HDF5Error) in
      try HDF5File(reading: path, trusted: true).root
    }
    self.root = root
    try CheckpointReader.checkFormat(root, path)
    metadata = try storage { () throws(HDF5Error) in try CheckpointReader.metadata(root) }
    methodAttributes = try CheckpointReader.methodAttributes(root, path)
    datasetPaths = try storage { () throws(HDF5Error) in
      try root.allMembers().filter { $0.kind == .dataset }.map(\.name).sorted()
    }
  }

  /// What the attribute `format` of a checkpoint says.
  package static var formatName: String { CheckpointKey.formatName }

  /// Whether a file ends as a checkpoint does: whether it is a sound one, opening it tells.
  package static func mayRead(_ path: String) -> Bool { CheckpointSeal.ends(path) }

  /// What the checkpoint says in one number.
  ///
  /// Equal states have equal ones, whatever the layout of their files. Reads every tensor.
  package func contentDigest() throws(CheckpointError) -> UInt64 {
    var digests: [String: UInt64] = [:]
    for name in datasetPaths {
      let dataset = try storage { () throws(HDF5Error) in try root.dataset(name) }
      digests[name] = try CheckpointReader.digest(of: dataset)
    }
    return CheckpointDigest.whole(metadata, methodAttributes, datasets: digests)
  }

  /// The names of a section's f32 tensors, sorted.
  package func tensorNames(in section: CheckpointSection) throws(CheckpointError) -> [String] {
    var tensors: [String] = []
    for name in names(below: section) {
      let type = try storage { () throws(HDF5Error) in
        try root.dataset("\(section.rawValue)/\(name)").type
      }
      if type == Float.dataType { tensors.append(name) }
    }
    return tensors
  }

  /// The shape of a tensor.
  ///
  /// Throws `missingTensor` where there is none of that name.
  package func shape(
    of name: String, in section: CheckpointSection
  ) throws(CheckpointError) -> [Int] {
    try dataset(name, in: section).shape
  }

  /// The numbers of a tensor, row-major.
  package func values(
    of name: String, in section: CheckpointSection
  ) throws(CheckpointError) -> [Float] {
    let dataset = try dataset(name, in: section)
    return try storage { () throws(HDF5Error) in try dataset.read(Float.self) }
  }

  /// Reads a section's tensors into their places, which must be exactly those of the file.
  ///
  /// Throws `missingTensor`, `unexpectedTensor` or `wrongShape` before anything is read, or
  /// `storage`.
  package func restore(
    _ section: CheckpointSection, into tensors: [CheckpointTensor]
  ) throws(CheckpointError) {
    let wanted = Set(tensors.map(\.name))
    for tensor in tensors {
      let found = try dataset(tensor.name, in: section).shape
      guard found == tensor.shape else {
        throw .wrongShape(
          file: path, tensor: "\(section.rawValue)/\(tensor.name)", expected: tensor.shape,
          found: found)
      }
    }
    for name in try tensorNames(in: section) where !wanted.contains(name) {
      throw .unexpectedTensor(file: path, section: section, name: name)
    }
    for tensor in tensors {
      let dataset = try dataset(tensor.name, in: section)
      try storage { () throws(HDF5Error) in
        // Unsafe: a `CheckpointTensor`'s view has as many numbers as its shape, end to end.
        try unsafe dataset.read(
          rows: 0..<dataset.rowCount,
          into: UnsafeMutableBufferPointer(
            start: tensor.values.base, count: tensor.values.count))
      }
    }
  }

  /// The lists that the method kept, by name.
  package func methodArrays() throws(CheckpointError) -> [String: CheckpointArray] {
    var arrays: [String: CheckpointArray] = [:]
    for name in names(below: .method) {
      let array = try storage { () throws(HDF5Error) -> CheckpointArray? in
        let dataset = try root.dataset("\(CheckpointSection.method.rawValue)/\(name)")
        return switch dataset.type {
        case Int64.dataType: .integers(try dataset.read())
        case Double.dataType: .reals(try dataset.read())
        case UInt8.dataType: .flags(try dataset.read(UInt8.self).map { $0 != 0 })
        default: nil
        }
      }
      arrays[name] = array
    }
    return arrays
  }

  private func names(below section: CheckpointSection) -> [String] {
    let prefix = section.rawValue + "/"
    return datasetPaths.filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }

  private func dataset(
    _ name: String, in section: CheckpointSection
  ) throws(CheckpointError) -> HDF5Dataset {
    let dataset: HDF5Dataset
    do throws(HDF5Error) {
      dataset = try root.dataset("\(section.rawValue)/\(name)")
    } catch {
      guard case .missingObject = error else { throw .storage(error) }
      throw .missingTensor(file: path, section: section, name: name)
    }
    guard dataset.type == Float.dataType else {
      throw .wrongType(file: path, object: dataset.location.object, found: dataset.type)
    }
    return dataset
  }
}
