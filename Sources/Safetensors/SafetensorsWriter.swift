import Files
import JSON
import Tensors

/// Writes a safetensors file, tensor after tensor, and publishes it whole.
///
/// ```swift
/// var writer = try SafetensorsWriter(
///   path: "adapter_model.safetensors",
///   tensors: [.init("lora_A.weight", .float32, shape: [8, 64])])
/// try writer.write("lora_A.weight", from: view)
/// try writer.finish()
/// ```
///
/// The file is byte for byte what `safetensors.torch.save_file` writes for the same tensors and
/// metadata. It grows under a temporary name beside `path`; `finish` syncs and renames it, so that a
/// reader sees the old file or the new one. A writer that goes without `finish` removes what it wrote. All places follow
/// from the declared shapes, so tensors may be written in any order, and memory use is one chunk.
package struct SafetensorsWriter: ~Copyable {
  /// A tensor that will be written.
  package struct Entry: Sendable {
    package let name: String
    /// How its elements are stored.
    package let elementType: ElementType
    /// Dimensions, outermost first.
    package let shape: [Int]

    package init(_ name: String, _ elementType: ElementType, shape: [Int]) {
      self.name = name
      self.elementType = elementType
      self.shape = shape
    }

    package var elementCount: Int { shape.reduce(1, *) }
    package var byteCount: Int { elementCount * elementType.byteCount }
  }

  /// Floats converted and written at a time: 1 MiB of f32.
  package static let chunkElementCount = 1 << 18

  /// Where the file will be.
  package let path: String
  /// The tensors in the order of their data.
  package let entries: [Entry]
  private let pending: PendingFile
  private let header: [UInt8]
  private let isSealed: Bool
  private let offsets: [Int]
  private var isWritten: [Bool]
  private let indexByName: [TensorName: Int]
  private let chunk: FloatBuffer
  private let converted: FloatBuffer

  /// Creates the temporary file and writes the header.
  ///
  /// - Parameters:
  ///   - path: the final file, replaced if it is there.
  ///   - tensors: what will be written, in any order.
  ///   - metadata: strings kept in the header; transformers asks for `format`.
  ///   - isSealed: whether the header gets a digest of the whole file, which
  ///     `SafetensorsFile.checkSeal` compares and other programs do not look at.
  /// - Throws: `unwritable`; `duplicateTensor`.
  package init(
    path: String, tensors: [Entry], metadata: [String: String] = ["format": "pt"],
    isSealed: Bool = false
  ) throws(SafetensorsError) {
    let entries = tensors.sorted {
      $0.elementType == $1.elementType
        ? $0.name.utf8.lexicographicallyPrecedes($1.name.utf8)
        : $0.elementType.writingRank < $1.elementType.writingRank
    }
    var indexByName: [TensorName: Int] = [:]
    for (index, entry) in entries.enumerated() {
      if indexByName.updateValue(index, forKey: TensorName(entry.name)) != nil {
        throw .duplicateTensor(path: path, tensor: entry.name)
      }
    }
    var metadata = metadata
    if isSealed { metadata[SafetensorsSeal.key] = SafetensorsSeal.placeholder }
    let header = Self.header(entries, metadata)
    let pending: PendingFile
    do throws(FileError) { pending = try PendingFile(path: path) } catch {
      throw SafetensorsError(error)
    }
    do throws(FileError) { try pending.write(header, at: 0) } catch {
      throw SafetensorsError(error)
    }
    var offset = header.count
    offsets = entries.map { entry in
      defer { offset += entry.byteCount }
      return offset
    }
    self.path = path
    self.entries = entries
    self.indexByName = indexByName
    self.pending = pending
    self.header = header
    self.isSealed = isSealed
    isWritten = entries.map { $0.elementCount == 0 }
    chunk = FloatBuffer(count: Self.chunkElementCount)
    converted = FloatBuffer(count: Self.chunkElementCount)
  }

  /// Writes a tensor from f32, rounded to its declared type.
  ///
  /// - Parameter name: a tensor that was declared.
  /// - Parameter view: as many elements as were declared, in any shape.
  /// - Throws: `unwritable`; `missingTensor`; `wrongShape`.
  package mutating func write(_ name: String, from view: MatrixView) throws(SafetensorsError) {
    let entry = try entry(name)
    guard view.count == entry.elementCount else {
      throw .wrongShape(
        path: path, tensor: name, shape: entry.shape, expected: [view.rows, view.columns])
    }
    try write(name) { (start, target) in
      var done = 0
      while done < target.columns {
        let (row, column) = (start + done).quotientAndRemainder(dividingBy: view.columns)
        let count = min(view.columns - column, target.columns - done)
        target.columns(done..<(done + count))
          .copy(from: view.rows(row..<(row + 1)).columns(column..<(column + count)))
        done += count
      }
    }
  }

  /// Writes a tensor piece by piece from f32, rounded to its declared type.
  ///
  /// - Parameter name: a tensor that was declared.
  /// - Parameter fill: called for consecutive pieces with the index of the piece's first element
  ///   and a row of at most `chunkElementCount` floats to set.
  /// - Throws: `unwritable`; `missingTensor`.
  package mutating func write(
    _ name: String, fill: (_ start: Int, _ target: MatrixView) -> Void
  ) throws(SafetensorsError) {
    let entry = try entry(name)
    let size = entry.elementType.byteCount
    let index = try place(name)
    var start = 0
    while start < entry.elementCount {
      let count = min(Self.chunkElementCount, entry.elementCount - start)
      fill(start, chunk.view(rows: 1, columns: count))
      // Both buffers hold a chunk of f32, and a converted element is no longer than that.
      unsafe HalfPrecision.round(
        chunk.base, count: count, to: entry.elementType,
        into: UnsafeMutableRawPointer(converted.base))
      try unsafe put(
        UnsafeRawBufferPointer(start: converted.base, count: count * size),
        at: offsets[index] + start * size)
      start += count
    }
    isWritten[index] = true
  }

  /// Writes a tensor that is stored in the declared type already, bit for bit.
  ///
  /// - Throws: `unwritable`; `missingTensor`; `wrongShape`; `unsupportedType` where the types differ.
  package mutating func write(
    _ name: String, copying tensor: SafetensorsTensor
  ) throws(SafetensorsError) {
    let entry = try entry(name)
    try tensor.requireShape(entry.shape)
    guard tensor.elementType == entry.elementType else {
      throw .unsupportedType(
        path: tensor.path, tensor: tensor.name, type: tensor.storedType.rawValue)
    }
    let index = try place(name)
    try unsafe put(tensor.bytes, at: offsets[index])
    isWritten[index] = true
  }

  /// Syncs the file and gives it its name.
  ///
  /// - Throws: `unwrittenTensor`; `unwritable`. The temporary file is removed then.
  package consuming func finish() throws(SafetensorsError) {
    if let index = isWritten.firstIndex(of: false) {
      throw .unwrittenTensor(path: path, tensor: entries[index].name)
    }
    if isSealed {
      let (seal, place) = try SafetensorsSeal.seal(header: header, of: pending, path: path)
      do throws(FileError) { try pending.write(seal, at: place) } catch {
        throw SafetensorsError(error)
      }
    }
    do throws(FileError) { try pending.publish() } catch { throw SafetensorsError(error) }
  }

  private func entry(_ name: String) throws(SafetensorsError) -> Entry {
    entries[try place(name)]
  }

  private func place(_ name: String) throws(SafetensorsError) -> Int {
    guard let index = indexByName[TensorName(name)] else {
      throw .missingTensor(path: path, tensor: name, similar: [])
    }
    return index
  }

  private func put(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SafetensorsError) {
    do throws(FileError) { try unsafe pending.write(bytes, at: offset) } catch {
      throw SafetensorsError(error)
    }
  }

  /// Length and JSON, padded with blanks to a multiple of 8 bytes.
  private static func header(_ entries: [Entry], _ metadata: [String: String]) -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }
        .map { JSONText.quoted($0.key) + ":" + JSONText.quoted($0.value) }
      members.append("\"\(SafetensorsHeader.metadataKey)\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for entry in entries {
      let end = offset + entry.byteCount
      let shape = entry.shape.map(String.init).joined(separator: ",")
      members.append(
        JSONText.quoted(entry.name) + ":{\"dtype\":\"\(entry.elementType.rawValue)\","
          + "\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    let length = UInt64(text.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + text
  }
}
