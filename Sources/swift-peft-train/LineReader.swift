import Foundation
import Glibc

/// A line of input without its line break.
struct InputLine {
  let number: Int
  let bytes: [UInt8]
}

/// Reads lines from a stream as they come, holding no more than a piece and a line.
final class LineReader {
  private static let pieceSize = 1 << 16

  private let descriptor: CInt
  private var buffer: [UInt8] = []
  private var position = 0
  private var number = 0
  private var isAtEnd = false

  init(_ file: FileHandle) { descriptor = file.fileDescriptor }

  /// Whether another whole line is here already.
  var hasMore: Bool { buffer[position...].contains(0x0a) }

  /// The next line that is not blank; nil at the end.
  func next() throws(TokenizeError) -> InputLine? {
    var searched = 0
    while true {
      if let end = buffer[(position + searched)...].firstIndex(of: 0x0a) {
        let line = Array(buffer[position..<end])
        position = end + 1
        searched = 0
        if let line = taken(line) { return line }
        continue
      }
      searched = buffer.count - position
      if try fill() { continue }
      guard searched > 0 else { return nil }
      let line = Array(buffer[position...])
      position = buffer.count
      return taken(line)
    }
  }

  private func taken(_ line: [UInt8]) -> InputLine? {
    number += 1
    let isBlank = line.allSatisfy { $0 == 0x20 || (9...13).contains($0) }
    return isBlank ? nil : InputLine(number: number, bytes: line)
  }

  private func fill() throws(TokenizeError) -> Bool {
    if isAtEnd { return false }
    if position > 0 {
      buffer.removeFirst(position)
      position = 0
    }
    var piece = [UInt8](repeating: 0, count: Self.pieceSize)
    while true {
      // Unsafe: as many bytes are read as there is room for.
      let count = unsafe read(descriptor, &piece, piece.count)
      if count > 0 {
        buffer.append(contentsOf: piece[..<count])
        return true
      }
      if count == 0 {
        isAtEnd = true
        return false
      }
      if errno != EINTR { throw .unreadable(reason: systemReason()) }
    }
  }
}

/// Lines on their way to standard output, written in larger pieces.
struct LineOutput {
  private static let pieceSize = 1 << 16
  private var bytes: [UInt8] = []

  var isFull: Bool { bytes.count >= Self.pieceSize }

  mutating func append(_ line: String) {
    bytes.append(contentsOf: line.utf8)
    bytes.append(0x0a)
  }

  mutating func flush() throws(TokenizeError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // Unsafe: only bytes of the array are read.
      let count = unsafe rest.withUnsafeBytes {
        unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count)
      }
      if count < 0 {
        if errno == EINTR { continue }
        throw .unwritable(reason: systemReason())
      }
      rest = rest.dropFirst(count)
    }
    bytes.removeAll(keepingCapacity: true)
  }
}

/// The operating system's words for what failed last.
private func systemReason() -> String {
  // Unsafe: the message is copied at once.
  unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
}
