import CKernels
import Diagnostics
import Tensors

/// The threads that compute, a piece of memory for each, and the kernels this processor runs best.
///
/// ```swift
/// let compute = Compute(threads: 4)
/// compute.forEachBlock(rowBlocks) { block, worker in ... }
/// ```
///
/// Kernels cut their work into blocks whose shapes depend on the problem only, and each block is one
/// single-threaded computation, so that results do not depend on the number of threads to the last
/// bit.
///
/// One instance belongs to one thread, the one that calls the kernels: it is not `Sendable`.
/// Its threads run wherever the system puts them until ``bindThreads(to:)`` says otherwise.
public final class Compute {
  /// Floats of private memory a worker has: 2 MiB.
  public static let scratchCount = 512 * 1024

  /// Number of threads, the caller's among them.
  public let threadCount: Int
  /// The functions in C for this processor.
  let kernels: UnsafePointer<ck_kernels>
  /// A product of matrices on one thread.
  let product: PackedProduct
  /// Attention with operands in f32.
  let float32Attention: UnsafePointer<ck_attention_kernels>
  /// Attention with operands rounded to bf16, by the processor's instruction or emulated.
  let bfloat16Attention: UnsafePointer<ck_attention_kernels>
  private let bfloat16Engine: ProductEngine
  /// The left operand of a product in bf16.
  let roundedInput: RoundedInput
  /// Who times the parts of a step; nobody unless a profile was asked for.
  public var profiler: StepProfiler?
  private let pool: OpaquePointer
  private let scratch: FloatBuffer

  /// Starts `threads - 1` threads, which sleep while there is nothing to do, for the best
  /// instruction set that this processor has.
  public convenience init(threads: Int) {
    self.init(threads: threads, kernels: ck_kernels_best(), bfloat16: .native)
  }

  /// The same for another instruction set; nil is the best one.
  ///
  /// A bf16 instruction belongs to its set: the others emulate it.
  ///
  /// - Throws: where the processor does not have it.
  public convenience init(
    threads: Int, instructionSet: InstructionSet?
  ) throws(UnavailableInstructionSet) {
    try self.init(
      threads: threads, instructionSet: instructionSet ?? .best, bfloat16: .native)
  }

  /// Who computes products with bf16 operands, and attention in bf16.
  package enum BFloat16Products {
    /// The f32 kernels, with operands rounded to bf16 and widened again.
    case emulated
    /// The processor's bf16 instruction, where it has one.
    case native
  }

  /// The same, with a choice of who computes products with bf16 operands.
  package convenience init(threads: Int, bfloat16: BFloat16Products) {
    self.init(threads: threads, kernels: ck_kernels_best(), bfloat16: bfloat16)
  }

  /// The same for an instruction set.
  package convenience init(
    threads: Int, instructionSet: InstructionSet, bfloat16: BFloat16Products
  ) throws(UnavailableInstructionSet) {
    guard let kernels = ck_kernels_named(instructionSet.rawValue) else {
      throw UnavailableInstructionSet(asked: instructionSet)
    }
    self.init(threads: threads, kernels: kernels, bfloat16: bfloat16)
  }

  private init(
    threads: Int, kernels: UnsafePointer<ck_kernels>, bfloat16: BFloat16Products
  ) {
    precondition(threads >= 1, "\(threads) threads")
    guard let pool = ck_pool_create(CInt(threads)) else {
      preconditionFailure("the system refused to start \(threads - 1) threads")
    }
    self.pool = pool
    threadCount = threads
    self.kernels = kernels
    product = PackedProduct(kernels)
    float32Attention = ck_f32_attention(kernels)
    bfloat16Attention =
      bfloat16 == .native ? ck_bf16_attention(kernels) : float32Attention
    scratch = FloatBuffer(count: threads * Compute.scratchCount)
    bfloat16Engine = ProductEngine(
      .bfloat16, product, emulatesBFloat16: bfloat16 == .emulated)
    roundedInput = RoundedInput(isWidened: bfloat16Engine == .roundedFloat32)
  }

  deinit { ck_pool_destroy(pool) }

  /// The instruction set of the kernels.
  public var instructionSet: InstructionSet {
    guard let set = InstructionSet(rawValue: String(cString: kernels.pointee.name)) else {
      preconditionFailure("kernels of an unknown instruction set")
    }
    return set
  }

  /// How products with bf16 operands are summed.
  ///
  /// Results of one way are not those of another.
  ///
  /// Emulation is as products of f32, on every processor: operands are rounded, then multiplied and
  /// added fused. An instruction has a way of its own.
  public var bfloat16Definition: String {
    bfloat16Engine == .bfloat16 ? product.name : "emulation"
  }

