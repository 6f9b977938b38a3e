import Foundation
import HDF5
import Preparation
import TestSupport
import Testing

@Suite("Token files of other programs")
struct ImportTests {
  private let place: Workplace

  init() throws { place = try Workplace(configuration: "{}") }

  private func little(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  private func run(
    _ path: String, _ format: ImportFormat, _ change: (inout PreparationOptions) -> Void = { _ in }
  ) throws -> PreparationReport {
    var options = PreparationOptions()
    options.inputs = [path]
    options.output = place.directory.path("data.h5")
    options.importFormat = format
    change(&options)
    return try Preparation(place.text, options).run()
  }

  /// A file of llm.c's with this many tokens said and these written.
  private func llmc(_ tokens: [Int], said: Int? = nil, version: Int = 1) throws -> String {
    var bytes = little(20_240_520, 4) + little(version, 4) + little(said ?? tokens.count, 4)
    bytes += [UInt8](repeating: 0, count: 1024 - bytes.count)
    let path = place.directory.path("tokens.bin")
    try write(bytes + tokens.flatMap { little($0, 2) }, to: path)
    return path
  }

  @Test("llm.c's stream is cut where its documents begin, or into windows")
  func llmcDocuments() throws {
    let path = try llmc([7, 8, 9, 10, 11])
    #expect(ImportFormat(recognizing: path) == .llmc)
    _ = try run(path, .llmc)
    #expect(try place.examples().map(\.tokens) == [[7, 8, 9, 10, 11]])
    #expect(try place.examples().map(\.mask) == [[0, 1, 1, 1, 1]])
    _ = try run(path, .llmc) {
      $0.maxLength = 3
      $0.excess = .split
    }
    #expect(try place.examples().map(\.tokens) == [[7, 8, 9], [10, 11]])
    // The vocabulary of the fixture has no 50256: the mark alone is surveyed.
    let marked = try llmc([50256, 1, 2, 50256, 3])
    let survey = try ImportFormat.llmc.survey(marked)
    #expect(survey.examples == 2 && survey.longest == 3 && survey.largestToken == 50256)
    #expect(throws: PreparationError.self) { try run(marked, .llmc) }
  }

  @Test("A damaged file of llm.c's is refused", arguments: [(4, 1), (6, 1), (5, 2)])
  func llmcDamaged(said: Int, version: Int) throws {
    let path = try llmc([1, 2, 3, 4, 5], said: said, version: version)
    #expect(throws: PreparationError.self) { try run(path, .llmc) }
    #expect(throws: PreparationError.self) { try run(path, .megatron) }
  }

  /// A Megatron dataset of three sequences in two documents, the index cut by so many bytes.
  private func megatron(cut: Int = 0, dataCut: Int = 0, type: Int = 8) throws -> String {
    let sequences = [[1, 2, 3], [4], [5, 6]]
    let width = type == 4 ? 4 : 2
    var index = Array("MMIDIDX\0\0".utf8) + little(1, 8) + [UInt8(type)] + little(3, 8)
    index += little(4, 8)
    index += sequences.flatMap { little($0.count, 4) }
    index += [0, 3, 4].flatMap { little($0 * width, 8) }
    index += [0, 2, 2, 3].flatMap { little($0, 8) }
    let data = sequences.joined().flatMap { little($0, width) }
    try write(index.dropLast(cut), to: place.directory.path("m.idx"))
    try write(data.dropLast(dataCut), to: place.directory.path("m.bin"))
    return place.directory.path("m.bin")
  }

  @Test("A Megatron document is the text of its sequences", arguments: [8, 4])
  func megatronDocuments(type: Int) throws {
    let path = try megatron(type: type)
    #expect(ImportFormat(recognizing: path) == .megatron)
    for name in [path, path.dropLast(4) + ""] {
      _ = try run(name, .megatron)
      #expect(try place.examples().map(\.tokens) == [[1, 2, 3, 4], [5, 6]])
    }
  }

  @Test("A damaged Megatron dataset is refused", arguments: [(1, 0, 8), (0, 1, 8), (0, 0, 7)])
  func megatronDamaged(cut: Int, dataCut: Int, type: Int) throws {
    let path = try megatron(cut: cut, dataCut: dataCut, type: type)
    #expect(throws: PreparationError.self) { try run(path, .megatron) }
  }

  private func hdf5(_ arrays: [(name: String, shape: [Int], values: [Int32])]) throws -> String {
    let path = place.directory.path("\(UUID().uuidString).h5")
    let root = try HDF5File(creating: path).root
    for array in arrays {
      try root.createDataset(array.name, of: Int32.self, shape: array.shape).write(array.values)
    }
    return path
  }

  @Test("Cerebras' labels tell the last token, and what is behind the last target is left out")
  func cerebras() throws {
    // Ids, mask, labels; the padding is a token that is also in the text.
    let path = try hdf5([
      (
        "data", [2, 3, 4],
        [1, 2, 9, 9] + [0, 1, 0, 0] + [2, 9, 9, 9] + [5, 6, 7, 8] + [1, 1, 1, 1] + [6, 7, 8, 9]
      )
    ])
    #expect(ImportFormat(recognizing: path) == .cerebras)
    _ = try run(path, .cerebras)
    #expect(try place.examples().map(\.tokens) == [[1, 2, 9], [5, 6, 7, 8, 9]])
    #expect(try place.examples().map(\.mask) == [[0, 0, 1], [0, 1, 1, 1, 1]])
    let unmoved = try hdf5([("data", [1, 3, 2], [1, 2, 1, 1, 1, 2])])
    #expect(throws: PreparationError.self) { try run(unmoved, .cerebras) }
    let packed = try hdf5([("data", [1, 5, 2], [Int32](repeating: 0, count: 10))])
    #expect(throws: PreparationError.self) { try run(packed, .cerebras) }
    let empty = try hdf5([("data", [2, 3, 0], [])])
    #expect(throws: PreparationError.self) { try run(empty, .cerebras) }
  }

  @Test("NVIDIA's masked ids are put back, and padding is left out by its mask")
  func nvidia() throws {
    let path = try hdf5([
      ("input_ids", [1, 5], [1, 99, 3, 0, 0]), ("input_mask", [1, 5], [1, 1, 1, 1, 0]),
      ("masked_lm_positions", [1, 2], [1, 0]), ("masked_lm_ids", [1, 2], [42, 0]),
    ])
    #expect(ImportFormat(recognizing: path) == .nvidia)
    _ = try run(path, .nvidia)
    #expect(try place.examples().map(\.tokens) == [[1, 42, 3, 0]])
    #expect(throws: PreparationError.self) { try run(path, .cerebras) }
    let outside = try hdf5([
      ("input_ids", [1, 2], [1, 2]), ("input_mask", [1, 2], [1, 1]),
      ("masked_lm_positions", [1, 1], [2]), ("masked_lm_ids", [1, 1], [3]),
    ])
    #expect(throws: PreparationError.self) { try run(outside, .nvidia) }
  }
}
