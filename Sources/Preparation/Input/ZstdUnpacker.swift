import Glibc

/// Undoes zstd (RFC 8878): one frame or several, by libzstd, which is looked for where the program
/// runs: its functions have had these types since version 1.0, and so nobody needs it to build.
///
/// `@safe`: the stream and the functions are the library's, which stays loaded; the stream is freed with
/// its owner.
@safe
final class ZstdUnpacker: Unpacker {
  /// `ZSTD_inBuffer` and `ZSTD_outBuffer`: address, size, how far.
  @unsafe
  private struct Buffer {
    var address: UnsafeMutableRawPointer?
    var size: Int
    var position = 0
  }

  private typealias Create = @convention(c) () -> OpaquePointer?
  private typealias Free = @convention(c) (OpaquePointer?) -> Int
  private typealias Decompress =
    @convention(c) (OpaquePointer?, UnsafeMutableRawPointer, UnsafeMutableRawPointer) -> Int
  private typealias IsError = @convention(c) (Int) -> CUnsignedInt
  private typealias ErrorName = @convention(c) (Int) -> UnsafePointer<CChar>?

  private let stream: OpaquePointer
  private let free: Free
  private let decompress: Decompress
  private let isError: IsError
  private let errorName: ErrorName
  /// What a call unpacks, so that a frame of no bytes costs none.
  private var piece = [UInt8](repeating: 0, count: 1 << 18)
  private(set) var isComplete = true

  init() throws(UnpackProblem) {
    let names = ["libzstd.so.1", "libzstd.so"]
    guard
      let library = unsafe names.lazy.compactMap({ unsafe dlopen($0, RTLD_NOW | RTLD_LOCAL) }).first
    else {
      throw UnpackProblem(
        reason: "there is no libzstd on this machine; install it (Debian: libzstd1), or unpack the "
          + "file first: zstd -dk FILE")
    }
    guard let create = unsafe dlsym(library, "ZSTD_createDStream"),
      let free = unsafe dlsym(library, "ZSTD_freeDStream"),
      let decompress = unsafe dlsym(library, "ZSTD_decompressStream"),
      let isError = unsafe dlsym(library, "ZSTD_isError"),
      let errorName = unsafe dlsym(library, "ZSTD_getErrorName")
    else { throw UnpackProblem(reason: "libzstd lacks what version 1.0 has") }
    // Unsafe: the types are those of zstd.h.
    guard let stream = unsafe unsafeBitCast(create, to: Create.self)() else {
      throw UnpackProblem(reason: "libzstd does not start")
    }
    unsafe self.stream = stream
    unsafe self.free = unsafeBitCast(free, to: Free.self)
    unsafe self.decompress = unsafeBitCast(decompress, to: Decompress.self)
    self.isError = unsafe unsafeBitCast(isError, to: IsError.self)
    unsafe self.errorName = unsafeBitCast(errorName, to: ErrorName.self)
  }

  deinit { _ = unsafe free(stream) }

  func unpack(_ input: inout ArraySlice<UInt8>, into output: inout [UInt8]) throws(UnpackProblem) {
    // Asked with nothing behind a frame, the library says what it wants of the next one.
    if input.isEmpty, isComplete { return }
    // Unsafe: libzstd reads and writes no more than the sizes say, within both closures.
    let (status, used, made) = unsafe input.withUnsafeBytes { bytes in
      unsafe piece.withUnsafeMutableBytes { room in
        var source = unsafe Buffer(
          address: UnsafeMutableRawPointer(mutating: bytes.baseAddress), size: bytes.count)
        var target = unsafe Buffer(address: room.baseAddress, size: room.count)
        let status = unsafe decompress(stream, &target, &source)
        return unsafe (status, source.position, target.position)
      }
    }
    output.append(contentsOf: piece[..<made])
    input = input.dropFirst(used)
    guard isError(status) == 0 else {
      throw UnpackProblem(
        reason: unsafe errorName(status).map { unsafe String(cString: $0) } ?? "error \(status)")
    }
    // 0: a frame ended here, and all of it is out.
    isComplete = status == 0
  }
}
