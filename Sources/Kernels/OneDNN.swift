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

/// Products `C (+)= A·op(B)` of any shape, C in f32: one primitive whose sizes are known when it runs.
///
/// The primitive keeps no state, so that workers run it at the same time. oneDNN's choice for sizes
/// that are not known before is its packing product (`gemm:jit`), which takes any strides. The
/// corresponding C functions are `dnnl_matmul_desc_init` and `dnnl_primitive_execute` (oneDNN 2.6).
final class OneDNNMatmul {
  private let primitive: dnnl_primitive_t
  private let bTransposed: Bool
  private let operandType: dnnl_data_type_t

  /// - Parameters:
  ///   - bTransposed: whether B is stored [columns, depth].
  ///   - adding: whether C is added to.
  ///   - operandsAreFloat32: whether A and B are f32 (for tests) instead of bf16.
  init(
    bTransposed: Bool, adding: Bool, operandsAreFloat32: Bool, engine: dnnl_engine_t
  ) throws(OneDNNError) {
    self.bTransposed = bTransposed
    operandType = operandsAreFloat32 ? dnnl_f32 : dnnl_bf16
    let any = Int(Int64.min)  // DNNL_RUNTIME_DIM_VAL
    var a = try description(any, any, operandType, any, 1)
    var b = try description(any, any, operandType, bTransposed ? 1 : any, bTransposed ? any : 1)
    var c = try description(any, any, dnnl_f32, any, 1)
    var operation = dnnl_matmul_desc_t()
    try OneDNNCall.check(
      "dnnl_matmul_desc_init", dnnl_matmul_desc_init(&operation, &a, &b, nil, &c))
    var attributes: dnnl_primitive_attr_t?
    try OneDNNCall.check("dnnl_primitive_attr_create", dnnl_primitive_attr_create(&attributes))
    defer { dnnl_primitive_attr_destroy(attributes) }
    if adding { try OneDNNMatmul.appendSum(to: attributes) }
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
        product: operandsAreFloat32 ? "f32" : "bf16", implementation: implementation)
    }
    var primitive: dnnl_primitive_t?
    try OneDNNCall.check("dnnl_primitive_create", dnnl_primitive_create(&primitive, descriptor))
    guard let primitive else {
      throw .status(function: "dnnl_primitive_create", name: "no primitive")
    }
    self.primitive = primitive
  }

  deinit { dnnl_primitive_destroy(primitive) }

  private static func appendSum(to attributes: dnnl_primitive_attr_t?) throws(OneDNNError) {
    var operations: dnnl_post_ops_t?
    try OneDNNCall.check("dnnl_post_ops_create", dnnl_post_ops_create(&operations))
    defer { dnnl_post_ops_destroy(operations) }
    try OneDNNCall.check("dnnl_post_ops_append_sum", dnnl_post_ops_append_sum(operations, 1))
    try OneDNNCall.check(
      "dnnl_primitive_attr_set_post_ops", dnnl_primitive_attr_set_post_ops(attributes, operations))
  }

  /// Runs the product on the calling thread.
  ///
  /// oneDNN allocates a little on each call, for its table of arguments and packed operands.
  ///
  /// - Parameters:
  ///   - a: [c.rows, depth].
  ///   - b: [depth, c.columns], or [c.columns, depth] when transposed.
  ///   - aStride: elements from one row of A to the next.
  ///   - bStride: elements from one stored row of B to the next.
  func run(
    _ a: UnsafeMutableRawPointer, _ b: UnsafeMutableRawPointer, aStride: Int, bStride: Int,
    depth: Int,
    into c: MatrixView, engine: dnnl_engine_t, stream: dnnl_stream_t
  ) throws(OneDNNError) {
    let memoryA = try memory(
      try description(c.rows, depth, operandType, aStride, 1), engine, at: a)
    defer { dnnl_memory_destroy(memoryA) }
    let memoryB = try memory(
      try description(
        depth, c.columns, operandType, bTransposed ? 1 : bStride, bTransposed ? bStride : 1),
      engine, at: b)
    defer { dnnl_memory_destroy(memoryB) }
    let memoryC = try memory(
      try description(c.rows, c.columns, dnnl_f32, c.rowStride, 1), engine,
      at: UnsafeMutableRawPointer(c.base))
    defer { dnnl_memory_destroy(memoryC) }
    let status = withUnsafeTemporaryAllocation(of: dnnl_exec_arg_t.self, capacity: 3) {
      arguments in
      // DNNL_ARG_SRC, _WEIGHTS and _DST.
      arguments[0] = dnnl_exec_arg_t(arg: 1, memory: memoryA)
      arguments[1] = dnnl_exec_arg_t(arg: 33, memory: memoryB)
      arguments[2] = dnnl_exec_arg_t(arg: 17, memory: memoryC)
      return dnnl_primitive_execute(primitive, stream, 3, arguments.baseAddress)
    }
    try OneDNNCall.check("dnnl_primitive_execute", status)
    try OneDNNCall.check("dnnl_stream_wait", dnnl_stream_wait(stream))
  }
}

private func description(
  _ rows: Int, _ columns: Int, _ type: dnnl_data_type_t, _ rowStride: Int, _ columnStride: Int
) throws(OneDNNError) -> dnnl_memory_desc_t {
  var result = dnnl_memory_desc_t()
  // dnnl_dims_t is an array of DNNL_MAX_NDIMS numbers, of which the first two count.
  let status = withUnsafeTemporaryAllocation(of: Int64.self, capacity: 24) { numbers in
    numbers.initialize(repeating: 0)
    (numbers[0], numbers[1]) = (Int64(rows), Int64(columns))
    (numbers[12], numbers[13]) = (Int64(rowStride), Int64(columnStride))
    let sizes = numbers.baseAddress
    return dnnl_memory_desc_init_by_strides(&result, 2, sizes, type, sizes.map { $0 + 12 })
  }
  try OneDNNCall.check("dnnl_memory_desc_init_by_strides", status)
  return result
}

private func memory(
  _ description: dnnl_memory_desc_t, _ engine: dnnl_engine_t, at address: UnsafeMutableRawPointer
) throws(OneDNNError) -> dnnl_memory_t {
  var description = description
  var memory: dnnl_memory_t?
  try OneDNNCall.check(
    "dnnl_memory_create", dnnl_memory_create(&memory, &description, engine, address))
  guard let memory else { throw .status(function: "dnnl_memory_create", name: "no memory") }
  return memory
}
