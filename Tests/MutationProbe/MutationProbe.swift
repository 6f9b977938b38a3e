import Foundation
import Mutating

/// Reads changed copies of a file, one after the other, as the program would.
///
///     mutation-probe READER FILE FIRST COUNT FOLDER
///
/// READER is one of `Reader`. What belongs to the file in a directory lies in FOLDER/original. The change
/// number N follows from N alone. Before each reading the number goes to FOLDER/at, so that whoever
/// started it knows which one it did not survive: memory is limited to 4 GiB of addresses, and a reading
/// that takes more than five seconds of processor time ends the process by SIGPROF, one that waits for a
/// minute by SIGALRM. At the end it prints how many were read and how many refused; with VERBOSE in the
/// environment, why each was refused.
@main
enum MutationProbe {
  private static let secondsEach = 5
  private static let secondsOfWaiting: UInt32 = 60
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
    let isVerbose = ProcessInfo.processInfo.environment["VERBOSE"] != nil
    let seed = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
    let document = MutableDocument(seed)
    let at = URL(fileURLWithPath: folder + "/at")
    var (read, refused) = (0, 0)
    for number in first..<first + count {
      try Data("\(number)".utf8).write(to: at)
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
      // Time of the processor, which does not depend on what else the machine does.
      limitProcessor(seconds: secondsEach)
      alarm(secondsOfWaiting)
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
    print("read \(read) refused \(refused)")
  }
}

/// Ends the process by SIGPROF when it has used so many seconds; 0: never.
private func limitProcessor(seconds: Int) {
  var timer = itimerval()
  timer.it_value.tv_sec = seconds
  setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
}
