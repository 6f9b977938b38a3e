import Diagnostics

/// All ranks end because one was asked to; what there was to save is saved.
///
/// It is thrown on all ranks alike.
public struct StoppedOnRequest: ClassifiedError {
  /// Says so.
  public init() {}

  /// Nobody's fault; commands give it the status of stopped runs.
  public var errorClass: ErrorClass { .failure }

  /// What happened and how to go on.
  public var description: String {
    "Stopped on request; run again with --resume."
  }
}
