import Diagnostics
import HDF5
import TestSupport
import Testing

/// The error that `body` throws; the test fails where it throws none.
func hdf5Error(_ body: () throws(HDF5Error) -> Void) throws -> HDF5Error {
  do throws(HDF5Error) { try body() } catch { return error }
  throw NoError()
}

struct NoError: Error {}

@Suite("HDF5 files")
struct HDF5FileTests {
  private func types() throws -> HDF5Group {
    try HDF5File(reading: fixturePath("hdf5/types.h5")).root
  }

  @Test("Numbers of every type that h5py writes are read, converted where asked")
  func numbers() throws {
    let root = try types()
    #expect(try root.dataset("float32").read(Float.self) == [0, 0.25, 0.5, 0.75, 1, 1.25])
    #expect(try root.dataset("float32").shape == [2, 3])
    #expect(try root.dataset("float64").read(Double.self) == [0.1, 1e300])
    #expect(try root.dataset("half").read(Float.self) == [0.5, -2])
    #expect(try root.dataset("uint8").read(UInt8.self) == [0, 255])
    #expect(try root.dataset("uint8").read(Int64.self) == [0, 255])
    #expect(try root.dataset("int32").read(Int32.self) == [-1, .max])
    #expect(try root.dataset("uint64").read(UInt64.self) == [.max])
    #expect(try root.dataset("scalar").read(Double.self) == [2.5])
    #expect(try root.dataset("scalar").shape == [])
    #expect(try root.dataset("none").read(Float.self) == [])
    #expect(try root.dataset("a/b.c/d").read(UInt32.self) == [1, 2, 3])
  }

  @Test("A range of rows is read, of every element of them")
  func rows() throws {
    var row = [Float](repeating: 0, count: 3)
    try types().dataset("float32").read(rows: 1..<2, into: &row)
    #expect(row == [0.75, 1, 1.25])
  }

  @Test("A number that the type cannot hold is named, not clamped")
  func outOfRange() throws {
    let root = try types()
    let negative = try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("int32").read(UInt32.self)
    }
    guard case .valueOutOfRange(_, 0, "-1", .integer(signed: false, bits: 32)) = negative else {
      Issue.record("\(negative)")
      return
    }
    let large = try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("uint64").read(Int64.self)
    }
    #expect(large.description.contains("18446744073709551615"))
    #expect(large.errorClass == .input)
  }

  @Test("Text and reals are not taken for whole numbers")
  func wrongTypes() throws {
    let root = try types()
    let text = try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("strings").read(UInt8.self)
    }
    #expect(text.description.contains("'/strings'") && text.description.contains("text"))
    let real = try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("float32").read(UInt32.self)
    }
    #expect(real.description.contains("float32") && real.description.contains("uint32"))
  }

  @Test("Attributes of every kind that h5py writes are read")
  func attributes() throws {
    let root = try types()
    #expect(try root.number("int64", as: Int64.self) == -7)
    #expect(try root.number("int64", as: Int32.self) == -7)
    #expect(try root.number("uint64", as: UInt64.self) == .max)
    #expect(try root.number("float64", as: Double.self) == 0.1)
    #expect(try root.number("float32", as: Double.self) == 0.5)
    #expect(try root.number("one", as: Int64.self) == 5)
    #expect(try root.text("text") == "Grüße, 世界")
    #expect(try root.text("fixed") == "fixed")
    #expect(try root.text("empty") == "")
    #expect(try root.attributeNames().first == "empty")
    #expect(try !root.hasAttribute("absent"))
  }

  @Test("Attributes that are absent, several, too large or of another type are named")
  func wrongAttributes() throws {
    let root = try types()
    let place = root.location
    func error(_ name: String) throws -> HDF5Error {
      try hdf5Error { () throws(HDF5Error) in _ = try root.number(name, as: Int64.self) }
    }
    #expect(try error("absent") == .missingAttribute(place, name: "absent"))
    #expect(try error("two") == .wrongCount(place, attribute: "two", found: 2))
    #expect(try error("uint64").description.contains("18446744073709551615"))
    #expect(try error("float64").description.contains("float64"))
    #expect(try error("text").description.contains("text"))
    let text = try hdf5Error { () throws(HDF5Error) in _ = try root.text("int64") }
    #expect(text.description.contains("int64"))
  }

  @Test("Members are listed with their kinds, and dangling links as neither")
  func members() throws {
    let root = try types()
    let kinds = Dictionary(uniqueKeysWithValues: try root.members().map { ($0.name, $0.kind) })
    #expect(kinds["a"] == .group)
    #expect(kinds["float32"] == .dataset)
    #expect(kinds["dangling"] == .other)
    #expect(try root.kind(of: "a/b.c/d") == .dataset)
    #expect(try root.kind(of: "a/none/d") == nil)
  }

  @Test("A loop of links ends in an error, not in a loop")
  func loop() throws {
    let root = try types()
    let error = try hdf5Error { () throws(HDF5Error) in _ = try root.allMembers() }
    guard case .nestedTooDeeply = error else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("Objects that are absent or of the other kind are named")
  func wrongObjects() throws {
    let root = try types()
    let missing = try hdf5Error { () throws(HDF5Error) in _ = try root.dataset("a/none") }
    #expect(missing == .missingObject(root.location.member("a/none")))
    let group = try hdf5Error { () throws(HDF5Error) in _ = try root.dataset("a") }
    #expect(group == .wrongKind(root.location.member("a"), expected: .dataset, found: .group))
  }

  @Test("What is no HDF5 file, absent, or a directory is said to be so")
  func wrongFiles() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("plain.h5")
    try write("just text, and some more of it".utf8, to: path)
    let plain = try hdf5Error { () throws(HDF5Error) in _ = try HDF5File(reading: path) }
    #expect(plain == .notHDF5(file: path))
    let absent = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: directory.path("absent.h5"))
    }
    #expect(absent.description.contains("No such file"))
    let folder = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: directory.path)
    }
    #expect(folder.description.contains("directory"))
    let occupied = try hdf5Error { () throws(HDF5Error) in _ = try HDF5File(creating: path) }
    #expect(occupied.description.contains("exists"))
    #expect(occupied.errorClass == .output)
  }

  @Test("A truncated file is said to be truncated", arguments: [0.2, 0.6, 0.99])
  func truncated(share: Double) throws {
    let directory = try TemporaryDirectory()
    let whole = try bytes(of: fixturePath("hdf5/types.h5"))
    let path = directory.path("cut.h5")
    try write(whole.prefix(Int(share * Double(whole.count))), to: path)
    let error = try hdf5Error { () throws(HDF5Error) in _ = try HDF5File(reading: path) }
    guard case .truncated = error else {
      Issue.record("\(error)")
      return
    }
  }

  @Test("A filter that HDF5 lacks is named with the whole error stack")
  func missingFilter() throws {
    let root = try types()
    let error = try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("lzf").read(UInt32.self)
    }
    #expect(
      error == .missingFilter(root.location.member("lzf"), name: "lzf", number: 32000), "\(error)")
    #expect(error.description.contains("h5repack -f GZIP"))
    #expect(!error.description.contains("\n"))
  }
}

