import Diagnostics
import Files
import Foundation
import TestSupport
import Testing

@Suite("Files that appear whole")
struct PendingFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func text(_ name: String) throws -> String {
    try String(contentsOfFile: directory.path(name), encoding: .utf8)
  }

  @Test("A file appears under its name only when it is published")
  func publishing() throws {
    let pending = try PendingFile(path: directory.path("a.txt"))
    try pending.write(Array("new".utf8))
    #expect(directory.names.count == 1 && directory.names[0].hasPrefix(".a.txt.partial-"))
    try pending.publish()
    #expect(directory.names == ["a.txt"])
    #expect(try text("a.txt") == "new")
  }

  @Test("A file that is given up leaves nothing behind")
  func givingUp() throws {
    func start() throws {
      let pending = try PendingFile(path: directory.path("a.txt"))
      try pending.write([1])
    }
    try start()
    #expect(directory.names == [])
  }

  @Test("What a dead writer left goes with the next one; what a live one holds stays")
  func leftovers() throws {
    try write([1], to: directory.path(".a.txt.partial-deadbeef"))
    try write([1], to: directory.path(".b.txt.partial-deadbeef"))
    let first = try PendingFile(path: directory.path("a.txt"))
    #expect(!directory.names.contains(".a.txt.partial-deadbeef"))
    #expect(directory.names.contains(".b.txt.partial-deadbeef"))
    try first.write(Array("one".utf8))
    let second = try PendingFile(path: directory.path("a.txt"))
    try second.write(Array("two".utf8))
    try first.publish()
    #expect(try text("a.txt") == "one")
    try second.publish()
    #expect(try text("a.txt") == "two")
  }

  @Test("A name as long as a name may be leaves room for the partial one's")
  func longName() throws {
    for name in [String(repeating: "n", count: 255), String(repeating: "ü", count: 127)] {
      try PendingFile.write("x", to: directory.path(name))
      #expect(directory.names.contains(name))
    }
  }

  @Test("A file that is named by a link is written where the link leads, and the link stays")
  func link() throws {
    try write("old".utf8, to: directory.path("real.txt"))
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("link.txt"), withDestinationPath: "real.txt")
    try PendingFile.write("new", to: directory.path("link.txt"))
    #expect(try text("real.txt") == "new")
    #expect(
      try FileManager.default.destinationOfSymbolicLink(atPath: directory.path("link.txt"))
        == "real.txt")
  }

  @Test("Directories, devices, pipes and dangling links are not replaced")
  func notReplaceable() throws {
    try #require(unsafe mkfifo(directory.path("pipe"), 0o600) == 0)
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("dangling"), withDestinationPath: "nowhere")
    for (path, word) in [
      (directory.path, "a directory"), ("/dev/null", "a device"),
      (directory.path("pipe"), "a named pipe"), (directory.path("dangling"), "leads nowhere"),
      (directory.path("a/"), "a directory's name"),
    ] {
      let error = try #require(throws: FileError.self) { try PendingFile.write("x", to: path) }
      #expect(error.errorClass == .output)
      #expect(error.description.contains(word), "\(error)")
    }
  }

  @Test("Lines are appended whole, behind those that a file starts with")
  func lines() throws {
    let file = try LineFile(path: directory.path("a.jsonl"), lines: ["1", "2"])
    try file.append("3")
    try file.synchronize()
    #expect(try text("a.jsonl") == "1\n2\n3\n")
  }
}

