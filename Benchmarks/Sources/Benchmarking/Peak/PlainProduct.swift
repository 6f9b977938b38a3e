import CKernels
import COneDNN
import COpenBLAS
import Kernels
import Tensors

/// The sizes of a product `C = A·op(B)`: A [rows, depth], C [rows, columns].
struct ProductShape: Hashable, Sendable {
  let rows: Int
  let depth: Int
  let columns: Int
  /// Whether B is stored [columns, depth], as a weight is that maps `depth` to `columns`.
  let bTransposed: Bool

  /// Floating-point operations.
  var operations: Double { 2 * Double(rows) * Double(depth) * Double(columns) }
}

/// What the libraries make of a product when nothing hinders them: the bound of our products.
///
/// Each thread multiplies matrices of its own, with the library's own single-threaded call, operands
/// end to end and in the arithmetic's own type: no widening, no rounding, no sharing out, nobody to
/// wait for. Only B, the frozen weight, is the same for all threads, as it is in training.
final class PlainProduct {
  /// Whose call.
  enum Library: String, Sendable, CaseIterable {
    case openBLAS = "OpenBLAS"
    case oneDNN = "oneDNN"
  }

  let shape: ProductShape
  private let library: Library
  private let weight: UnsafeMutableRawPointer
  private let inputs: [UnsafeMutableRawPointer]
  private let results: [OwnedMatrix]
  private let bfloat16: [BFloat16Product]

  /// Fills operands for `threads` products at a time.
  ///
  /// - Returns: nil where the library has no such product.
  init?(_ shape: ProductShape, precision: Precision, library: Library, threads: Int) {
    self.shape = shape
    self.library = library
    if precision == .bf16 {
      guard library == .oneDNN else { return nil }
      let products = (0..<threads).compactMap { _ in BFloat16Product(shape) }
      guard products.count == threads else { return nil }
      bfloat16 = products
    } else {
      bfloat16 = []
    }
    let type = precision.elementType
    weight = PlainProduct.operand(shape.depth * shape.columns, type, seed: 1)
    inputs = (0..<threads).map {
      PlainProduct.operand(shape.rows * shape.depth, type, seed: UInt64($0 + 2))
    }
    results = (0..<threads).map { _ in OwnedMatrix(shape.rows, shape.columns) }
  }

  deinit {
    weight.deallocate()
    for input in inputs { input.deallocate() }
  }

  /// Floating-point operations a second of all threads together, over at least `leastSeconds`.
  func operationsPerSecond(leastSeconds: Double, on compute: Compute) -> Double {
    let threads = inputs.count
    // Enough of them in a row that waking threads does not show: some 5 milliseconds.
    let once = Stopwatch.seconds { run(0) }
    let inRow = max(1, Int((0.005 / max(once, 1e-9)).rounded(.up)))
    let seconds = Stopwatch.secondsPerCall(leastSeconds: leastSeconds) {
      compute.forEachBlock(threads) { block, _ in
        for _ in 0..<inRow { self.run(block) }
      }
    }
    return Double(threads * inRow) * shape.operations / seconds
  }

  /// One product on the calling thread.
  func run(_ block: Int) {
    let c = results[block].view
    ck_use_one_openmp_thread()
    if !bfloat16.isEmpty {
      return bfloat16[block].run(inputs[block], weight, UnsafeMutableRawPointer(c.base))
    }
    let a = inputs[block].assumingMemoryBound(to: Float.self)
    let b = weight.assumingMemoryBound(to: Float.self)
    let strideB = shape.bTransposed ? shape.depth : shape.columns
    if library == .openBLAS {
      cblas_sgemm(
        CblasRowMajor, CblasNoTrans, shape.bTransposed ? CblasTrans : CblasNoTrans,
        CInt(shape.rows), CInt(shape.columns), CInt(shape.depth), 1, a, CInt(shape.depth), b,
        CInt(strideB), 0, c.base, CInt(shape.columns))
    } else {
      let transposed = CChar(UInt8(ascii: shape.bTransposed ? "T" : "N"))
      _ = dnnl_sgemm(
        CChar(UInt8(ascii: "N")), transposed, Int64(shape.rows), Int64(shape.columns),
        Int64(shape.depth), 1, a, Int64(shape.depth), b, Int64(strideB), 0, c.base,
        Int64(shape.columns))
    }
  }

  /// What the last product of a block came to.
  func result(_ block: Int) -> MatrixView { results[block].view }

  /// An operand's values, for checking.
  func operands(_ block: Int, precision: Precision) -> (a: [Double], b: [Double]) {
    func values(_ memory: UnsafeMutableRawPointer, _ count: Int) -> [Double] {
      (0..<count).map { index in
        precision == .f32
          ? Double(memory.load(fromByteOffset: 4 * index, as: Float.self))
          : Double(
            Float(
              bitPattern: UInt32(memory.load(fromByteOffset: 2 * index, as: UInt16.self)) << 16))
      }
    }
    return (
      values(inputs[block], shape.rows * shape.depth),
      values(weight, shape.depth * shape.columns)
    )
  }

