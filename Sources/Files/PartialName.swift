import Glibc

/// Names of what is being written: hidden, beside the final name, different for every writer.
///
/// A live writer holds a lock on its file or directory. What nobody holds is of a process that
/// died, and goes when the next one writes to the same name.
package enum PartialName {
  /// What a name has between the final name and the random digits.
  static let marker = ".partial-"
  /// The same for a directory that makes room for its successor.
  static let asideMarker = ".replaced-"
  /// Bytes of a name that every file system takes.
  private static let longestName = 255
  private static let digitCount = 8

  /// A name for the next attempt to write `name`.
  static func next(_ name: String, marker: String = marker) -> String {
    let digits = String(UInt32.random(in: 0 ... .max), radix: 16)
    let padded = String(repeating: "0", count: digitCount - digits.count) + digits
    return prefix(name, marker) + padded
  }

  /// What all partial names of `name` begin with; a long name is cut to leave room.
  private static func prefix(_ name: String, _ marker: String) -> String {
    let room = longestName - 1 - marker.utf8.count - digitCount
    var cut = name
    while cut.utf8.count > room { cut.removeLast() }
    return "." + cut + marker
  }

  /// A path by the names that users know: what is written to a partial directory will be in the one
  /// whose name that has.
  static func finalPath(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/", omittingEmptySubsequences: false) {
      guard part.hasPrefix("."), let place = part.ranges(of: marker).last else {
        parts.append(part)
        continue
      }
      let name = part[part.index(after: part.startIndex)..<place.lowerBound]
      // A partial directory may also lie inside its own.
      if parts.last != name { parts.append(name) }
    }
    return parts.joined(separator: "/")
  }

  /// The names in `directory` of earlier attempts to write `name`.
  static func all(of name: String, in directory: String, marker: String = marker) -> [String] {
    let start = prefix(name, marker)
    return DirectoryEntries.names(directory).filter {
      $0.hasPrefix(start) && $0.utf8.count <= start.utf8.count + 2 * digitCount
    }
  }

  /// Removes what dead writers of `name` left in `directory`; what lives or cannot be told stays.
  static func removeLeftovers(of name: String, in directory: String) {
    for entry in all(of: name, in: directory) {
      let path = "\(directory)/\(entry)"
      guard let handle = FileDescriptor(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
        flock(handle.number, LOCK_EX | LOCK_NB) == 0
      else { continue }
      DirectoryEntries.remove(path)
    }
  }

  /// Removes what dead writers left in a directory that this process has to itself.
  ///
  /// Earlier releases left files that begin with `.dat.nosync`.
  package static func removeLeftovers(ofAllIn place: OutputPlace) {
    for entry in DirectoryEntries.names(place.target) where entry.hasPrefix(".") {
      if entry.contains(marker) || entry.hasPrefix(".dat.nosync") {
        DirectoryEntries.remove("\(place.target)/\(entry)")
      }
    }
  }

  /// Takes the lock that says that the writer lives.
  ///
  /// - Returns: false where a cleaner was quicker and has removed the file.
  static func hold(_ handle: borrowing FileDescriptor) -> Bool {
    // A cleaner holds it for a moment at most. File systems without locks are let pass.
    while flock(handle.number, LOCK_EX | LOCK_NB) != 0 {
      if errno == EINTR { continue }
      if errno != EWOULDBLOCK { return true }
      sched_yield()
      if handle.status?.st_nlink == 0 { return false }
    }
    return handle.status.map { $0.st_nlink > 0 } ?? true
  }
}

/// What is in a directory.
enum DirectoryEntries {
  /// The names; none where the directory cannot be read.
  static func names(_ path: String) -> [String] {
    // Unsafe: the stream is closed below; an entry is copied before the next one is read.
    guard let stream = unsafe opendir(path) else { return [] }
    defer { _ = unsafe closedir(stream) }
    var names: [String] = []
    while let entry = unsafe readdir(stream) {
      // An entry is only as long as its name, so its field must not be copied out as a whole.
      guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { continue }
      let name = unsafe (UnsafeRawPointer(entry) + offset).assumingMemoryBound(to: CChar.self)
      let text = unsafe String(cString: name)
      if text != "." && text != ".." { names.append(text) }
    }
    return names
  }

  /// Removes a file, or a directory with all that is in it; links are removed, not followed.
  ///
  /// What cannot be removed stays: the next writer tries again.
  static func remove(_ path: String) {
    if FileKind.of(path) == .directory {
      for name in names(path) { remove("\(path)/\(name)") }
      _ = unsafe rmdir(path)
    } else {
      _ = unsafe unlink(path)
    }
  }
}