@Suite("Directories that appear whole")
struct PendingDirectoryTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func publish(_ content: String, replacing: Bool, to name: String = "out") throws {
    let pending = try PendingDirectory(
      OutputPlace(directory: directory.path(name)), replacing: replacing)
    try PendingFile.write(content, to: pending.partialPath + "/file")
    try pending.publish()
  }

  private func content(_ name: String = "out") throws -> String {
    try String(contentsOfFile: directory.path("\(name)/file"), encoding: .utf8)
  }

  @Test("A missing or empty directory is filled, a full one only where it may be replaced")
  func publishing() throws {
    try publish("one", replacing: false, to: "out/")
    #expect(try content() == "one")
    let error = try #require(throws: FileError.self) { try publish("two", replacing: false) }
    #expect(error == .notEmpty(path: directory.path("out"), found: "file"))
    try publish("two", replacing: true)
    #expect(try content() == "two")
    try FileManager.default.createDirectory(
      atPath: directory.path("empty"), withIntermediateDirectories: false)
    try publish("three", replacing: false, to: "empty")
    #expect(try content("empty") == "three")
    #expect(directory.names == ["empty", "out"])
  }

  @Test("Of two writers that may not replace anything, the second is refused")
  func twoAtOnce() throws {
    let place = try OutputPlace(directory: directory.path("out"))
    let first = try PendingDirectory(place)
    let second = try PendingDirectory(place)
    try PendingFile.write("one", to: first.partialPath + "/file")
    try PendingFile.write("two", to: second.partialPath + "/file")
    try first.publish()
    do throws(FileError) {
      try second.publish()
      Issue.record("the second took the place of the first")
    } catch {
      #expect(error == .notEmpty(path: directory.path("out"), found: "file"))
    }
    #expect(try content() == "one")
    #expect(directory.names == ["out"])
  }

  @Test("A directory that a dead writer had put aside comes back")
  func recovering() throws {
    try FileManager.default.createDirectory(
      atPath: directory.path(".out.replaced-deadbeef"), withIntermediateDirectories: false)
    try write("old".utf8, to: directory.path(".out.replaced-deadbeef/file"))
    PendingDirectory.recover(try OutputPlace(directory: directory.path("out")))
    #expect(try content() == "old")
    #expect(directory.names == ["out"])
  }

  @Test("A link to a directory stays one, and what it leads to is filled")
  func link() throws {
    try FileManager.default.createDirectory(
      atPath: directory.path("real"), withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("link"), withDestinationPath: "real")
    try publish("one", replacing: false, to: "link/")
    #expect(try content("real") == "one")
    #expect(
      try FileManager.default.destinationOfSymbolicLink(atPath: directory.path("link")) == "real")
  }

  @Test("An error in a partial directory names the directory that it will be")
  func finalName() throws {
    let pending = try PendingDirectory(OutputPlace(directory: directory.path("out")))
    try FileManager.default.createDirectory(
      atPath: pending.partialPath + "/file", withIntermediateDirectories: false)
    do throws(FileError) {
      try PendingFile.write("x", to: pending.partialPath + "/file")
      Issue.record("a directory was replaced")
    } catch {
      #expect(error == .notReplaceable(path: directory.path("out/file"), kind: "a directory"))
    }
  }

  @Test("Missing parents are made; where that cannot be, it is said at once")
  func parents() throws {
    try publish("one", replacing: false, to: "a/b/c")
    #expect(try content("a/b/c") == "one")
    try write([1], to: directory.path("file"))
    for path in ["/proc/none/out", directory.path("file/out"), directory.path("file")] {
      let error = try #require(throws: FileError.self) {
        _ = try PendingDirectory(OutputPlace(directory: path))
      }
      #expect(error.errorClass == .output && error.description.contains(path))
    }
  }
}

@Suite("Files that are read")
struct InputFileTests {
  // Opening a pipe would wait for ever. The limit counts the time in which other suites have all threads.
  @Test("What is no file is refused at once, by what it is", .timeLimit(.minutes(30)))
  func kinds() throws {
    let directory = try TemporaryDirectory()
    try #require(unsafe mkfifo(directory.path("pipe"), 0o600) == 0)
    for (path, word) in [
      (directory.path("pipe"), "a named pipe"), (directory.path, "a directory"),
      ("/dev/zero", "a device"), (directory.path("none"), "No such file"),
    ] {
      let error = try #require(throws: FileError.self) { try InputFile.bytes(of: path) }
      #expect(error.errorClass == .input)
      #expect(error.description.contains(word), "\(error)")
    }
    try write([1, 2, 3], to: directory.path("file"))
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("link"), withDestinationPath: "file")
    #expect(try InputFile.bytes(of: directory.path("link")) == [1, 2, 3])
  }
}
