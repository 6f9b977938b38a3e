import Datasets
import Diagnostics
import HDF5
import TestSupport
import Testing

/// A dataset as somebody might write it by hand; each test breaks one thing.
private struct HandMade {
  var format: String? = "swift-peft-dataset"
  var version: Int64? = 1
  var vocabularySize: Int64? = 100
  var tokens: [Int64]? = [1, 2, 3, 4, 5, 6, 7, 8, 99]
  var lossMask: [Int64]? = [1, 0, 1, 0, 1, 1, 0, 0, 1]
  var offsets: [Int64]? = [0, 3, 7, 9]
  var group = "train"

  func write(to path: String) throws {
    let root = try HDF5File(creating: path).root
    if let format { try root.setText("format", format) }
    if let version { try root.setNumber("version", version) }
    if let vocabularySize { try root.setNumber("vocab_size", vocabularySize) }
    let group = try root.createGroup(group)
    for (name, values) in [("tokens", tokens), ("loss_mask", lossMask), ("offsets", offsets)] {
      guard let values else { continue }
      try group.createDataset(name, of: Int64.self, shape: [values.count]).write(values)
    }
    try root.file.flush()
  }

  /// The error that opening it throws.
  func error(
    maxLength: Int? = nil, change: (inout HandMade) -> Void = { _ in }
  ) throws -> (error: DatasetError?, place: SplitLocation) {
    var copy = self
    change(&copy)
    let directory = try TemporaryDirectory()
    let path = directory.path("data.h5")
    try copy.write(to: path)
    let place = SplitLocation(file: path, split: .train)
    do throws(DatasetError) {
      _ = try TokenDataset(path: path, maxLength: maxLength)
      return (nil, place)
    } catch {
      #expect(error.errorClass == .input)
      #expect(error.description.contains(path))
      return (error, place)
    }
  }
}

@Suite("Dataset files that are wrong")
struct BrokenDatasetTests {
  @Test("Unbroken it opens")
  func unbroken() throws {
    #expect(try HandMade().error().error == nil)
  }

  @Test("Another format, or none, is said")
  func format() throws {
    var (error, place) = try HandMade().error { $0.format = "swift-peft-checkpoint" }
    #expect(error == .notADataset(file: place.file, found: "swift-peft-checkpoint"))
    (error, place) = try HandMade().error { $0.format = nil }
    #expect(error == .notADataset(file: place.file, found: nil))
  }

  @Test("Another version, or none, is said")
  func version() throws {
    let (error, place) = try HandMade().error { $0.version = 2 }
    #expect(error == .unknownVersion(file: place.file, found: 2))
    let absent = try HandMade().error { $0.version = nil }.error
    #expect(absent?.description.contains("'version'") == true)
  }

  @Test("An impossible vocabulary, or none, is said", arguments: [0, -1, 1 << 32] as [Int64])
  func vocabulary(size: Int64) throws {
    let (error, place) = try HandMade().error { $0.vocabularySize = size }
    #expect(error == .impossibleVocabulary(file: place.file, found: size))
    let absent = try HandMade().error { $0.vocabularySize = nil }.error
    #expect(absent?.description.contains("'vocab_size'") == true)
  }

  @Test("A missing group or dataset is named")
  func missing() throws {
    var (error, place) = try HandMade().error { $0.group = "test" }
    #expect(error == .missing(file: place.file, object: "/train"))
    (error, place) = try HandMade().error { $0.tokens = nil }
    #expect(error == .missing(file: place.file, object: "/train/tokens"))
    (error, place) = try HandMade().error { $0.lossMask = nil }
    #expect(error == .missing(file: place.file, object: "/train/loss_mask"))
    (error, place) = try HandMade().error { $0.offsets = nil }
    #expect(error == .missing(file: place.file, object: "/train/offsets"))
  }

