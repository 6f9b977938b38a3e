import Foundation

/// What a benchmark says while it works: on standard error, so that results stay apart.
enum Progress {
  static func say(_ text: String) {
    FileHandle.standardError.write(Data("\(text)\n".utf8))
  }
}
