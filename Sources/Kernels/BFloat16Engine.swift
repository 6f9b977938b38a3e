import CKernels
import COneDNN
import Tensors

/// Frozen products with bf16 operands by oneDNN, on processors that multiply bf16 natively.
///
/// The result is what `Arithmetic.bfloat16` defines, summed in oneDNN's order. Blocks are cut as in
/// `FrozenProduct`: one worker multiplies one block with one thread. Activations are rounded to bf16
/// into the worker's memory; a weight stored in bf16 is used where it lies. Rows are padded to a
/// multiple of 64, so that few different primitives serve micro-batches of any length; they are made
/// by the calling thread when a shape comes first.
///
/// With f32 operands, rounded all the same, everything but oneDNN's own kernel is the same code:
/// so it is tested on processors without bf16.
final class BFloat16Engine {
  /// Rows of a block, a multiple of `rowUnit`; columns; length of the partial sums.
  static let maxRows = 256
  static let rowUnit = 64
  static let maxColumns = 192
  static let maxDepth = 2048

  private let operandsAreFloat32: Bool
  private let engine: dnnl_engine_t
  private let streams: [dnnl_stream_t]
  private var matmuls: [OneDNNMatmul.Key: OneDNNMatmul] = [:]
  /// Shapes that oneDNN refused; they are emulated.
  private var refused: Set<OneDNNMatmul.Key> = []
  /// For each worker: A, B and C of a block, and oneDNN's scratch memory.
  private var buffer: FloatBuffer
  private var scratchFloats = 0
  private let workers: Int

  private static let aFloats = maxRows * maxDepth
  private static let bFloats = maxColumns * maxDepth
  private static let cFloats = maxRows * maxColumns
  private static let blockFloats = aFloats + bFloats + cFloats