  @Test("Reals and matrices are no tokens")
  func notAVector() throws {
    for (shape, values) in [([9], [Double](repeating: 1, count: 9)), ([], [1])] {
      let directory = try TemporaryDirectory()
      let path = directory.path("data.h5")
      var made = HandMade()
      made.tokens = nil
      try made.write(to: path)
      let other = directory.path("other.h5")
      do {
        // The same once more, with tokens of another kind.
        let root = try HDF5File(creating: other).root
        try root.setText("format", "swift-peft-dataset")
        try root.setNumber("version", Int64(1))
        try root.setNumber("vocab_size", Int64(100))
        try root.createDataset("train/tokens", of: Double.self, shape: shape).write(values)
        try root.file.flush()
      }
      #expect(
        throws: DatasetError.notAVector(
          file: other, object: "/train/tokens", shape: shape, type: .float(bits: 64))
      ) {
        try TokenDataset(path: other)
      }
    }
  }

  @Test("A mask of another length is said")
  func lengths() throws {
    let (error, place) = try HandMade().error { $0.lossMask?.removeLast() }
    #expect(error == .lengthsDiffer(place, tokens: 9, lossMask: 8))
  }

  @Test("Offsets that do not start at 0, grow and end at the tokens are said")
  func offsets() throws {
    var (error, place) = try HandMade().error { $0.offsets = [1, 3, 7, 9] }
    #expect(error == .offsetsStart(place, found: 1))
    (error, place) = try HandMade().error { $0.offsets = [0, 7, 3, 9] }
    #expect(error == .offsetsDecrease(place, example: 1, start: 7, end: 3))
    (error, place) = try HandMade().error { $0.offsets = [0, 3, 7, 8] }
    #expect(error == .offsetsEnd(place, found: 8, tokens: 9))
    (error, place) = try HandMade().error { $0.offsets = [0, 3, 7, 10] }
    #expect(error == .offsetsEnd(place, found: 10, tokens: 9))
    (error, place) = try HandMade().error { $0.offsets = [0, 3, 3, 9] }
    #expect(error == .emptyExample(place, example: 1))
    #expect(try HandMade().error { $0.offsets = [0, 3, -7, 9] }.error != nil)
  }

  @Test("A split without examples is said", arguments: [[], [0]] as [[Int64]])
  func noExamples(offsets: [Int64]) throws {
    let (error, place) = try HandMade().error {
      $0.offsets = offsets
      $0.tokens = []
      $0.lossMask = []
    }
    #expect(error == .noExamples(place))
  }

  @Test(
    "A token outside the vocabulary is placed in its example",
    arguments: [100, -5, 1 << 32, 1 << 40] as [Int64])
  func token(value: Int64) throws {
    let (error, place) = try HandMade().error { $0.tokens?[8] = value }
    #expect(
      error
        == .tokenOutsideVocabulary(
          place, example: 2, position: 1, token: "\(value)", vocabulary: 100))
  }

  @Test(
    "A mask value other than 0 and 1 is placed in its example", arguments: [2, -1, 256] as [Int64])
  func mask(value: Int64) throws {
    let (error, place) = try HandMade().error { $0.lossMask?[3] = value }
    #expect(error == .maskValue(place, example: 1, position: 0, value: "\(value)"))
  }

  @Test("A split in which nothing counts is an error; first tokens never count")
  func nothingCounts() throws {
    var (error, place) = try HandMade().error { $0.lossMask = [1, 0, 0, 1, 0, 0, 0, 1, 0] }
    #expect(error == .nothingCounts(place, examples: 3, cutTo: nil))
    (error, place) = try HandMade().error(maxLength: 1)
    #expect(error == .nothingCounts(place, examples: 3, cutTo: 1))
  }

  @Test("Truncated anywhere, a file is an error")
  func truncated() throws {
    let whole = try bytes(of: fixturePath("hdf5/gzip.h5"))
    let directory = try TemporaryDirectory()
    for length in stride(from: 0, to: whole.count, by: 997) {
      let path = directory.path("\(length).h5")
      try write(whole.prefix(length), to: path)
      #expect(throws: DatasetError.self) { try TokenDataset(path: path) }
    }
  }

  @Test("Flipped bytes give an error or another valid dataset, never a crash")
  func flipped() throws {
    // With text of fixed length: HDF5 1.10 itself does not survive a wrong size in the heap that
    // text of variable length lies in.
    var content = try bytes(of: fixturePath("hdf5/gzip.h5"))
    let directory = try TemporaryDirectory()
    let path = directory.path("flipped.h5")
    for place in stride(from: 8, to: content.count, by: 97) {
      let byte = content[place]
      content[place] = ~byte
      try write(content, to: path)
      content[place] = byte
      do throws(DatasetError) {
        let dataset = try TokenDataset(path: path)
        let buffer = ExampleBuffer(tokenCapacity: 9, sequenceCapacity: 3)
        try dataset.train.load([0, 1, 2][..<dataset.train.exampleCount], into: buffer)
        #expect(buffer.tokens.allSatisfy { $0 < dataset.vocabularySize })
      } catch {
        #expect(error.errorClass == .input)
      }
    }
  }

  @Test("The writer refuses what the reader would, and a file that is given up leaves nothing")
  func writer() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("data.h5")
    func attempt() throws {
      let place = SplitLocation(file: path, split: .validation)
      let writer = try TokenDatasetWriter(path: path, vocabularySize: 10)
      #expect(throws: DatasetError.emptyExample(place, example: 0)) {
        try writer.append(tokens: [], lossMask: [], to: .validation)
      }
      #expect(
        throws: DatasetError.tokenOutsideVocabulary(
          place, example: 0, position: 1, token: "10", vocabulary: 10)
      ) {
        try writer.append(tokens: [9, 10], lossMask: [0, 1], to: .validation)
      }
      #expect(throws: DatasetError.maskValue(place, example: 0, position: 0, value: "3")) {
        try writer.append(tokens: [9], lossMask: [3], to: .validation)
      }
      try writer.append(tokens: [9, 1], lossMask: [0, 1], to: .validation)
      let train = SplitLocation(file: path, split: .train)
      #expect(throws: DatasetError.noExamples(train)) { try writer.finish() }
    }
    try attempt()
    #expect(directory.names == [])
  }

  @Test("A directory that is not there is the output's fault")
  func notWritable() throws {
    let directory = try TemporaryDirectory()
    do throws(DatasetError) {
      _ = try TokenDatasetWriter(path: directory.path("none/data.h5"), vocabularySize: 10)
      Issue.record("it was created")
    } catch {
      #expect(error.errorClass == .output)
      #expect(error.description.contains("No such file"))
    }
  }

  @Test(
    "A dataset whose numbers are not all in its file is refused",
    arguments: [
      "unwritten", "unwritten_chunk", "unwritten_packed_chunk", "external", "virtual",
      "external_link", "link_through_external", "dangling", "null", "scalar", "compound", "real",
      "lzf",
    ])
  func foreignStorage(name: String) throws {
    let path = fixturePath("hdf5/refused/\(name).h5")
    do throws(DatasetError) {
      _ = try TokenDataset(path: path)
      Issue.record("\(name) was opened")
    } catch {
      #expect(error.errorClass == .input)
      #expect(error.description.contains("/train/tokens") && error.description.contains(path))
    }
  }
}
