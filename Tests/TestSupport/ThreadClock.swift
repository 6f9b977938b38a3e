import Foundation

/// The processor time of the calling thread: what work takes, however many others share the machine.
package struct ThreadClock {
  /// A clock of whichever thread reads it.
  package init() {}

  /// Time since the thread began.
  package var now: Duration {
    var time = timespec()
    let status = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    precondition(status == 0, "no clock for the processor time of a thread")
    return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
  }

  /// What the work takes; it must stay on its thread.
  package func measure<Failure: Error>(
    _ work: () throws(Failure) -> Void
  ) throws(Failure) -> Duration {
    let start = now
    try work()
    return now - start
  }
}
