import CMPI
import Diagnostics

/// The one place where MPI functions are called: every status becomes an error or is success.
enum MPICall {
  /// Calls `body`, which calls the MPI function named `function` and returns its status.
  ///
  /// The error's text is the library's own. The corresponding C function is `MPI_Error_string`
  /// (MPI 3.1, §8.4).
  static func check(_ function: StaticString, _ body: () -> CInt) throws(MPIError) {
    let status = RunProgress.whileWaiting(body)
    if status != CInt(cmpi_success) { throw failure(function, status) }
  }

  private static func failure(_ function: StaticString, _ status: CInt) -> MPIError {
    let message = unsafe text { characters, length in
      unsafe cmpi_error_string(status, characters, length)
    }
    return .call(function: "\(function)", code: status, message: message)
  }

  /// A string that MPI writes; empty where that fails.
  static func text(
    _ body: (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<CInt>) -> CInt
  ) -> String {
    var length: CInt = 0
    // Of the size that no MPI passes.
    var characters = [CChar](repeating: 0, count: Int(cmpi_longest_text) + 1)
    let status = unsafe characters.withUnsafeMutableBufferPointer { buffer -> CInt in
      guard let base = buffer.baseAddress else { return -1 }
      return unsafe body(base, &length)
    }
    guard status == CInt(cmpi_success) else { return "" }
    return String(
      decoding: characters.prefix(Int(length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
