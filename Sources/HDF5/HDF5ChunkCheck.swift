import CHDF5
import CZlib

/// Counts what each chunk of a dataset holds when its filters are undone.
///
/// The library copies as many bytes out of a chunk as its elements take, whatever the file had there: from
/// one that is shorter it reads its neighbours in memory, or until the process dies. It knows deflate,
/// shuffle and the checksum; of chunks that went through other filters it says nothing. The corresponding
/// C functions are `H5Dget_chunk_storage_size`, `H5Dread_chunk` and zlib's `inflate`.
struct HDF5ChunkCheck {
  private let dataset: hid_t
  private let location: HDF5Location
  /// In the order in which they were applied.
  private let filters: [H5Z_filter_t]
  private let (extent, chunk): ([hsize_t], [hsize_t])
  /// Bytes of a chunk's elements.
  private let byteCount: Int
  private let fileBytes: Int
  /// Whether chunks that reach over the dataset's edge are stored as they are.
  private let leavesEdgesAlone: Bool

  /// Bytes of a Fletcher-32 checksum.
  private static let checksumBytes = 4

  init(
    _ dataset: hid_t, filters: [H5Z_filter_t], properties: hid_t, extent: [hsize_t],
    chunk: [hsize_t], fileBytes: Int, at location: HDF5Location
  ) throws(HDF5Error) {
    (self.dataset, self.filters, self.location) = (dataset, filters, location)
    (self.extent, self.chunk, self.fileBytes) = (extent, chunk, fileBytes)
    var byteCount = try HDF5Storage.elementBytes(dataset, at: location)
    for size in chunk {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: Int(clamping: size))
      // No chunk has more than 2^32 - 1 bytes.
      guard !overflow && product < 1 << 32 else { throw .impossibleChunks(location) }
      byteCount = product
    }
    self.byteCount = byteCount
    var options: CUnsignedInt = 0
    _ = try HDF5Call.check("H5Pget_chunk_opts", location) {
      unsafe H5Pget_chunk_opts(properties, &options)
    }
    leavesEdgesAlone = options & UInt32(H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0
  }

  /// Throws `wrongStoredSize` at the first chunk that holds more or less than its elements.
  func run() throws(HDF5Error) {
    var offset = [hsize_t](repeating: 0, count: extent.count)
    while true {
      if let bytes = try unpackedBytes(offset), bytes != byteCount {
        throw .wrongStoredSize(location, isChunk: true, bytes: bytes, expected: byteCount)
      }
      // The next chunk, last dimension fastest.
      var dimension = extent.count - 1
      while dimension >= 0 {
        offset[dimension] += chunk[dimension]
        if offset[dimension] < extent[dimension] { break }
        offset[dimension] = 0
        dimension -= 1
      }
      if dimension < 0 { return }
    }
  }

  /// What a chunk holds without its filters; nil where only the library can tell.
  private func unpackedBytes(_ offset: [hsize_t]) throws(HDF5Error) -> Int? {
    let stored = Int(
      try HDF5Call.check("H5Dget_chunk_storage_size", location) {
        unsafe chdf5_chunk_bytes(dataset, offset)
      })
    let isWhole = zip(offset, zip(extent, chunk)).allSatisfy { $0 + $1.1 <= $1.0 }
    if filters.isEmpty || leavesEdgesAlone && !isWhole { return stored }
    // What the file has no room for the library cannot read either.
    guard stored <= fileBytes else { return nil }
    var leftOut: CUnsignedInt = 0
    var packed = [UInt8](repeating: 0, count: stored)
    _ = try HDF5Call.check("H5Dread_chunk", location) {
      // Unsafe: the call writes the chunk's bytes, as many as it was just asked for.
      unsafe packed.withUnsafeMutableBytes { bytes in
        unsafe chdf5_read_chunk(dataset, offset, &leftOut, bytes.baseAddress)
      }
    }
    var (bytes, isPacked) = (stored, true)
    for (index, filter) in filters.enumerated().reversed() where leftOut >> index & 1 == 0 {
      switch filter {
      case H5Z_FILTER_SHUFFLE: break
      case H5Z_FILTER_FLETCHER32:
        bytes -= Self.checksumBytes
        if bytes < 0 { return stored }
      case H5Z_FILTER_DEFLATE:
        // What is no whole stream the library refuses by itself; nobody deflates twice.
        guard isPacked, let inflated = Inflation.byteCount(of: packed, atMost: byteCount + 1)
        else { return nil }
        (bytes, isPacked) = (inflated, false)
      default: return nil
      }
    }
    return bytes
  }
}

/// What zlib's streams hold.
enum Inflation {
  /// Bytes that come out of a stream (RFC 1950), and no more than `limit` of them.
  ///
  /// Nil where it is damaged or ends too soon. What lies behind it counts for nothing.
  static func byteCount(of packed: [UInt8], atMost limit: Int) -> Int? {
    // Unsafe: zlib's state points back to where it lies, so it stays there; zlib reads and writes no more
    // than the counts say.
    unsafe withUnsafeTemporaryAllocation(of: z_stream.self, capacity: 1) { stream in
      unsafe stream.initialize(repeating: z_stream())
      guard
        let state = stream.baseAddress,
        unsafe inflateInit_(state, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size)) == Z_OK
      else { return nil }
      defer { _ = unsafe inflateEnd(state) }
      return unsafe packed.withUnsafeBytes { source in
        unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1 << 16) { piece in
          unsafe state.pointee.next_in = UnsafeMutablePointer(
            mutating: source.bindMemory(to: UInt8.self).baseAddress)
          unsafe state.pointee.avail_in = CUnsignedInt(clamping: source.count)
          var count = 0
          while true {
            unsafe state.pointee.next_out = piece.baseAddress
            unsafe state.pointee.avail_out = CUnsignedInt(piece.count)
            let status = unsafe inflate(state, Z_NO_FLUSH)
            count += piece.count - Int(unsafe state.pointee.avail_out)
            if status == Z_STREAM_END || count > limit { return min(count, limit) }
            guard status == Z_OK else { return nil }
          }
        }
      }
    }
  }
}
