import COneDNN
import Tensors

/// What oneDNN refused.
public enum OneDNNError: ClassifiedError {
  /// A function returned another status than success.
  case status(function: String, name: String)
  /// A product is possible only by oneDNN's reference code, which is slower than ours.
  case noKernel(product: String, implementation: String)

  /// The run fails; the input is not to blame.
  public var errorClass: ErrorClass { .failure }

  /// What failed, and how to do without.
  public var description: String {
    switch self {
    case .status(let function, let name):
      "oneDNN: \(function) returned \(name). Train with --precision f32, which does without oneDNN."
    case .noKernel(let product, let implementation):
      """
      oneDNN has no kernel of this processor for \(product), only '\(implementation)'. Train with \
      --precision f32, which does without oneDNN.
      """
    }
  }
}

/// The one place where oneDNN's statuses turn into errors.
enum OneDNNCall {
  static func check(_ function: StaticString, _ status: dnnl_status_t) throws(OneDNNError) {
    guard status == dnnl_success else {
      throw .status(function: "\(function)", name: String(cString: dnnl_status2str(status)))
    }
  }
}

/// One product `C = A·op(B)` of fixed shape, ready to run on any worker: C in f32 without gaps.
///
/// The primitive keeps no state (its scratch memory is handed in), so that workers run it at the
/// same time; the memory objects, which hold addresses, exist once for each worker. The
/// corresponding C functions are `dnnl_matmul_desc_init` and `dnnl_primitive_execute` (oneDNN 2.6).
final class OneDNNMatmul {
  /// Shape and strides, and whether operands are f32 (for tests) instead of bf16.
  struct Key: Hashable {
    let rows: Int
    let columns: Int
    let depth: Int
    /// Elements from one stored row of B to the next.
    let bStride: Int
    /// Whether B is stored [columns, depth].
    let bTransposed: Bool
    let operandsAreFloat32: Bool
  }

  /// Bytes of scratch memory a run needs.
  let scratchBytes: Int
  private let primitive: dnnl_primitive_t
  /// A, B, C and scratch memory, four for each worker.
  private let memories: [dnnl_memory_t]

