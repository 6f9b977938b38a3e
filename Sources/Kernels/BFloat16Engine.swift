import CKernels
import COneDNN
import Tensors

/// Frozen products with bf16 operands by oneDNN, on processors that multiply bf16 in tiles (AMX).
///
/// The result is what `Arithmetic.bfloat16` defines, summed in oneDNN's order. The input is rounded
/// to bf16 once, by all workers; then one worker multiplies one block of the result with one thread.
/// A weight stored in bf16 is used where it lies, another rounded tile by tile.
///
/// With f32 operands, rounded all the same, everything but oneDNN's own kernel is the same code:
/// so it is tested on processors without bf16.
final class BFloat16Engine {
  private let operandsAreFloat32: Bool
  private let engine: dnnl_engine_t
  private let streams: [dnnl_stream_t]
  /// By whether B is transposed, and whether C is added to.
  private let matmuls: [OneDNNMatmul]
  private let input: RoundedInput

  init(workers: Int, operandsAreFloat32: Bool) throws(OneDNNError) {
    self.operandsAreFloat32 = operandsAreFloat32
    input = RoundedInput(isWidened: operandsAreFloat32)
    // A primitive remembers how many threads there were when it was made.
    ck_use_one_openmp_thread()
    var engine: dnnl_engine_t?
    try OneDNNCall.check("dnnl_engine_create", dnnl_engine_create(&engine, dnnl_cpu, 0))
    guard let engine else { throw .status(function: "dnnl_engine_create", name: "no engine") }
    var streams: [dnnl_stream_t] = []
    var matmuls: [OneDNNMatmul] = []
    do {
      for _ in 0..<workers {
        var stream: dnnl_stream_t?
        try OneDNNCall.check(
          "dnnl_stream_create",
          dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue))
        if let stream { streams.append(stream) }
      }
      for (transposed, adding) in [(false, false), (false, true), (true, false), (true, true)] {
        matmuls.append(
          try OneDNNMatmul(
            bTransposed: transposed, adding: adding, operandsAreFloat32: operandsAreFloat32,
            engine: engine))
      }
    } catch {
      for stream in streams { dnnl_stream_destroy(stream) }
      dnnl_engine_destroy(engine)
      throw error
    }
    self.engine = engine
    self.streams = streams
    self.matmuls = matmuls
  }

  deinit {
    for stream in streams { dnnl_stream_destroy(stream) }
    dnnl_engine_destroy(engine)
  }

  /// Computes `C (+)= A·op(S) + bias`.
  func multiply(
    _ product: FrozenProduct, _ a: MatrixView, bias: MatrixView?, into c: MatrixView, adding: Bool,
    on compute: Compute
  ) {
    input.take(a, on: compute)
    let isStored = usesStorage(product)
    let tileColumns = Compute.scratchCount * 4 / operandBytes / max(product.inner, 1)
    precondition(isStored || tileColumns > 0, "\(product.inner) features do not fit a tile")
    let shape = BFloat16BlockShape(
      rows: a.rows, columns: product.outer, columnLimit: isStored ? .max : tileColumns)
    compute.forEachBlock(shape.rowBlocks * shape.columnBlocks) { block, worker in
      let rows = blockRange(block % shape.rowBlocks, shape.rowStep, a.rows)
      let columns = blockRange(block / shape.rowBlocks, shape.columnStep, product.outer)
      let target = c.rows(rows).columns(columns)
      let linear = compute.kernels.pointee.linear
      if let bias {
        linear.fill_rows(
          target.base, Int64(target.rowStride), bias.base + columns.lowerBound,
          Int64(target.rows), Int64(target.columns), adding ? 1 : 0)
      }
      let weight: UnsafeMutableRawPointer
      var stride = product.storedStride
      if isStored {
        let element = columns.lowerBound * (product.transposed ? product.storedStride : 1)
        weight = UnsafeMutableRawPointer(mutating: product.storage + element * operandBytes)
      } else {
        weight = UnsafeMutableRawPointer(compute.scratch(worker: worker).base)
        copyTile(product, columns: columns, into: weight, linear)
        stride = product.transposed ? product.inner : columns.count
      }
      run(
        product, input.row(rows.lowerBound), weight, stride: stride, into: target,
        adding: adding || bias != nil,
        worker: worker)
    }
  }

  private var operandBytes: Int { operandsAreFloat32 ? 4 : 2 }

  /// Whether the stored weight can be used where it lies.
  private func usesStorage(_ product: FrozenProduct) -> Bool {
    let operand: ElementType = operandsAreFloat32 ? .float32 : .bfloat16
    return product.elementType == operand
      && Int(bitPattern: product.storage) % operand.byteCount == 0
  }

  private func run(
    _ product: FrozenProduct, _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer,
    stride: Int, into c: MatrixView, adding: Bool, worker: Int
  ) {
    ck_use_one_openmp_thread()
    let matmul = matmuls[(product.transposed ? 2 : 0) + (adding ? 1 : 0)]
    do {
      try matmul.run(
        a, b, aStride: input.stride, bStride: stride, depth: product.inner, into: c, engine: engine,
        stream: streams[worker])
    } catch {
      preconditionFailure("\(error)")
    }
  }

  /// Bytes of the rounded input.
  var inputByteCount: Int { input.byteCount }

  /// Makes room for a rounded input.
  func reserve(rows: Int, columns: Int) { input.reserve(rows: rows, columns: columns) }

  /// The whole depth of some columns of `op(S)`, in S's order.
  private func copyTile(
    _ product: FrozenProduct, columns: Range<Int>, into tile: UnsafeMutableRawPointer,
    _ linear: ck_linear_kernels
  ) {
    let rows = product.transposed ? columns : 0..<product.inner
    let width = product.transposed ? 0..<product.inner : columns
    for (index, row) in rows.enumerated() {
      let element = row * product.storedStride + width.lowerBound
      convert(
        product.storage + element * product.elementType.byteCount, product.elementType,
        to: tile + index * width.count * operandBytes, count: width.count, linear)
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

/// How a product with bf16 operands is cut into blocks: a function of its shape alone.
///
/// oneDNN packs both operands of each call, so that large blocks gain (487 GFLOP/s with 512 by 384
/// where 256 by 192 has 452, of 540 for matrices in the cache; Zen 5); but a handful must be there
/// to be shared out.
struct BFloat16BlockShape {
  private static let maxRows = 512
  private static let maxColumns = 384
  private static let wantedBlocks = 8

  let rowStep: Int
  let columnStep: Int
  let rowBlocks: Int
  let columnBlocks: Int

  init(rows: Int, columns: Int, columnLimit: Int) {
    var (rowLimit, columnStep) = (Self.maxRows, min(Self.maxColumns, columnLimit))
    while blockCount(rows, rowLimit) * blockCount(columns, columnStep) < Self.wantedBlocks {
      if rowLimit > 128 && rows > rowLimit / 2 {
        rowLimit /= 2
      } else if columnStep > 96 && columns > columnStep / 2 {
        columnStep /= 2
      } else {
        break
      }
    }
    rowStep = evenStep(rows, rowLimit)
    self.columnStep = min(evenStep(columns, columnStep), max(columnLimit, 1))
    rowBlocks = blockCount(rows, rowStep)
    columnBlocks = blockCount(columns, self.columnStep)
  }
}
