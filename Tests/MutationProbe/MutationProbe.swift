import Foundation
import Mutating

/// Reads changed copies of a file, one after the other, as the program would.
///
///     mutation-probe READER FILE FIRST COUNT FOLDER
///
/// READER is one of `Reader`. What belongs to the file in a directory lies in FOLDER/original. The change
/// number N follows from N alone; built with `-DFUZZER -sanitize=fuzzer`, from what earlier changes
/// made the reader do (`CoverageGuided`). Before each reading the number goes to FOLDER/at, so that
/// whoever started it knows which one it did not survive: memory is limited to 4 GiB of addresses, and a
/// reading that takes more than five seconds of processor time ends the process by SIGPROF, one that
/// waits for a minute by SIGALRM. At the end it prints how many were read and how many refused; with
/// VERBOSE in the environment, why each was refused.
@main
enum MutationProbe {
  private static let mostBytes: rlim_t = 4 << 30

  static func main() throws {
    let arguments = Array(CommandLine.arguments.dropFirst())
    guard arguments.count == 5, let reader = Reader(rawValue: arguments[0]),
      let first = UInt64(arguments[2]), let count = UInt64(arguments[3])
    else { exit(64) }
    let (path, folder) = (arguments[1], arguments[4])
    var limit = rlimit(rlim_cur: mostBytes, rlim_max: mostBytes)
    // A heap that grows past this fails; what is mapped counts, too.
    setrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit)
    let seed = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    var trial = Trial(reader: reader, path: path, folder: folder)
    #if FUZZER
      try CoverageGuided.run(trial, seed: seed, first: first, count: count)
    #else
      let document = MutableDocument(seed)
      for number in first..<first + count {
        var mutation = Mutation(seed: number)
        // The first is the file as it is, which must be read: else nothing but a refusal is tested.
        let bytes =
          if number == 0 {
            seed
          } else if number.isMultiple(of: 2), let document {
            document.changed(by: &mutation)
          } else {
            mutation.changed(seed)
          }
        try trial.read(bytes, number: number)
      }
      trial.tell()
    #endif
  }
}

/// A reader with what it reads one file after the other.
struct Trial {
  let reader: Reader
  /// The file as it is, whose name a changed one has, too.
  let path: String
  let folder: String

  private static let secondsEach = 5
  private static let secondsOfWaiting: UInt32 = 60
  private var (read, refused) = (0, 0)
  private let isVerbose = ProcessInfo.processInfo.environment["VERBOSE"] != nil

  init(reader: Reader, path: String, folder: String) {
    (self.reader, self.path, self.folder) = (reader, path, folder)
  }

  /// Reads a file of these bytes, and counts whether it was refused.
  ///
  /// - Throws: the refusal of number 0, which must be read.
  mutating func read(_ bytes: [UInt8], number: UInt64) throws {
    try Data("\(number)".utf8).write(to: URL(fileURLWithPath: folder + "/at"))
    // Time of the processor, which does not depend on what else the machine does.
    limitProcessor(seconds: Self.secondsEach)
    alarm(Self.secondsOfWaiting)
    do {
      try reader.read(bytes, named: URL(fileURLWithPath: path).lastPathComponent, in: folder)
      read += 1
    } catch {
      if number == 0 { throw error }
      refused += 1
      if isVerbose { print("\(number): \(error)") }
    }
    limitProcessor(seconds: 0)
    alarm(0)
  }

  /// Prints how many were read and how many refused.
  func tell() { print("read \(read) refused \(refused)") }
}

/// Ends the process by SIGPROF when it has used so many seconds; 0: never.
private func limitProcessor(seconds: Int) {
  var timer = itimerval()
  timer.it_value.tv_sec = seconds
  setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
}
