import Files
import HDF5

/// Writes a dataset file, example by example, and publishes it when it is whole.
///
/// ```swift
/// let writer = try TokenDatasetWriter(path: "data.h5", vocabularySize: 49152)
/// try writer.append(tokens: [1, 5, 9], lossMask: [0, 1, 1], to: .train)
/// try writer.finish()
/// ```
///
/// Tokens, masks and offsets stream into chunks with Fletcher-32 checksums: memory does not grow with
/// the examples. Until `finish` returns there is no file at `path`, or the old one. The same examples
/// give the same bytes.
public final class TokenDatasetWriter {
  /// Where the file will be.
  public let path: String
  private let vocabularySize: Int
  private var pending: PendingFile?
  private var root: HDF5Group?
  private var splits: [SplitName: SplitWriter] = [:]

  /// Starts a file.
  ///
  /// Throws `DatasetError.storage` where it cannot be created.
  ///
  /// - Parameters:
  ///   - path: the new file.
  ///   - vocabularySize: every token id must lie below it.
  ///   - tokenizerSHA256: SHA-256 of the tokenizer's file in hexadecimal, if there is one.
  ///   - vocabularySHA256: SHA-256 of its tokens, if there is one.
  public init(
    path: String, vocabularySize: Int, tokenizerSHA256: String? = nil,
    vocabularySHA256: String? = nil
  ) throws(DatasetError) {
    precondition(
      vocabularySize > 0 && vocabularySize <= Int(UInt32.max),
      "a vocabulary of \(vocabularySize)")
    self.path = path
    self.vocabularySize = vocabularySize
    let pending: PendingFile
    do throws(FileError) { pending = try PendingFile(path: path) } catch {
      throw .storage(.file(error))
    }
    let file: HDF5File
    do throws(HDF5Error) { file = try HDF5File(filling: pending) } catch { throw .storage(error) }
    root = try storage { () throws(HDF5Error) in
      let root = try file.root
      try root.setText("format", TokenDataset.format)
      try root.setNumber("version", TokenDataset.version)
      try root.setNumber("vocab_size", Int64(vocabularySize))
      if let tokenizerSHA256 { try root.setText("tokenizer_sha256", tokenizerSHA256) }
      if let vocabularySHA256 { try root.setText("vocabulary_sha256", vocabularySHA256) }
      return root
    }
    self.pending = consume pending
  }

  /// Adds an example behind those of its split.
  ///
  /// Throws `tokenOutsideVocabulary`, `maskValue`, `emptyExample` or `storage`; the first three
  /// leave the file as it was.
  ///
  /// - Parameters:
  ///   - tokens: the example's ids, one at least.
  ///   - lossMask: a 0 or 1 for each token: whether it counts as a target.
  ///   - split: where the example goes.
  public func append(
    tokens: [UInt32], lossMask: [UInt8], to split: SplitName
  ) throws(DatasetError) {
    precondition(
      tokens.count == lossMask.count, "\(tokens.count) tokens with \(lossMask.count) mask values")
    guard let root else { preconditionFailure("\(path) is finished") }
    let place = SplitLocation(file: path, split: split)
    let example = splits[split]?.exampleCount ?? 0
    guard !tokens.isEmpty else { throw .emptyExample(place, example: example) }
    if let position = tokens.firstIndex(where: { $0 >= vocabularySize }) {
      throw .tokenOutsideVocabulary(
        place, example: example, position: position, token: "\(tokens[position])",
        vocabulary: vocabularySize)
    }
    if let position = lossMask.firstIndex(where: { $0 > 1 }) {
      throw .maskValue(
        place, example: example, position: position, value: "\(lossMask[position])")
    }
    try storage { () throws(HDF5Error) in
      try writer(of: split, in: root).append(tokens, lossMask)
    }
  }

  private func writer(of split: SplitName, in root: HDF5Group) throws(HDF5Error) -> SplitWriter {
    if let writer = splits[split] { return writer }
    let writer = try SplitWriter(root: root, name: split)
    splits[split] = writer
    return writer
  }