  init(_ key: Key, engine: dnnl_engine_t, workers: Int) throws(OneDNNError) {
    let type = key.operandsAreFloat32 ? dnnl_f32 : dnnl_bf16
    var (a, b, c) = (dnnl_memory_desc_t(), dnnl_memory_desc_t(), dnnl_memory_desc_t())
    try describe(&a, key.rows, key.depth, type, key.depth, 1)
    try describe(
      &b, key.depth, key.columns, type, key.bTransposed ? 1 : key.bStride,
      key.bTransposed ? key.bStride : 1)
    try describe(&c, key.rows, key.columns, dnnl_f32, key.columns, 1)
    var operation = dnnl_matmul_desc_t()
    try OneDNNCall.check(
      "dnnl_matmul_desc_init", dnnl_matmul_desc_init(&operation, &a, &b, nil, &c))
    var attributes: dnnl_primitive_attr_t?
    try OneDNNCall.check("dnnl_primitive_attr_create", dnnl_primitive_attr_create(&attributes))
    defer { dnnl_primitive_attr_destroy(attributes) }
    try OneDNNCall.check(
      "dnnl_primitive_attr_set_scratchpad_mode",
      dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user))
    var descriptor: dnnl_primitive_desc_t?
    try OneDNNCall.check(
      "dnnl_primitive_desc_create",
      dnnl_primitive_desc_create(&descriptor, &operation, attributes, engine, nil))
    defer { dnnl_primitive_desc_destroy(descriptor) }
    var name: UnsafePointer<CChar>?
    try OneDNNCall.check(
      "dnnl_primitive_desc_query",
      dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name))
    let implementation = name.map { String(cString: $0) } ?? "unknown"
    guard !implementation.hasPrefix("ref") else {
      throw .noKernel(
        product: "[\(key.rows), \(key.depth)] times [\(key.depth), \(key.columns)]",
        implementation: implementation)
    }
    guard let scratch = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0)
    else { throw .status(function: "dnnl_primitive_desc_query_md", name: "no description") }
    scratchBytes = dnnl_memory_desc_get_size(scratch)

    var memories: [dnnl_memory_t] = []
    var primitive: dnnl_primitive_t?
    do {
      for _ in 0..<workers {
        memories.append(try makeMemory(&a, engine))
        memories.append(try makeMemory(&b, engine))
        memories.append(try makeMemory(&c, engine))
        memories.append(try makeMemory(scratch, engine))
      }
      try OneDNNCall.check(
        "dnnl_primitive_create", dnnl_primitive_create(&primitive, descriptor))
    } catch {
      for memory in memories { dnnl_memory_destroy(memory) }
      throw error
    }
    guard let primitive else {
      throw .status(function: "dnnl_primitive_create", name: "no primitive")
    }
    self.memories = memories
    self.primitive = primitive
  }

  deinit {
    for memory in memories { dnnl_memory_destroy(memory) }
    dnnl_primitive_destroy(primitive)
  }

  /// Runs the product on the calling thread.
  ///
  /// oneDNN itself allocates a little on each call (its table of arguments).
  func run(
    worker: Int, stream: dnnl_stream_t, a: UnsafeMutableRawPointer, b: UnsafeMutableRawPointer,
    c: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) throws(OneDNNError) {
    let own = 4 * worker
    try point(memories[own], to: a)
    try point(memories[own + 1], to: b)
    try point(memories[own + 2], to: c)
    try point(memories[own + 3], to: scratch)
    let status = withUnsafeTemporaryAllocation(of: dnnl_exec_arg_t.self, capacity: 4) {
      arguments in
      // DNNL_ARG_SRC, _WEIGHTS, _DST and _SCRATCHPAD.
      arguments[0] = dnnl_exec_arg_t(arg: 1, memory: memories[own])
      arguments[1] = dnnl_exec_arg_t(arg: 33, memory: memories[own + 1])
      arguments[2] = dnnl_exec_arg_t(arg: 17, memory: memories[own + 2])
      arguments[3] = dnnl_exec_arg_t(arg: 80, memory: memories[own + 3])
      return dnnl_primitive_execute(primitive, stream, 4, arguments.baseAddress)
    }
    try OneDNNCall.check("dnnl_primitive_execute", status)
    try OneDNNCall.check("dnnl_stream_wait", dnnl_stream_wait(stream))
  }

  private func point(
    _ memory: dnnl_memory_t, to address: UnsafeMutableRawPointer
  ) throws(OneDNNError) {
    try OneDNNCall.check(
      "dnnl_memory_set_data_handle", dnnl_memory_set_data_handle(memory, address))
  }
}

private func describe(
  _ descriptor: inout dnnl_memory_desc_t, _ rows: Int, _ columns: Int, _ type: dnnl_data_type_t,
  _ rowStride: Int, _ columnStride: Int
) throws(OneDNNError) {
  // dnnl_dims_t is an array of DNNL_MAX_NDIMS numbers, of which the first two count.
  var sizes = [Int64](repeating: 0, count: 12)
  var strides = sizes
  (sizes[0], sizes[1]) = (Int64(rows), Int64(columns))
  (strides[0], strides[1]) = (Int64(rowStride), Int64(columnStride))
  try OneDNNCall.check(
    "dnnl_memory_desc_init_by_strides",
    dnnl_memory_desc_init_by_strides(&descriptor, 2, &sizes, type, &strides))
}

private func makeMemory(
  _ descriptor: UnsafePointer<dnnl_memory_desc_t>, _ engine: dnnl_engine_t
) throws(OneDNNError) -> dnnl_memory_t {
  var memory: dnnl_memory_t?
  try OneDNNCall.check(
    "dnnl_memory_create", dnnl_memory_create(&memory, descriptor, engine, nil))
  guard let memory else { throw .status(function: "dnnl_memory_create", name: "no memory") }
  return memory
}
