import Datasets
import Foundation
import HDF5
import TestSupport
import Testing

/// The examples of the fixtures, as Tests/Fixtures/hdf5/generate.py writes them.
private let examples: [[UInt32]] = [[1, 2, 3], [4, 5, 6, 7], [8, 99]]
/// Their masks, the first token's set to 0.
private let counts: [[UInt8]] = [[0, 0, 1], [0, 1, 1, 0], [0, 1]]

/// What `load` gives for some examples of a split.
private func loaded(_ split: TokenSplit, _ numbers: [Int]) throws -> ([[UInt32]], [[UInt8]]) {
  let buffer = ExampleBuffer(tokenCapacity: 20, sequenceCapacity: 5)
  try split.load(numbers[...], into: buffer)
  let sequences = (0..<buffer.sequenceCount).map { buffer.sequence($0) }
  #expect(
    buffer.countedTokenCount == buffer.counts[..<buffer.tokenCount].reduce(0) { $0 + Int($1) })
  return (
    sequences.map { Array(buffer.tokens[$0]) }, sequences.map { Array(buffer.counts[$0]) }
  )
}

@Suite("Dataset files")
struct TokenDatasetTests {
  @Test(
    "Files from h5py are read alike however they are stored",
    arguments: ["contiguous", "gzip", "int64", "big_endian"], [1 << 20, 0])
  func fixtures(name: String, memoryBudgetBytes: Int) throws {
    let dataset = try TokenDataset(
      path: fixturePath("hdf5/\(name).h5"), memoryBudgetBytes: memoryBudgetBytes)
    #expect(dataset.vocabularySize == 100)
    #expect(dataset.tokenizerSHA256 == String(repeating: "ab", count: 32))
    let split = dataset.train
    #expect(split.isInMemory == (memoryBudgetBytes > 0))
    #expect(split.exampleCount == 3)
    #expect(split.tokenCount == 9)
    #expect(split.countedTokenCount == 4)
    #expect((0..<3).map { split.tokenCount(of: $0) } == [3, 4, 2])
    #expect((0..<3).map { split.countedTokenCount(of: $0) } == [1, 2, 1])
    let (tokens, flags) = try loaded(split, [2, 0, 1])
    #expect(tokens == [examples[2], examples[0], examples[1]])
    #expect(flags == [counts[2], counts[0], counts[1]])
    #expect(try dataset.split(.validation).exampleCount == 1)
    #expect(try loaded(dataset.split(.validation), [0]).0 == [[10, 11, 12]])
  }

  @Test("The same examples give the same bytes, whenever and in whatever turn of the splits")
  func sameBytes() throws {
    let directory = try TemporaryDirectory()
    func written(_ name: String, _ order: [SplitName]) throws -> [UInt8] {
      let writer = try TokenDatasetWriter(path: directory.path(name), vocabularySize: 100)
      try writer.append(tokens: [1, 2], lossMask: [0, 1], to: .train)
      for split in order { try writer.append(tokens: [3, 4], lossMask: [0, 1], to: split) }
      try writer.finish()
      return try bytes(of: directory.path(name))
    }
    let first = try written("a.h5", [.train, .validation])
    // HDF5 counts in seconds.
    Thread.sleep(forTimeInterval: 1.1)
    #expect(try written("b.h5", [.validation, .train]) == first)
  }