  /// Examples added to a split so far.
  public func exampleCount(of split: SplitName) -> Int { splits[split]?.exampleCount ?? 0 }

  /// Completes the file, makes sure that it is on disk, and gives it its name.
  ///
  /// Throws `noExamples` where nothing was added to `train`, or `storage`; there is then no new
  /// file at `path`.
  public func finish() throws(DatasetError) {
    guard let root else { preconditionFailure("\(path) is finished") }
    guard exampleCount(of: .train) > 0 else {
      throw .noExamples(SplitLocation(file: path, split: .train))
    }
    try storage { () throws(HDF5Error) in
      for name in SplitName.allCases { try splits[name]?.finish() }
      try root.file.flush()
    }
    // The last references to the file: from here on it is closed.
    splits.removeAll()
    self.root = nil
    if let pending = pending.take() {
      do throws(FileError) { try pending.publish() } catch { throw .storage(.file(error)) }
    }
  }

  deinit {
    // Close before the partial file is removed, if the writer was given up.
    splits.removeAll()
    root = nil
  }
}

/// One split that is being written.
private final class SplitWriter {
  /// Tokens in a chunk: 256 KiB of tokens, 64 KiB of masks, below HDF5's chunk cache of 1 MiB.
  private static let chunkRows = 1 << 16

  private let group: HDF5Group
  private let tokens: HDF5Dataset
  private let lossMask: HDF5Dataset
  /// The offsets' dataset, once there are enough for a chunk: few examples need none of that size.
  private var offsets: HDF5Dataset?
  private var pendingOffsets: [UInt64] = [0]
  private var end: UInt64 = 0
  private var pendingTokens: [UInt32] = []
  private var pendingMask: [UInt8] = []

  init(root: HDF5Group, name: SplitName) throws(HDF5Error) {
    group = try root.createGroup(name.rawValue)
    let layout = HDF5Layout.checksummed(rows: SplitWriter.chunkRows)
    tokens = try group.createDataset("tokens", of: UInt32.self, shape: [0], layout: layout)
    lossMask = try group.createDataset("loss_mask", of: UInt8.self, shape: [0], layout: layout)
  }

  private(set) var exampleCount = 0

  func append(_ example: [UInt32], _ mask: [UInt8]) throws(HDF5Error) {
    pendingTokens.append(contentsOf: example)
    pendingMask.append(contentsOf: mask)
    end += UInt64(example.count)
    pendingOffsets.append(end)
    exampleCount += 1
    if pendingOffsets.count >= SplitWriter.chunkRows { try writePendingOffsets() }
    if pendingTokens.count >= SplitWriter.chunkRows { try writePending() }
  }

  func finish() throws(HDF5Error) {
    try writePending()
    if !pendingOffsets.isEmpty { try writePendingOffsets() }
  }

  private func writePendingOffsets() throws(HDF5Error) {
    let start = offsets?.rowCount ?? 0
    let end = start + pendingOffsets.count
    let dataset: HDF5Dataset
    if let offsets {
      dataset = offsets
      try dataset.resize(rowCount: end)
    } else {
      dataset = try group.createDataset(
        "offsets", of: UInt64.self, shape: [end], layout: .checksummed(rows: end))
    }
    try dataset.write(rows: start..<end, from: pendingOffsets)
    offsets = dataset
    pendingOffsets.removeAll(keepingCapacity: true)
  }

  private func writePending() throws(HDF5Error) {
    let start = tokens.rowCount
    let end = start + pendingTokens.count
    try tokens.resize(rowCount: end)
    try lossMask.resize(rowCount: end)
    try tokens.write(rows: start..<end, from: pendingTokens)
    try lossMask.write(rows: start..<end, from: pendingMask)
    pendingTokens.removeAll(keepingCapacity: true)
    pendingMask.removeAll(keepingCapacity: true)
  }
}
