import Foundation
import Tensors

/// The most memory that this process has had, in bytes, as the kernel counts it.
func peakMemoryBytes() -> Int { memoryBytes("VmHWM") }

/// The memory that this process has now, in bytes.
func residentMemoryBytes() -> Int { memoryBytes("VmRSS") }

/// This process's memory by where its pages come from.
struct ResidentMemory {
  /// Pages of files.
  let files: Int
  /// All others: its own, and those in memory that processes share.
  let others: Int

  /// What it has now; nil where the kernel does not tell.
  static var ofThisProcess: ResidentMemory? {
    let (files, own) = (memoryBytes("RssFile"), memoryBytes("RssAnon"))
    if own == 0 { return nil }
    return ResidentMemory(files: files, others: own + memoryBytes("RssShmem"))
  }
}

/// A figure of `/proc/self/status`, in bytes; 0 where the kernel does not tell.
func memoryBytes(_ field: String) -> Int {
  let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  for line in status.split(separator: "\n") where line.hasPrefix(field + ":") {
    let digits = line.filter(\.isNumber)
    return (Int(digits) ?? 0) * 1024
  }
  return 0
}

/// Lets the peak that ``peakMemoryBytes()`` tells start again at what is held now.
///
/// - Returns: whether the kernel did it; Linux does where `/proc` is writable.
func resetPeakMemory() -> Bool {
  FreedMemory.giveBack()
  let before = peakMemoryBytes()
  guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return false }
  // 5: "reset the peak resident set size" (proc(5), clear_refs).
  guard (try? file.write(contentsOf: Data("5".utf8))) != nil else { return false }
  return peakMemoryBytes() <= before
}
