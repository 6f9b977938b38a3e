import HDF5
import TestSupport
import Testing

/// Files that h5py made (Fixtures/hdf5/generate.py), in which /train/tokens has no numbers of its own.
@Suite("HDF5 without data of its own")
struct ForeignStorageTests {
  private func error(_ name: String) throws -> HDF5Error {
    let root = try HDF5File(reading: fixturePath("hdf5/refused/\(name).h5")).root
    return try hdf5Error { () throws(HDF5Error) in
      _ = try root.dataset("train/tokens").read(Int64.self)
    }
  }

  private func place(_ name: String) -> HDF5Location {
    HDF5Location(
      file: fixturePath("hdf5/refused/\(name).h5"), object: "/train/tokens", access: .reading)
  }

  @Test(
    "Storage outside the file, or none, is named",
    arguments: [
      ("unwritten", .unwritten), ("unwritten_chunk", .unwrittenChunks(missing: 3, of: 5)),
      ("unwritten_packed_chunk", .unwrittenChunks(missing: 1, of: 5)),
      ("external", .external(file: "/etc/passwd")), ("virtual", .virtual), ("null", .null),
    ] as [(String, HDF5Storage)])
  func storage(_ name: String, _ storage: HDF5Storage) throws {
    #expect(try error(name) == .foreignStorage(place(name), storage))
  }

  @Test(
    "Links that lead nowhere or out of the file are named",
    arguments: [
      ("dangling", .dangling), ("external_link", .external), ("link_through_external", .dangling),
    ] as [(String, HDF5Link)])
  func links(_ name: String, _ link: HDF5Link) throws {
    #expect(try error(name) == .unusableLink(place(name), link))
  }

  @Test("A filter that is missing is named, with the way out")
  func filter() throws {
    let error = try error("lzf")
    #expect(error == .missingFilter(place("lzf"), name: "lzf", number: 32000))
    #expect(error.description.contains("compression='gzip'"))
  }

  @Test("A format newer than the library's is called so, with the way out")
  func newer() throws {
    // A library that knows the format reads the file.
    let root = try HDF5File(reading: fixturePath("hdf5/refused/newer.h5")).root
    let tokens = Result { () throws(HDF5Error) in
      try root.dataset("train/tokens").read(UInt32.self)
    }
    switch tokens {
    case .success(let tokens): #expect(tokens == [1, 2, 3, 4, 5, 6, 7, 8, 99])
    case .failure(.newerFormat(let location, let library, let message)):
      #expect(location == place("newer"))
      #expect(library.hasPrefix("1."))
      #expect(message.contains("layout message"))
    case .failure(let error): Issue.record("\(error)")
    }
  }

  @Test("Links within the file are followed")
  func linked() throws {
    let root = try HDF5File(reading: fixturePath("hdf5/linked.h5")).root
    #expect(try root.dataset("train/tokens").read(UInt32.self) == [1, 2, 3, 4, 5, 6, 7, 8, 99])
    #expect(try root.dataset("train/loss_mask").count == 9)
  }

  @Test("Types that are no numbers are called what h5py calls them")
  func types() throws {
    #expect(try error("compound").description.contains("a compound (records of named fields)"))
  }

  @Test("A dataset that this library wrote only in part is refused by it too")
  func ownChunks() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("part.h5")
    do {
      let root = try HDF5File(creating: path).root
      let tokens = try root.createDataset(
        "tokens", of: UInt32.self, shape: [10], layout: .checksummed(rows: 4))
      try tokens.write(rows: 0..<4, from: [1, 2, 3, 4])
      _ = try root.createDataset("flat", of: UInt32.self, shape: [10])
      _ = try root.createDataset("none", of: UInt32.self, shape: [0])
      try root.file.flush()
    }
    let root = try HDF5File(reading: path).root
    func refusal(_ name: String) throws -> HDF5Error {
      try hdf5Error { () throws(HDF5Error) in _ = try root.dataset(name) }
    }
    let place = root.location
    #expect(
      try refusal("tokens")
        == .foreignStorage(place.member("tokens"), .unwrittenChunks(missing: 2, of: 3)))
    #expect(try refusal("flat") == .foreignStorage(place.member("flat"), .unwritten))
    #expect(try root.dataset("none").read(UInt32.self) == [])
  }
}
