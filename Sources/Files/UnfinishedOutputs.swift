import Glibc

/// The partial files and directories that this process is writing.
///
/// A process that ends by a signal removes them, so that nothing is left over.
package enum UnfinishedOutputs {
  /// The paths, for whoever holds the lock.
  @safe
  private final class Store: @unchecked Sendable {
    // Sendable: all use is under the lock.
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private var paths: Set<String> = []

    init() {
      unsafe lock = .allocate(capacity: 1)
      unsafe lock.initialize(to: pthread_mutex_t())
      unsafe _ = pthread_mutex_init(lock, nil)
    }

    func withLock<Value, Failure: Error>(
      _ body: (inout Set<String>) throws(Failure) -> Value
    ) throws(Failure) -> Value {
      unsafe _ = pthread_mutex_lock(lock)
      defer { unsafe _ = pthread_mutex_unlock(lock) }
      return try body(&paths)
    }
  }

  private static let store = Store()

  static func add(_ path: String) { store.withLock { _ = $0.insert(path) } }

  static func remove(_ path: String) { store.withLock { _ = $0.remove(path) } }

  /// Runs what gives outputs their names; never while, or after, they are removed.
  static func publishing<Value>(_ body: () throws(FileError) -> Value) throws(FileError) -> Value {
    try store.withLock { (_) throws(FileError) in try body() }
  }

  /// Removes all of them and then runs `end`, which does not return.
  ///
  /// Whoever begins or publishes an output meanwhile waits for ever: it has come too late.
  package static func removeAll(then end: () -> Void) {
    store.withLock { paths in
      for path in paths {
        // Another thread may be putting one more file into a directory.
        for _ in 0..<100 where FileKind.of(path) != nil { DirectoryEntries.remove(path) }
      }
      end()
    }
  }
}