@Suite("Writing HDF5 files")
struct HDF5WritingTests {
  @Test(
    "What is written is read back, in every layout",
    arguments: [.contiguous, .checksummed(rows: 3), .deflated(rows: 4, level: 6)] as [HDF5Layout])
  func roundTrip(layout: HDF5Layout) throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("new.h5")
    let values = (0..<20).map { Float($0) / 7 }
    do {
      let root = try HDF5File(creating: path).root
      let dataset = try root.createDataset("x/y.z", of: Float.self, shape: [10, 2], layout: layout)
      try dataset.write(values)
      try dataset.setNumber("digest", UInt64.max)
      try root.setText("text", "ünï")
      try root.setNumber("real", 0.1)
      try root.file.flush()
    }
    let root = try HDF5File(reading: path).root
    #expect(try root.dataset("x/y.z").read(Float.self) == values)
    #expect(try root.dataset("x/y.z").shape == [10, 2])
    #expect(try root.dataset("x/y.z").number("digest", as: UInt64.self) == .max)
    #expect(try root.text("text") == "ünï")
    #expect(try root.number("real", as: Double.self) == 0.1)
    #expect(try root.allMembers().map(\.name) == ["x", "x/y.z"])
  }

  @Test("A chunked dataset grows")
  func growing() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("grow.h5")
    do {
      let root = try HDF5File(creating: path).root
      let dataset = try root.createDataset(
        "x", of: UInt32.self, shape: [0], layout: .checksummed(rows: 4))
      for start in stride(from: 0, to: 30, by: 5) {
        try dataset.resize(rowCount: start + 5)
        try dataset.write(rows: start..<start + 5, from: (start..<start + 5).map { UInt32($0) })
      }
      try root.file.flush()
    }
    let read = try HDF5File(reading: path).root.dataset("x").read(UInt32.self)
    #expect(read == Array(0..<30))
  }

  @Test("A flipped byte under a checksum is found")
  func flippedByte() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("flip.h5")
    let values = (0..<100).map { UInt32(0xABCD_0000 + $0) }
    do {
      let root = try HDF5File(creating: path).root
      let dataset = try root.createDataset(
        "x", of: UInt32.self, shape: [100], layout: .checksummed(rows: 100))
      try dataset.write(values)
      try root.file.flush()
    }
    var content = try bytes(of: path)
    let pattern: [UInt8] = [0x32, 0, 0xCD, 0xAB]  // values[50], little-endian
    let place = try #require(
      content.indices.dropLast(3).first { Array(content[$0..<$0 + 4]) == pattern })
    content[place] ^= 4
    try write(content, to: path)
    let error = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: path).root.dataset("x").read(UInt32.self)
    }
    // HDF5 1.14 keeps to itself what the filter says.
    let told = error.description
    #expect(told.contains("fletcher32") || told.contains("filter returned failure during read"))
    #expect(told.contains("The file may be damaged"))
  }

  @Test("A chunk without room for its checksum is refused: the library would not survive it")
  func shortChunk() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("short.h5")
    do {
      let root = try HDF5File(creating: path).root
      let dataset = try root.createDataset(
        "x", of: UInt32.self, shape: [100, 3], layout: .checksummed(rows: 40))
      try dataset.write((0..<300).map { UInt32($0) })
      try root.file.flush()
    }
    var content = try bytes(of: path)
    // A node of chunks in the format's first B-tree: the first key, with the chunk's bytes, is 24
    // bytes behind its signature.
    let node = try #require(
      content.indices.dropLast(48).first { Array(content[$0..<$0 + 5]) == Array("TREE\u{1}".utf8) })
    #expect(Array(content[(node + 24)..<(node + 28)]) == [228, 1, 0, 0])  // 40 · 3 · 4 + 4
    let second = node + 24 + 32 + 8
    content[second] = 2
    content[second + 1] = 0
    try write(content, to: path)
    let error = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: path).root.dataset("x").read(UInt32.self)
    }
    #expect(error.description.contains("has a chunk of 2 bytes"))
    #expect(error.description.contains("damaged"))
  }

  @Test(
    "A chunk that unpacks to less than its elements is refused: the library would read on behind it"
  )
  func emptyStream() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("stream.h5")
    do {
      let root = try HDF5File(creating: path).root
      let dataset = try root.createDataset(
        "x", of: UInt32.self, shape: [300], layout: .deflated(rows: 100, level: 4))
      try dataset.write((0..<300).map { UInt32($0) * 77 })
      try root.file.flush()
    }
    #expect(try HDF5File(reading: path).root.dataset("x").read(UInt32.self).last == 299 * 77)
    var content = try bytes(of: path)
    // zlib's header with level 4, and in its place a stream of nothing.
    let stream = try #require(
      content.indices.dropLast(8).last { content[$0] == 0x78 && content[$0 + 1] == 0x5e })
    content.replaceSubrange(stream..<stream + 8, with: [0x78, 0x9c, 3, 0, 0, 0, 0, 1])
    try write(content, to: path)
    let error = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: path).root.dataset("x")
    }
    #expect(error.description.contains("has a chunk of 0 bytes where its elements take 400"))
  }

  @Test("A type that is larger than what is stored is refused")
  func largerType() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("type.h5")
    // A message's type, size, flags and gap; then fixed-point of version 1, its bits, its size: a header
    // without a checksum.
    let start: [UInt8] = [3, 0, 16, 0, 1, 0, 0, 0, 0x10, 0, 0, 0]
    for name in ["gzip", "contiguous"] {
      var content = try bytes(of: fixturePath("hdf5/\(name).h5"))
      let message = try #require(
        content.indices.dropLast(24).first { Array(content[$0..<$0 + start.count]) == start })
      content[message + start.count] = 64
      try write(content, to: path)
      let error = try hdf5Error { () throws(HDF5Error) in
        let train = try HDF5File(reading: path).root.group("train")
        for name in ["loss_mask", "offsets", "tokens"] {
          _ = try train.dataset(name).read(Int64.self)
        }
      }
      // From 1.14 on the library itself refuses to open it.
      #expect(
        error.description.contains("bytes where its elements take")
          || error.description.contains("unable to open dataset"), "\(error)")
    }
  }

  @Test("Chunks of no elements are refused: the library would divide by their size")
  func emptyChunks() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("empty.h5")
    // Headers of the first version, as h5py writes them: they have no checksum.
    let whole = try bytes(of: fixturePath("hdf5/gzip.h5"))
    func place(ofMessage start: [UInt8]) throws -> Int {
      try #require(
        whole.indices.dropLast(40).first { Array(whole[$0..<$0 + start.count]) == start })
    }
    // A message's type, size, flags and gap; then version, class and dimensions with the element's.
    let layout = try place(ofMessage: [8, 0, 24, 0, 0, 0, 0, 0, 3, 2, 2]) + 8
    // Version, dimensions, and that it may grow.
    let space = try place(ofMessage: [1, 0, 24, 0, 0, 0, 0, 0, 1, 1, 1]) + 8
    #expect(whole[layout + 11] == 2)  // Elements of a chunk.
    _ = try HDF5File(reading: fixturePath("hdf5/gzip.h5")).root.allMembers()
    for (offset, value) in [(layout + 11, 0), (layout + 2, 0), (layout + 2, 3), (space + 1, 2)] {
      var content = whole
      content[offset] = UInt8(value)
      try write(content, to: path)
      let error = try hdf5Error { () throws(HDF5Error) in
        _ = try HDF5File(reading: path).root.allMembers()
      }
      #expect(
        error.description.contains("chunks of no elements, or of other dimensions"),
        "\(offset): \(error)")
    }
  }
}
