import CZlib

/// Undoes gzip (RFC 1952).
///
/// A file is one member, or several one behind the other, as `cat`, pigz and bgzip leave them. Zeros
/// behind the last are passed over, as by gzip itself.
///
/// `@safe`: zlib's state points back to the stream, which is allocated once and freed with its owner.
@safe
final class GzipUnpacker: Unpacker {
  private let stream: UnsafeMutablePointer<z_stream>
  /// What a call unpacks, so that a member of no bytes costs none.
  private var piece = [UInt8](repeating: 0, count: 1 << 18)
  private var isInMember = false
  private var isBehindMember = false

  init() throws(UnpackProblem) {
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    // 16 more than the window's bits: gzip's header and no other. The C macro is `inflateInit2`.
    let status = unsafe inflateInit2_(
      stream, 16 + MAX_WBITS, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
    guard status == Z_OK else { throw UnpackProblem(reason: "zlib does not start (\(status))") }
  }

  deinit {
    _ = unsafe inflateEnd(stream)
    unsafe stream.deallocate()
  }

  var isComplete: Bool { !isInMember }

  func unpack(_ input: inout ArraySlice<UInt8>, into output: inout [UInt8]) throws(UnpackProblem) {
    if isBehindMember, !isInMember {
      input = input.drop { $0 == 0 }
      if input.isEmpty { return }
      guard unsafe inflateReset(stream) == Z_OK else {
        throw UnpackProblem(reason: "zlib does not start again")
      }
    }
    isInMember = true
    // Unsafe: zlib reads and writes no more than the counts say, within both closures.
    let (status, used, made) = unsafe input.withUnsafeBytes { source in
      unsafe piece.withUnsafeMutableBytes { target in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(
          mutating: source.bindMemory(to: UInt8.self).baseAddress)
        unsafe stream.pointee.avail_in = CUnsignedInt(source.count)
        unsafe stream.pointee.next_out = target.bindMemory(to: UInt8.self).baseAddress
        unsafe stream.pointee.avail_out = CUnsignedInt(target.count)
        let status = unsafe inflate(stream, Z_NO_FLUSH)
        return (
          status, source.count - Int(unsafe stream.pointee.avail_in),
          target.count - Int(unsafe stream.pointee.avail_out)
        )
      }
    }
    output.append(contentsOf: piece[..<made])
    input = input.dropFirst(used)
    switch status {
    case Z_STREAM_END: (isInMember, isBehindMember) = (false, true)
    // Z_BUF_ERROR: nothing more to do with these bytes.
    case Z_OK, Z_BUF_ERROR: break
    default:
      let words = unsafe stream.pointee.msg.map { unsafe String(cString: $0) }
      throw UnpackProblem(reason: words ?? "zlib's error \(status)")
    }
  }
}
