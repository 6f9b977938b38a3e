import Files
import Glibc

/// The checkpoints of a run: `step-00000100.h5` and its like in one directory.
///
/// ```swift
/// let directory = CheckpointDirectory(path: "run/checkpoints")
/// try directory.save(contents, keeping: 3)
/// let search = try directory.newestSound()
/// ```
///
/// One run at a time writes to a directory; any number may read.
package struct CheckpointDirectory: Sendable {
  package let path: String

  /// What a search for the newest sound checkpoint found.
  package struct Search {
    /// The newest checkpoint that verifies, opened; nil where there is none.
    package let newest: CheckpointReader?
    /// Newer ones that do not, newest first.
    package let damaged: [Damaged]
  }

  /// A checkpoint that was passed over.
  package struct Damaged: Sendable {
    package let path: String
    package let reason: CheckpointError
  }

  /// Names a directory, which need not be there yet.
  package init(path: String) { self.path = path }

  /// The file of a step.
  package func path(step: Int) -> String {
    let digits = String(step)
    return "\(path)/step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
      + ".h5"
  }

  /// The steps of all files there, sound or not, growing; none where there is no directory.
  package func steps() throws(CheckpointError) -> [Int] {
    try names().compactMap(CheckpointDirectory.step(of:)).sorted()
  }

  /// Writes a checkpoint, verifies it, and then removes older ones beyond `limit`.
  ///
  /// Makes the directory where it is missing, and clears away what earlier crashes left half
  /// written. Never removed are the checkpoint just saved (it is verified, so there is always a
  /// sound one), those of later steps, and those in `protected`.
  ///
  /// - Parameters:
  ///   - contents: what the checkpoint holds.
  ///   - limit: how many checkpoints up to this step are kept; nil or 0 keeps all.
  ///   - protected: steps to keep besides, such as the best one.
  /// - Returns: the path of the new file.
  @discardableResult
  package func save(
    _ contents: CheckpointContents, keeping limit: Int? = nil, protecting protected: Set<Int> = []
  ) throws(CheckpointError) -> String {
    try publishing { () throws(FileError) in
      try OutputPlace.requireNoLink(path)
      try OutputPlace.createDirectory(path)
    }
    try removePartialFiles()
    let step = contents.metadata.step
    let file = path(step: step)
    try CheckpointWriter.write(contents, to: file)
    if let limit, limit > 0 {
      let upToHere = try steps().filter { $0 <= step }
      for old in upToHere.dropLast(limit) where old != step && !protected.contains(old) {
        try remove(path(step: old))
      }
    }
    return file
  }

  /// Opens the newest checkpoint that verifies, and names newer ones that do not.
  package func newestSound() throws(CheckpointError) -> Search {
    var damaged: [Damaged] = []
    for step in try steps().reversed() {
      let file = path(step: step)
      do throws(CheckpointError) {
        return Search(newest: try CheckpointReader(path: file), damaged: damaged)
      } catch {
        damaged.append(Damaged(path: file, reason: error))
      }
    }
    return Search(newest: nil, damaged: damaged)
  }

  /// What the name of a checkpoint ends with that a run has gone back behind.
  package static let supersededSuffix = ".superseded"

  /// Takes the checkpoints after a step out of the way, since the run goes on from there: they keep
  /// their bytes and get another name, by which nothing finds them.
  ///
  /// - Returns: their steps.
  package func supersede(after step: Int) throws(CheckpointError) -> [Int] {
    let later = try steps().filter { $0 > step }
    for old in later {
      let file = path(step: old)
      guard unsafe rename(file, file + Self.supersededSuffix) == 0 else {
        throw .system("rename", file, .writing)
      }
    }
    return later
  }

  /// Removes files that a crash left half written.
  package func removePartialFiles() throws(CheckpointError) {
    for name in try names()
    where name.hasPrefix(".step-") && name.contains(".h5" + PendingFile.marker) {
      try remove("\(path)/\(name)")
    }
  }

  /// The step that a file's name states; nil for other files.
  private static func step(of name: String) -> Int? {
    guard name.hasPrefix("step-"), name.hasSuffix(".h5") else { return nil }
    let digits = name.dropFirst(5).dropLast(3)
    guard digits.count >= 8, digits.allSatisfy({ $0.isASCII && $0.isNumber }) else { return nil }
    let step = Int(digits)
    // Only the one spelling that `path(step:)` gives.
    return digits.count == 8 || digits.first != "0" ? step : nil
  }

  private func names() throws(CheckpointError) -> [String] {
    // Unsafe: the stream is closed below; an entry is copied before the next one is read.
    guard let stream = unsafe opendir(path) else {
      guard errno != ENOENT else { return [] }
      throw .system("opendir", path, .reading)
    }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      // An entry is only as long as its name, so its field must not be copied out as a whole.
      guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { continue }
      let name = unsafe (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self)
      names.append(unsafe String(cString: name))
    }
    return names
  }

  private func remove(_ file: String) throws(CheckpointError) {
    guard unsafe unlink(file) == 0 || errno == ENOENT else {
      throw .system("unlink", file, .writing)
    }
  }
}
