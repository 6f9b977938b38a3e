import CMPI

/// A number that collectives carry as it lies in memory.
public protocol MessageElement: BitwiseCopyable, SendableMetatype {
  /// The value that fresh buffers hold.
  static var zero: Self { get }
  /// Which MPI type it is.
  static var messageType: MessageType { get }
}

/// The MPI types that collectives carry.
public enum MessageType: Sendable {
  /// `MPI_UINT8_T`.
  case uint8
  /// `MPI_INT32_T`.
  case int32
  /// `MPI_INT64_T`.
  case int64
  /// `MPI_UINT64_T`.
  case uint64
  /// `MPI_FLOAT`.
  case float
  /// `MPI_DOUBLE`.
  case double

  var handle: cmpi_type {
    switch self {
    case .uint8: cmpi_uint8
    case .int32: cmpi_int32
    case .int64: cmpi_int64
    case .uint64: cmpi_uint64
    case .float: cmpi_float
    case .double: cmpi_double
    }
  }
}

extension UInt8: MessageElement {
  /// `MPI_UINT8_T`.
  public static var messageType: MessageType { .uint8 }
}
extension Int32: MessageElement {
  /// `MPI_INT32_T`.
  public static var messageType: MessageType { .int32 }
}
extension Int64: MessageElement {
  /// `MPI_INT64_T`.
  public static var messageType: MessageType { .int64 }
}
extension UInt64: MessageElement {
  /// `MPI_UINT64_T`.
  public static var messageType: MessageType { .uint64 }
}
extension Float: MessageElement {
  /// `MPI_FLOAT`.
  public static var messageType: MessageType { .float }
}
extension Double: MessageElement {
  /// `MPI_DOUBLE`.
  public static var messageType: MessageType { .double }
}

/// How the values of all ranks become one.
///
/// Sums of floating-point numbers depend on the order in which MPI adds them, which depends on the
/// number of ranks: what must not depend on it is summed as integers (``GradientReducer``,
/// ``ExactSum``). Maxima and minima have no such trouble.
public enum ReductionOperation: Sendable {
  /// `MPI_SUM`.
  case sum
  /// `MPI_MAX`.
  case maximum
  /// `MPI_MIN`.
  case minimum

  var handle: cmpi_operation {
    switch self {
    case .sum: cmpi_sum
    case .maximum: cmpi_max
    case .minimum: cmpi_min
    }
  }
}
