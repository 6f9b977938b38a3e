import Diagnostics
import Foundation
import HDF5
import TestSupport
import Testing

/// Text is read from every kind of header that h5py writes, and refused where bytes do not hold together.
///
/// libhdf5 reads some of the latter for ever, or past its memory.
@Suite("Text of variable length in attributes")
struct AttributeTextTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test(
    "Every header that h5py writes",
    arguments: [("newer", 6), ("parts", 30), ("behind", 3)])
  func headers(name: String, count: Int) throws {
    let root = try HDF5File(reading: fixturePath("hdf5/attributes/\(name).h5")).root
    for index in 0..<count {
      let text = try root.text("text\(index)")
      #expect(text == "\(name) \(index) " + String(repeating: "ä", count: index))
    }
  }

  @Test("More than eight in the newer format are refused with a way out, or read where trusted")
  func dense() throws {
    let path = fixturePath("hdf5/attributes/dense.h5")
    let error = try hdf5Error { () throws(HDF5Error) in
      _ = try HDF5File(reading: path).root.text("text0")
    }
    #expect(error.description.contains("numpy.bytes_"))
    #expect(error.errorClass == .input)
    #expect(try HDF5File(reading: path, trusted: true).root.text("text0") == "dense 0 ")
  }

  /// A copy of a file with bytes changed behind the first place of a mark.
  private func changed(
    _ name: String, behind mark: [UInt8], at offset: Int, to bytes: [UInt8]
  ) throws -> HDF5Group {
    var file = try Data(contentsOf: URL(fileURLWithPath: fixturePath("hdf5/\(name)")))
    let place = try #require(file.range(of: Data(mark))).lowerBound + offset
    file.replaceSubrange(place..<place + bytes.count, with: bytes)
    let path = directory.path("changed-\(offset)-\(bytes.count).h5")
    try file.write(to: URL(fileURLWithPath: path))
    return try HDF5File(reading: path).root
  }

  @Test("A heap that says it has no end, or another text, is refused")
  func heap() throws {
    let mark = Array("GCOL".utf8)
    let cases: [(offset: Int, bytes: [UInt8], says: String)] = [
      // The first object: free, and of no length. The library goes on from where it is.
      (16, [0] + [UInt8](repeating: 0, count: 15), "not where it says"),
      (24, [3, 0, 0, 0, 0, 0, 0, 0], "shorter than it says"),
      (24, [UInt8](repeating: 255, count: 8), ""),
      (0, Array("LOCG".utf8), "something else"),
      (8, [UInt8](repeating: 255, count: 8), ""),
    ]
    for (offset, bytes, says) in cases {
      let root = try changed("contiguous.h5", behind: mark, at: offset, to: bytes)
      do throws(HDF5Error) {
        let text = try root.text("format")
        // A great number may leave this text as it was.
        #expect(says.isEmpty && text == "swift-peft-dataset", "offset \(offset)")
      } catch {
        #expect(says.isEmpty || error.description.contains(says), "\(error)")
        #expect(error.errorClass == .input)
      }
    }
  }

  @Test("A header that says its text is longer, elsewhere or another one is refused")
  func descriptor() throws {
    // Behind the name, padded to 8 bytes, lie 16 bytes of type, 8 of extent, and the descriptor.
    let mark = Array("format".utf8) + [0, 0]
    var place = 8
    let file = [UInt8](
      try Data(contentsOf: URL(fileURLWithPath: fixturePath("hdf5/contiguous.h5"))))
    let start = try #require(Data(file).range(of: Data(mark))).lowerBound
    // The text has 18 bytes; its length is looked for rather than counted.
    while file[start + place..<start + place + 4] != [18, 0, 0, 0] { place += 1 }
    for (offset, bytes): (Int, [UInt8]) in [
      (0, [200, 1, 0, 0]), (0, [255, 255, 255, 255]), (4, [0, 0, 0, 0, 0, 0, 0, 1]),
      (4, [UInt8](repeating: 255, count: 8)), (12, [77, 0, 0, 0]),
    ] {
      let root = try changed("contiguous.h5", behind: mark, at: place + offset, to: bytes)
      let error = try hdf5Error { () throws(HDF5Error) in _ = try root.text("format") }
      guard case .unreadableText(_, "format", .damaged) = error else {
        Issue.record("\(error)")
        continue
      }
    }
  }
}
