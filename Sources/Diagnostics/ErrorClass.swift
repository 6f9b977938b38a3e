/// What kind of failure an error is; the command turns it into the promised exit status.
public enum ErrorClass: Sendable {
  /// The command line or configuration is wrong.
  case usage
  /// An input file is wrong or damaged.
  case input
  /// An output cannot be written.
  case output
  /// The run failed.
  case failure
}

/// An error that knows its class and says what, where, what was expected, and how to mend it.
public protocol ClassifiedError: Error, CustomStringConvertible {
  /// Whose fault it is.
  var errorClass: ErrorClass { get }
}
