import Foundation
import Glibc

/// Files as they are named on a command line.
package enum InputFiles {
  /// The files that names stand for, in order; a name that holds `*`, `?` or `[` and is no file itself
  /// is a pattern, as a shell would take it, and its files come in the order of their bytes.
  ///
  /// The corresponding C function is `glob` (POSIX.1-2017).
  /// - Throws: `PreparationError.noMatch` where a pattern fits nothing.
  package static func expanded(_ names: [String]) throws(PreparationError) -> [String] {
    var files: [String] = []
    for name in names {
      let isPattern = name.contains { "*?[".contains($0) }
      guard isPattern, !FileManager.default.fileExists(atPath: name) else {
        files.append(name)
        continue
      }
      let found = matches(name)
      guard !found.isEmpty else { throw .noMatch(pattern: name) }
      files += found
    }
    return files
  }

  private static func matches(_ pattern: String) -> [String] {
    var list = unsafe glob_t()
    // Unsafe: the call fills the list, whose strings are copied before it is freed.
    defer { unsafe globfree(&list) }
    guard unsafe glob(pattern, GLOB_TILDE, nil, &list) == 0 else { return [] }
    let paths = (0..<Int(unsafe list.gl_pathc)).compactMap { index in
      unsafe list.gl_pathv[index].map { unsafe String(cString: $0) }
    }
    return paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