  init(workers: Int, operandsAreFloat32: Bool) throws(OneDNNError) {
    self.workers = workers
    self.operandsAreFloat32 = operandsAreFloat32
    var engine: dnnl_engine_t?
    try OneDNNCall.check("dnnl_engine_create", dnnl_engine_create(&engine, dnnl_cpu, 0))
    guard let engine else { throw .status(function: "dnnl_engine_create", name: "no engine") }
    var streams: [dnnl_stream_t] = []
    do {
      for _ in 0..<workers {
        var stream: dnnl_stream_t?
        try OneDNNCall.check(
          "dnnl_stream_create",
          dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue))
        if let stream { streams.append(stream) }
      }
    } catch {
      for stream in streams { dnnl_stream_destroy(stream) }
      dnnl_engine_destroy(engine)
      throw error
    }
    self.engine = engine
    self.streams = streams
    buffer = FloatBuffer(count: workers * BFloat16Engine.blockFloats)
  }

  deinit {
    matmuls = [:]
    for stream in streams { dnnl_stream_destroy(stream) }
    dnnl_engine_destroy(engine)
  }

  /// Whether oneDNN has accepted any product.
  var hasMultiplied: Bool { !matmuls.isEmpty }

  /// Computes `C (+)= A·op(S) + bias`, or returns false where oneDNN cannot.
  func multiply(
    _ product: FrozenProduct, _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool,
    on compute: Compute
  ) -> Bool {
    guard product.inner > 0 else { return false }
    let rowBlocks = blockCount(a.rows, BFloat16Engine.maxRows)
    let columnStep = min(product.outer, BFloat16Engine.maxColumns)
    let depthStep = BFloat16Engine.depthStep(product.inner)
    guard prepare(product, rows: a.rows, columnStep: columnStep, depthStep: depthStep) else {
      return false
    }
    compute.forEachBlock(rowBlocks * blockCount(product.outer, columnStep)) { block, worker in
      ck_use_one_openmp_thread()
      let rows = blockRange(block % rowBlocks, BFloat16Engine.maxRows, a.rows)
      let columns = blockRange(block / rowBlocks, columnStep, product.outer)
      let target = c.rows(rows).columns(columns)
      let linear = compute.kernels.pointee.linear
      if let bias {
        linear.fill_rows(
          target.base, Int64(target.rowStride), bias.base + columns.lowerBound,
          Int64(target.rows), Int64(target.columns), adding ? 1 : 0)
      }
      for part in 0..<blockCount(product.inner, depthStep) {
        let depth = blockRange(part, depthStep, product.inner)
        multiplyBlock(
          product, a.rows(rows).columns(depth), depth: depth, columns: columns, into: target,
          adding: adding || bias != nil || part > 0, worker: worker, linear)
      }
    }
    return true
  }

  private static func depthStep(_ inner: Int) -> Int {
    let parts = blockCount(inner, maxDepth)
    return (blockCount(inner, parts) + 31) & ~31
  }

  /// Whether the stored weight can be used where it lies.
  private func usesStorage(_ product: FrozenProduct) -> Bool {
    let operand: ElementType = operandsAreFloat32 ? .float32 : .bfloat16
    return product.elementType == operand
      && Int(bitPattern: product.storage) % operand.byteCount == 0
  }

  private func key(
    _ product: FrozenProduct, rows: Int, columns: Int, depth: Int
  ) -> OneDNNMatmul.Key {
    let tileStride = product.transposed ? depth : columns
    return OneDNNMatmul.Key(
      rows: (rows + BFloat16Engine.rowUnit - 1) / BFloat16Engine.rowUnit * BFloat16Engine.rowUnit,
      columns: columns, depth: depth,
      bStride: usesStorage(product) ? product.storedStride : tileStride,
      bTransposed: product.transposed, operandsAreFloat32: operandsAreFloat32)
  }

  /// Makes the primitives for every shape of block that occurs.
  private func prepare(
    _ product: FrozenProduct, rows: Int, columnStep: Int, depthStep: Int
  ) -> Bool {
    func sizes(_ count: Int, _ step: Int) -> (first: Int, last: Int) {
      (min(step, count), count - (blockCount(count, step) - 1) * step)
    }
    let rowSizes = sizes(rows, BFloat16Engine.maxRows)
    let columnSizes = sizes(product.outer, columnStep)
    let depthSizes = sizes(product.inner, depthStep)
    for corner in 0..<8 {
      let key = key(
        product, rows: corner & 1 == 0 ? rowSizes.first : rowSizes.last,
        columns: corner & 2 == 0 ? columnSizes.first : columnSizes.last,
        depth: corner & 4 == 0 ? depthSizes.first : depthSizes.last)
      guard makeMatmul(key) else { return false }
    }
    return true
  }

  private func makeMatmul(_ key: OneDNNMatmul.Key) -> Bool {
    if matmuls[key] != nil { return true }
    if refused.contains(key) { return false }
    do {
      ck_use_one_openmp_thread()
      let matmul = try OneDNNMatmul(key, engine: engine, workers: workers)
      let floats = (matmul.scratchBytes + 63) / 64 * 16
      if floats > scratchFloats {
        scratchFloats = floats
        buffer = FloatBuffer(count: workers * (BFloat16Engine.blockFloats + floats))
      }
      matmuls[key] = matmul
      return true
    } catch {
      refused.insert(key)
      return false
    }
  }

  private func multiplyBlock(
    _ product: FrozenProduct, _ a: MatrixView, depth: Range<Int>, columns: Range<Int>,
    into c: MatrixView, adding: Bool, worker: Int, _ linear: ck_linear_kernels
  ) {
    let key = key(product, rows: a.rows, columns: columns.count, depth: depth.count)
    guard let matmul = matmuls[key] else { preconditionFailure("no primitive for \(key)") }
    let memory = buffer.base + worker * (BFloat16Engine.blockFloats + scratchFloats)
    let (aTile, bTile) = (memory, memory + BFloat16Engine.aFloats)
    let result = bTile + BFloat16Engine.bFloats
    round(a, paddedTo: key.rows, into: aTile, linear)
    let operandBytes = operandsAreFloat32 ? 4 : 2
    let stored: UnsafeMutableRawPointer
    if usesStorage(product) {
      let element =
        product.transposed
        ? columns.lowerBound * product.storedStride + depth.lowerBound
        : depth.lowerBound * product.storedStride + columns.lowerBound
      stored = UnsafeMutableRawPointer(mutating: product.storage + element * operandBytes)
    } else {
      copyTile(product, depth: depth, columns: columns, into: bTile, linear)
      stored = UnsafeMutableRawPointer(bTile)
    }
    do {
      try matmul.run(
        worker: worker, stream: streams[worker], a: UnsafeMutableRawPointer(aTile), b: stored,
        c: UnsafeMutableRawPointer(result),
        scratch: UnsafeMutableRawPointer(result + BFloat16Engine.cFloats))
    } catch {
      preconditionFailure("\(error)")
    }
    for row in 0..<a.rows {
      let target = c.base + row * c.rowStride
      if adding {
        linear.add_scaled(target, result + row * c.columns, 1, Int64(c.columns))
      } else {
        target.update(from: result + row * c.columns, count: c.columns)
      }
    }
  }

  /// A's rows rounded to bf16, without gaps, and zeros up to the padded number of rows.
  private func round(
    _ a: MatrixView, paddedTo rows: Int, into tile: UnsafeMutablePointer<Float>,
    _ linear: ck_linear_kernels
  ) {
    let bytes = a.columns * (operandsAreFloat32 ? 4 : 2)
    let start = UnsafeMutableRawPointer(tile)
    for row in 0..<a.rows {
      convert(
        a.base + row * a.rowStride, .float32, to: start + row * bytes, count: a.columns, linear)
    }
    (start + a.rows * bytes).initializeMemory(
      as: UInt8.self, repeating: 0, count: (rows - a.rows) * bytes)
  }

  private func copyTile(
    _ product: FrozenProduct, depth: Range<Int>, columns: Range<Int>,
    into tile: UnsafeMutablePointer<Float>, _ linear: ck_linear_kernels
  ) {
    let rows = product.transposed ? columns : depth
    let width = product.transposed ? depth : columns
    let bytes = width.count * (operandsAreFloat32 ? 4 : 2)
    for (index, row) in rows.enumerated() {
      let element = row * product.storedStride + width.lowerBound
      convert(
        product.storage + element * product.elementType.byteCount, product.elementType,
        to: UnsafeMutableRawPointer(tile) + index * bytes, count: width.count, linear)
    }
  }

  private func convert(
    _ source: UnsafeRawPointer, _ type: ElementType, to target: UnsafeMutableRawPointer,
    count: Int, _ linear: ck_linear_kernels
  ) {
    if operandsAreFloat32 {
      linear.expand_rounded(
        target.assumingMemoryBound(to: Float.self), source, type.stored, Int64(count))
    } else {
      linear.narrow(
        target.assumingMemoryBound(to: UInt16.self), source, type.stored, Int64(count))
    }
  }
}
