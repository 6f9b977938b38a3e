import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// Requests from outside to stop: SIGUSR1, SIGTERM, SIGINT and SIGHUP.
///
/// ```swift
/// StopRequest.remember()  // first of all
/// StopRequest.listen()
/// while … { if StopRequest.isMade { save(); break }; step() }
/// ```
///
/// The handler only remembers: a run asks before each micro-batch, and one rank that was asked is
/// enough for all of them. A second SIGINT ends the process at once. A signal that whoever started the
/// program has it ignore stays ignored. Threads that compute block the signals; a thread that only
/// waits takes them.
public enum StopRequest {
  private static let signals = [SIGUSR1, SIGTERM, SIGINT, SIGHUP]
  private static let first = Atomic<CInt>(0)
  private static let interrupts = Atomic<CInt>(0)
  private static let ending = Atomic<Bool>(false)
  /// When the process began, as far as it knows.
  private static let began = ContinuousClock.now

  /// From here on signals are remembered instead of ending the process, and a file that grows beyond
  /// `ulimit -f` is an error of the call that writes (`EFBIG`) instead of the process's death.
  ///
  /// Called as early as can be: before it, a signal does what it does by default. The corresponding C
  /// function is `sigaction`.
  public static func remember() {
    // The first use of a global may have to initialise it, which a signal handler must not do.
    first.store(0, ordering: .relaxed)
    interrupts.store(0, ordering: .relaxed)
    _ = began
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { number in
      // Async-signal-safe: atomics, `signal` and `raise`.
      if number == SIGINT,
        StopRequest.interrupts.wrappingAdd(1, ordering: .relaxed).oldValue > 0
      {
        _ = signal(SIGINT, SIG_DFL)
        _ = raise(SIGINT)
      }
      _ = StopRequest.first.compareExchange(
        expected: 0, desired: number, ordering: .relaxed)
    }
    // Reads and writes that the signal meets are gone on with.
    action.sa_flags = SA_RESTART
    for number in signals {
      var before = sigaction()
      unsafe _ = sigaction(number, nil, &before)
      let isIgnored = unsafe before.__sigaction_handler.sa_handler.map {
        unsafe unsafeBitCast($0, to: Int.self) == 1  // SIG_IGN
      }
      if isIgnored == true { continue }
      unsafe _ = sigaction(number, &action, nil)
    }
    _ = signal(SIGXFSZ, SIG_IGN)
  }

  /// From here on whoever runs asks for requests.
  ///
  /// Called before the threads that compute are started, which inherit what the caller blocks. The
  /// corresponding C functions are `pthread_sigmask` and `sigsuspend`.
  public static func listen() { wait { false } }

  /// From here on a request ends the process, by the signal that made it, after `cleaning`.
  ///
  /// For commands that have nothing to go on from. `cleaning` runs on a thread of its own while
  /// others go on: it must keep them from making anew what it removes, and then call `end`.
  public static func endProcess(
    after cleaning: @escaping @Sendable (_ end: () -> Void) -> Void
  ) {
    wait {
      ending.store(true, ordering: .sequentiallyConsistent)
      cleaning {
        let number = first.load(ordering: .relaxed)
        _ = signal(number, SIG_DFL)
        change(SIG_UNBLOCK)
        _ = kill(getpid(), number)
      }
      return true
    }
  }

  /// Whether the process is about to end by a signal; nothing more is then to be said.
  public static var isEnding: Bool { ending.load(ordering: .sequentiallyConsistent) }

  /// Takes signals on a thread of its own; calls `then` after the first, until it returns true.
  private static func wait(_ then: @escaping @Sendable () -> Bool) {
    change(SIG_BLOCK)
    Thread.detachNewThread {
      // Signals are taken in `sigsuspend` alone, so that none slips in between looking and waiting.
      var none = sigset_t()
      unsafe _ = pthread_sigmask(SIG_BLOCK, nil, &none)
      for number in signals { unsafe sigdelset(&none, number) }
      var isDone = false
      while true {
        if !isDone, first.load(ordering: .relaxed) != 0 { isDone = then() }
        unsafe _ = sigsuspend(&none)
      }
    }
  }

  /// Blocks the signals for the calling thread, or no longer.
  private static func change(_ how: CInt) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for number in signals { unsafe sigaddset(&set, number) }
    unsafe pthread_sigmask(how, &set, nil)
  }

  /// Whether this process was asked to stop.
  public static var isMade: Bool { first.load(ordering: .relaxed) != 0 }

  /// Time since the process began to remember signals.
  public static var elapsed: Duration { ContinuousClock.now - began }
}
