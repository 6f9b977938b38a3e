/// Why a measurement could not be made.
package enum BenchmarkError: Error, CustomStringConvertible {
  /// A program that a measurement needs is not there.
  case missingProgram(path: String, remedy: String)
  /// A program ended with another status than 0; `tail` is the end of what it said.
  case programFailed(command: String, status: Int32, tail: String)
  /// A program's results are not what was expected.
  case unreadable(what: String, reason: String)
  /// Two programs that were to do the same did not.
  case differentWork(ours: Double, peer: Double)

  /// What failed, and how to mend it.
  package var description: String {
    switch self {
    case .missingProgram(let path, let remedy): "there is no program at \(path). \(remedy)"
    case .programFailed(let command, let status, let tail):
      "'\(command)' ended with status \(status). The last that it said:\n\(tail)"
    case .unreadable(let what, let reason): "\(what): \(reason)"
    case .differentWork(let ours, let peer):
      """
      the first step's loss is \(ours) here and \(peer) with the peer, so the two did not \
      train the same. Look at the model directory and at the peer's versions.
      """
    }
  }
}
