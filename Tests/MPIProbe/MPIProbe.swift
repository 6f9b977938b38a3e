import DataParallel
import Diagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What the tests start under `mpirun`: one check of the communicator per name.
///
/// A check that fails throws, and the job ends as the program's own jobs do.
@main
enum MPIProbe {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    var communicator: Communicator?
    do {
      let joined = try Communicator()
      communicator = joined
      try run(arguments.first ?? "", Array(arguments.dropFirst()), joined)
      joined.finalize()
    } catch {
      let errorClass = (error as? any ClassifiedError)?.errorClass ?? .failure
      let status: Int32 =
        switch errorClass {
        case .usage: 64
        case .input: 65
        case .output: 73
        case .failure: 1
        }
      Communicator.end(error, status: status, in: communicator)
    }
  }

  static func run(_ check: String, _ rest: [String], _ communicator: Communicator) throws {
    switch check {
    case "place": place(communicator)
    case "collectives": try Collectives.check(communicator)
    case "sums": try Collectives.checkSums(communicator)
    case "counter": try SharedMemory.checkCounter(communicator)
    case "send": try SharedMemory.checkSend(communicator)
    case "shared": try SharedMemory.check(communicator)
    case "reduce": try Reduction.check(communicator)
    case "totals": try Reduction.checkTotals(communicator)
    case "agreement":
      try Failures.agreement(communicator, failing: Set(rest.compactMap { Int($0) }))
    case "step": try Failures.inStep(communicator, failing: Set(rest.compactMap { Int($0) }))
    case "configuration": try Failures.configuration(communicator, odd: rest.compactMap { Int($0) })
    case "facts": try Failures.facts(communicator, odd: rest.compactMap { Int($0) })
    default: throw ProbeError(what: "unknown check '\(check)'", errorClass: .usage)
    }
  }

  private static func place(_ communicator: Communicator) {
    // One write a line, so that ranks do not mix theirs.
    let line = """
      \(communicator.rank)/\(communicator.worldSize) local \(communicator.localRank)/\
      \(communicator.localSize) nodes \(communicator.nodeCount) \
      \(communicator.library == nil ? "alone" : "mpi")\n
      """
    _ = line.withCString { write(STDOUT_FILENO, $0, strlen($0)) }
  }
}

/// A check that failed, or a failure that was asked for.
struct ProbeError: ClassifiedError {
  let what: String
  var errorClass = ErrorClass.failure
  var description: String { what }
}

/// Throws unless `found` is `expected`.
func expect<Value: Equatable>(_ found: Value, _ expected: Value, _ what: String) throws {
  if found != expected { throw ProbeError(what: "\(what): \(found) instead of \(expected)") }
}

/// Throws unless `body` throws an `MPIError` for which `matches` holds.
func expectError(
  _ what: String, _ matches: (MPIError) -> Bool, _ body: () throws -> Void
) throws {
  do {
    try body()
  } catch let error as MPIError where matches(error) {
    return
  } catch {
    throw ProbeError(what: "\(what): another error: \(error)")
  }
  throw ProbeError(what: "\(what): no error")
}
