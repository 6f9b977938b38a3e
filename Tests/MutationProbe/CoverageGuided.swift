#if FUZZER
  import CFuzzer
  import Foundation
  import Mutating

  /// libFuzzer in the place of changes by number: what reached code that none before reached is
  /// changed further.
  ///
  /// What it keeps lies in FOLDER/corpus, the file that is being read in FOLDER/input: the one that a
  /// reader did not survive.
  enum CoverageGuided {
    // libFuzzer calls functions of C, which have no context.
    nonisolated(unsafe) fileprivate static var trial: Trial?
    nonisolated(unsafe) fileprivate static var number: UInt64 = 0

    /// Reads the seed where it is the first, and `count` files that come of it and of the corpus.
    ///
    /// Does not return: libFuzzer ends the process.
    static func run(_ given: Trial, seed: [UInt8], first: UInt64, count: UInt64) throws {
      var given = given
      if first == 0 { try given.read(seed, number: 0) }
      let corpus = given.folder + "/corpus"
      try FileManager.default.createDirectory(
        atPath: corpus, withIntermediateDirectories: true)
      try Data(seed).write(to: URL(fileURLWithPath: corpus + "/seed"))
      (trial, number) = (given, first)
      atexit { CoverageGuided.trial?.tell() }
      // Time and memory are limited by the probe, and a crash is Swift's to tell.
      let unhandled = ["segv", "bus", "abrt", "ill", "fpe", "trap"].map { "-handle_\($0)=0" }
      let arguments =
        ["mutation-probe", "-runs=\(count)", "-seed=\(first % (1 << 31) + 1)", "-timeout=0"]
        + ["-rss_limit_mb=0", "-artifact_prefix=\(given.folder)/"] + unhandled + [corpus]
      var pointers = arguments.map { strdup($0) } + [nil]
      pointers.withUnsafeMutableBufferPointer { buffer in
        var (count, values) = (Int32(arguments.count), buffer.baseAddress)
        _ = LLVMFuzzerRunDriver(&count, &values, readInput)
      }
    }
  }

  private func readInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    CoverageGuided.number += 1
    if let folder = CoverageGuided.trial?.folder {
      try? Data(bytes).write(to: URL(fileURLWithPath: folder + "/input"))
    }
    // Only number 0 throws.
    try? CoverageGuided.trial?.read(bytes, number: CoverageGuided.number)
    return 0
  }

  /// Called by libFuzzer for its next input: a third are changes of a document's values and a third
  /// changes as formats have them, where they fit; the others are libFuzzer's own.
  @_cdecl("LLVMFuzzerCustomMutator")
  func changedInput(
    _ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ maximum: Int, _ seed: UInt32
  ) -> Int {
    var mutation = Mutation(seed: UInt64(seed))
    let bytes = Array(UnsafeBufferPointer(start: data, count: size))
    let changed: [UInt8]? =
      switch mutation.below(3) {
      case 0: MutableDocument(bytes)?.changed(by: &mutation)
      case 1: mutation.changed(bytes)
      default: nil
      }
    guard let changed, changed.count <= maximum else {
      return LLVMFuzzerMutate(data, size, maximum)
    }
    for (index, byte) in changed.enumerated() { data[index] = byte }
    return changed.count
  }
#endif
