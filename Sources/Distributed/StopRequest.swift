import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Requests from outside to stop a run: SIGUSR1 and SIGTERM.
///
/// ```swift
/// StopRequest.listen()
/// while … { step(); if StopRequest.isMade { save(); break } }
/// ```
///
/// The handler only remembers: the step loop asks at the end of a step, and one rank that was asked is
/// enough for all of them. It does not end the process, nor interrupt a step: threads that compute
/// block the signals, because a signal's frame goes where the stack pointer shows, and generated
/// kernels do not promise that this is a stack. A thread that only waits takes them.
public enum StopRequest {
  private static let signalNumber = Atomic<CInt>(0)

  /// From here on the signals are remembered instead of ending the process.
  ///
  /// Called before the threads that compute are started, which inherit what the caller blocks. The
  /// corresponding C functions are `sigaction` and `pthread_sigmask`.
  public static func listen() {
    // The first use of a global may have to initialise it, which a signal handler must not do.
    signalNumber.store(0, ordering: .relaxed)
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { number in
      // Async-signal-safe: one atomic store.
      StopRequest.signalNumber.store(number, ordering: .relaxed)
    }
    // Reads and writes that the signal meets are gone on with.
    action.sa_flags = SA_RESTART
    for number in [SIGUSR1, SIGTERM] { unsafe _ = sigaction(number, &action, nil) }
    change(SIG_BLOCK)
    Thread.detachNewThread {
      change(SIG_UNBLOCK)
      while true { pause() }
    }
  }

  /// Blocks the signals for the calling thread, or no longer.
  private static func change(_ how: CInt) {
    var signals = sigset_t()
    unsafe sigemptyset(&signals)
    for number in [SIGUSR1, SIGTERM] { unsafe sigaddset(&signals, number) }
    unsafe pthread_sigmask(how, &signals, nil)
  }

  /// Whether this process was asked to stop.
  public static var isMade: Bool { signalNumber.load(ordering: .relaxed) != 0 }
}