  /// Whether products with bf16 operands are computed by the processor's own instructions.
  public var hasNativeBFloat16: Bool { bfloat16Engine == .bfloat16 }

  /// The products in an arithmetic, such as `packed avx2`, for people to read.
  public func productName(_ arithmetic: Arithmetic) -> String {
    switch engine(arithmetic) {
    case .float32: product.floatName
    case .roundedFloat32: product.floatName + ", operands rounded to bf16"
    case .bfloat16: product.name
    }
  }

  /// How products with a frozen weight are computed.
  func engine(_ arithmetic: Arithmetic) -> ProductEngine {
    arithmetic == .float32 ? .float32 : bfloat16Engine
  }

  /// Whether this processor multiplies bf16 numbers natively.
  public static var hasNativeBFloat16: Bool { ck_has_native_bf16() != 0 }

  /// Lets each thread run on some processors only.
  ///
  /// The calling thread is one of them, and stays bound when this instance goes. The corresponding
  /// C function is `pthread_setaffinity_np` (Linux).
  ///
  /// - Parameter processors: for each thread the numbers of its processors, as the kernel counts
  ///   them; `threadCount` lists, none of them empty.
  /// - Returns: whether the system did so for all of them.
  public func bindThreads(to processors: [[Int]]) -> Bool {
    precondition(
      processors.count == threadCount, "\(processors.count) places for \(threadCount) threads")
    var isBound = true
    for (worker, list) in processors.enumerated() {
      let numbers = list.map { Int32($0) }
      isBound =
        ck_pool_bind(pool, CInt(worker), numbers, CInt(numbers.count)) == 0 && isBound
    }
    return isBound
  }

  /// Calls `body` for every block in `0 ..< count`, on all threads, and returns when all are done.
  ///
  /// Each thread, the calling one too, begins with its own share of consecutive blocks and then takes
  /// what others have left. Where block after block is row after row, in one job as in the next, a
  /// thread finds the rows that it wrote in its own caches.
  /// A call inside a block runs its blocks one after the other on the same worker, which then
  /// shares that worker's scratch memory with the outer block. Nothing is allocated.
  ///
  /// - Parameter count: number of blocks.
  /// - Parameter body: gets the block and the number of the worker that runs it, below
  ///   `threadCount`. It must not depend on the worker but for scratch memory.
  public func forEachBlock(_ count: Int, _ body: (_ block: Int, _ worker: Int) -> Void) {
    precondition(count >= 0 && count <= Int32.max, "\(count) blocks")
    RunProgress.tick()
    guard let profiler, profiler.beginJob() else { return runBlocks(pool, count, body) }
    runBlocks(pool, count) { block, worker in
      let start = StepProfiler.now()
      body(block, worker)
      profiler.didRunBlock(worker: worker, start: start, end: StepProfiler.now())
    }
    profiler.endJob()
  }

  /// Makes room for products whose left operand has up to so many rows and columns, so that none of
  /// them allocates; without it the room grows with the largest seen.
  public func reserve(operandRows rows: Int, columns: Int) {
    roundedInput.reserve(rows: rows, columns: columns)
  }

  /// Bytes that there will be once room is reserved for these operands.
  public func byteCount(reserving operands: [(rows: Int, columns: Int)]) -> Int {
    let floats = operands.map { roundedInput.floatCount(rows: $0.rows, columns: $0.columns) }
    let room = (floats.max() ?? 0) * MemoryLayout<Float>.stride
    return byteCount + max(room - roundedInput.byteCount, 0)
  }

  /// Bytes of the threads' memory, and of the left operand that they share.
  public var byteCount: Int {
    scratch.count * MemoryLayout<Float>.stride + roundedInput.byteCount
  }

  /// The private memory of a worker, one row of `scratchCount` floats.
  ///
  /// Its floats are undefined until they are written.
  public func scratch(worker: Int) -> MatrixView {
    scratch.view(
      offset: worker * Compute.scratchCount, rows: 1, columns: Compute.scratchCount)
  }
}

/// `ck_pool_run`, whose last two parameters are the two words of a Swift closure: imported by name,
/// because a closure that does not escape cannot be handed to C in any other way without a box.
@_silgen_name("ck_pool_run")
private func runBlocks(_ pool: OpaquePointer, _ count: Int, _ body: (Int, Int) -> Void)

/// Whole numbers of `step` that cover `count`.
func blockCount(_ count: Int, _ step: Int) -> Int { (count + step - 1) / step }

/// The part of `0 ..< count` that block number `block` of `step` covers.
func blockRange(_ block: Int, _ step: Int, _ count: Int) -> Range<Int> {
  block * step..<min((block + 1) * step, count)
}