  @Test("More examples than a chunk of offsets holds are read back")
  func manyExamples() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("many.h5")
    let writer = try TokenDatasetWriter(path: path, vocabularySize: 100)
    let count = (1 << 16) + 7
    for index in 0..<count {
      try writer.append(tokens: [UInt32(index % 100)], lossMask: [0], to: .train)
    }
    try writer.append(tokens: [5, 6, 7], lossMask: [0, 1, 1], to: .train)
    #expect(writer.exampleCount(of: .train) == count + 1)
    try writer.finish()
    let split = try TokenDataset(path: path).train
    #expect(split.exampleCount == count + 1 && split.tokenCount == count + 3)
    #expect(try loaded(split, [count, count - 1]).0 == [[5, 6, 7], [UInt32((count - 1) % 100)]])
  }

  @Test("A directory or a device is never replaced by a dataset")
  func noFile() throws {
    let directory = try TemporaryDirectory()
    for path in [directory.path, "/dev/null"] {
      #expect(throws: DatasetError.self) {
        try TokenDatasetWriter(path: path, vocabularySize: 100)
      }
    }
  }

  @Test("The fingerprint follows from the content alone")
  func fingerprint() throws {
    let prints = try ["contiguous", "gzip", "int64", "big_endian"].map {
      try TokenDataset(path: fixturePath("hdf5/\($0).h5"), maxLength: 2).fingerprint
    }
    #expect(Set(prints).count == 1)
    let directory = try TemporaryDirectory()
    let path = directory.path("other.h5")
    let writer = try TokenDatasetWriter(path: path, vocabularySize: 100)
    for (tokens, mask) in zip(examples, counts) {
      try writer.append(tokens: tokens, lossMask: mask, to: .train)
    }
    try writer.finish()
    #expect(try TokenDataset(path: path).fingerprint != prints[0])
  }

  @Test("Longer examples are cut, and what is cut off does not count")
  func cutting() throws {
    let dataset = try TokenDataset(path: fixturePath("hdf5/contiguous.h5"), maxLength: 2)
    let split = dataset.train
    #expect(split.cutExampleCount == 2)
    #expect(split.tokenCount == 6)
    #expect(split.countedTokenCount == 2)
    #expect(split.uncountedExampleCount == 1)
    #expect(try loaded(split, [0, 1, 2]).0 == [[1, 2], [4, 5], [8, 99]])
    #expect(try loaded(split, [0, 1, 2]).1 == [[0, 0], [0, 1], [0, 1]])
  }

  @Test("The largest micro-batch is bounded by the longest examples")
  func maximum() throws {
    let split = try TokenDataset(path: fixturePath("hdf5/contiguous.h5")).train
    #expect((0...4).map { split.maximumTokenCount(ofExamples: $0) } == [0, 4, 7, 9, 9])
    #expect(split.maximumTokenCount(ofExamples: .max) == 9)
  }

  @Test("A dataset for a larger vocabulary than the model's is refused")
  func vocabulary() throws {
    let path = fixturePath("hdf5/contiguous.h5")
    #expect(throws: DatasetError.vocabularyTooLarge(file: path, found: 100, model: 99)) {
      try TokenDataset(path: path, modelVocabularySize: 99)
    }
    #expect(try TokenDataset(path: path, modelVocabularySize: 100).vocabularySize == 100)
  }

  @Test("A token that is no token id is placed in its example")
  func negativeToken() throws {
    let path = fixturePath("hdf5/negative_token.h5")
    #expect(
      throws: DatasetError.tokenOutsideVocabulary(
        SplitLocation(file: path, split: .train), example: 1, position: 2, token: "-1",
        vocabulary: 100)
    ) {
      try TokenDataset(path: path)
    }
  }

  @Test("Examples over several blocks of the scan are counted and loaded", arguments: [0, 1 << 30])
  func manyBlocks(memoryBudgetBytes: Int) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("large.h5")
    let writer = try TokenDatasetWriter(path: path, vocabularySize: 50)
    // 1200 examples of 1 ... 1200 tokens: 720 600 tokens, three blocks of the scan.
    for length in 1...1200 {
      let tokens = (0..<length).map { UInt32(($0 + length) % 50) }
      try writer.append(
        tokens: tokens, lossMask: tokens.map { $0 % 3 == 0 ? 1 : 0 }, to: .train)
    }
    #expect(writer.exampleCount(of: .train) == 1200)
    try writer.finish()
    let split = try TokenDataset(path: path, memoryBudgetBytes: memoryBudgetBytes).train
    #expect(split.tokenCount == 720_600)
    let buffer = ExampleBuffer(tokenCapacity: 2400, sequenceCapacity: 2)
    for example in stride(from: 1198, to: 0, by: -113) {
      try split.load([example, 1199], into: buffer)
      let tokens = (0...example).map { UInt32(($0 + example + 1) % 50) }
      #expect(Array(buffer.tokens[buffer.sequence(0)]) == tokens)
      let counted = tokens.dropFirst().count { $0 % 3 == 0 }
      #expect(split.countedTokenCount(of: example) == counted)
      #expect(buffer.counts[buffer.sequence(0)].count { $0 == 1 } == counted)
      #expect(buffer.sequence(1).count == 1200)
    }
  }
}