  private static func operand(
    _ count: Int, _ type: ElementType, seed: UInt64
  ) -> UnsafeMutableRawPointer {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: max(count, 1) * type.byteCount, alignment: 64)
    let random = FastRandom(seed: seed)
    let piece = OwnedMatrix(1, 4096)
    for start in stride(from: 0, to: count, by: 4096) {
      let length = min(4096, count - start)
      random.fill(piece.view.columns(0..<length), from: start)
      for index in 0..<length {
        let value = piece.view.base[index]
        if type == .float32 {
          memory.storeBytes(of: value, toByteOffset: 4 * (start + index), as: Float.self)
        } else {
          memory.storeBytes(
            of: bfloat16Bits(value), toByteOffset: 2 * (start + index), as: UInt16.self)
        }
      }
    }
    return memory
  }
}

/// One bf16 product of known sizes by oneDNN, result in f32, for one thread.
///
/// Operands lie as they are, row by row, as in training. The corresponding C functions are
/// `dnnl_matmul_desc_init` and `dnnl_primitive_execute` (oneDNN 2.6).
final class BFloat16Product {
  private var engine: dnnl_engine_t?
  private var stream: dnnl_stream_t?
  private var primitive: dnnl_primitive_t?
  private var a = dnnl_memory_desc_t()
  private var b = dnnl_memory_desc_t()
  private var c = dnnl_memory_desc_t()

  /// - Returns: nil where oneDNN refuses.
  init?(_ shape: ProductShape) {
    ck_use_one_openmp_thread()
    var operation = dnnl_matmul_desc_t()
    var descriptor: dnnl_primitive_desc_t?
    guard dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success,
      dnnl_stream_create(&stream, engine, dnnl_stream_default_flags.rawValue) == dnnl_success,
      BFloat16Product.describe(&a, shape.rows, shape.depth, dnnl_bf16, isTransposed: false),
      BFloat16Product.describe(
        &b, shape.depth, shape.columns, dnnl_bf16, isTransposed: shape.bTransposed),
      BFloat16Product.describe(&c, shape.rows, shape.columns, dnnl_f32, isTransposed: false),
      dnnl_matmul_desc_init(&operation, &a, &b, nil, &c) == dnnl_success,
      dnnl_primitive_desc_create(&descriptor, &operation, nil, engine, nil) == dnnl_success
    else { return nil }
    defer { dnnl_primitive_desc_destroy(descriptor) }
    guard dnnl_primitive_create(&primitive, descriptor) == dnnl_success else { return nil }
  }

  deinit {
    if let primitive { dnnl_primitive_destroy(primitive) }
    if let stream { dnnl_stream_destroy(stream) }
    if let engine { dnnl_engine_destroy(engine) }
  }

  func run(
    _ x: UnsafeMutableRawPointer, _ w: UnsafeMutableRawPointer, _ y: UnsafeMutableRawPointer
  ) {
    var memories: [dnnl_memory_t?] = [nil, nil, nil]
    defer { for memory in memories { dnnl_memory_destroy(memory) } }
    var status = dnnl_memory_create(&memories[0], &a, engine, x)
    if status == dnnl_success { status = dnnl_memory_create(&memories[1], &b, engine, w) }
    if status == dnnl_success { status = dnnl_memory_create(&memories[2], &c, engine, y) }
    // DNNL_ARG_SRC, _WEIGHTS and _DST.
    let arguments = zip([CInt(1), 33, 17], memories).map { dnnl_exec_arg_t(arg: $0, memory: $1) }
    if status == dnnl_success { status = dnnl_primitive_execute(primitive, stream, 3, arguments) }
    if status == dnnl_success { status = dnnl_stream_wait(stream) }
    precondition(status == dnnl_success, "oneDNN: \(String(cString: dnnl_status2str(status)))")
  }

  private static func describe(
    _ target: inout dnnl_memory_desc_t, _ rows: Int, _ columns: Int, _ type: dnnl_data_type_t,
    isTransposed: Bool
  ) -> Bool {
    // dnnl_dims_t is an array of DNNL_MAX_NDIMS numbers, of which the first two count.
    var sizes = [Int64](repeating: 0, count: 12)
    var strides = sizes
    (sizes[0], sizes[1]) = (Int64(rows), Int64(columns))
    (strides[0], strides[1]) = isTransposed ? (1, Int64(rows)) : (Int64(columns), 1)
    return dnnl_memory_desc_init_by_strides(&target, 2, sizes, type, strides) == dnnl_success
  }
}
