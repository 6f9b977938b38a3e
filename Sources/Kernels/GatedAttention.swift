import CKernels
import Tensors

// T tokens, N query heads, K key/value heads, D head dimension, P prompt rows.

/// Attention over prompt rows alone, times a gate: `out += gate · softmax(scale · q Kᵀ) V`.
///
/// LLaMA-Adapter (Zhang et al., 2023) as Hugging Face PEFT computes it: a softmax of its own, no
/// mask, one gate for all heads and no tanh on it. It keeps nothing; backward computes the softmax
/// again, which for the usual ten rows costs next to nothing. Prompt rows train: all is in f32.
public enum GatedAttention {
  /// Adds the gated attention.
  ///
  /// - Parameters:
  ///   - query: queries, positions applied, [T, N · D].
  ///   - keys: prompt keys, [P, K · D].
  ///   - values: prompt values, [P, K · D].
  ///   - gate: the factor.
  ///   - shape: heads and scale; the window has no meaning here.
  ///   - out: added to, [T, N · D].
  ///   - compute: the threads that compute it.
  public static func forward(
    query: MatrixView, keys: MatrixView, values: MatrixView, gate: Float, shape: AttentionShape,
    addingTo out: MatrixView, on compute: Compute
  ) {
    requireShape(out, query.rows, query.columns, "out")
    guard query.rows > 0 else { return }
    run(query, keys, values, gate, shape) { problem in
      problem.pointee.out = out.from()
      let problem = UnsafePointer(problem)
      let heads = shape.keyValueHeadCount
      let tiles = blockCount(query.rows, ck_attention_positions(shape.groupSize))
      compute.forEachBlock(tiles * heads) { block, worker in
        let tile = block / heads
        compute.float32Attention.pointee.forward(
          problem, 0, block % heads, tile, tile + 1, compute.scratch(worker: worker).base)
      }
    }
  }

  /// Adds the gradients of queries, prompt rows and gate.
  ///
  /// - Parameters:
  ///   - dOut: gradient of the result, [T, N · D].
  ///   - query: as in forward.
  ///   - keys: as in forward.
  ///   - values: as in forward.
  ///   - gate: as in forward.
  ///   - shape: as in forward.
  ///   - dQuery: added to, [T, N · D].
  ///   - dKeys: added to, [P, K · D].
  ///   - dValues: added to, [P, K · D].
  ///   - dGate: added to, [1, 1].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dOut: MatrixView, query: MatrixView, keys: MatrixView, values: MatrixView, gate: Float,
    shape: AttentionShape, addingTo dQuery: MatrixView, dKeys: MatrixView, dValues: MatrixView,
    dGate: MatrixView, on compute: Compute
  ) {
    requireShape(dOut, query.rows, query.columns, "dOut")
    requireShape(dQuery, query.rows, query.columns, "dQuery")
    requireShape(dKeys, keys.rows, keys.columns, "dKeys")
    requireShape(dValues, keys.rows, keys.columns, "dValues")
    requireShape(dGate, 1, 1, "dGate")
    guard query.rows > 0 else { return }
    let heads = shape.keyValueHeadCount
    // The end of worker 0's scratch memory, which no tile reaches, holds a sum per head.
    precondition(
      ck_attention_scratch(shape.headDim) + 2 * heads + 2 <= Compute.scratchCount,
      "\(heads) heads of \(shape.headDim) do not fit the scratch memory")
    let sums = UnsafeMutableRawPointer(
      compute.scratch(worker: 0).base + (Compute.scratchCount - 2 * heads)
    ).bindMemory(to: Double.self, capacity: heads)
    run(query, keys, values, gate, shape) { problem in
      problem.pointee.d_out = dOut.from()
      problem.pointee.d_query = dQuery.from()
      problem.pointee.d_prefix_key = dKeys.from()
      problem.pointee.d_prefix_value = dValues.from()
      problem.pointee.gate_sums = sums
      let problem = UnsafePointer(problem)
      let tiles = blockCount(query.rows, ck_attention_positions(shape.groupSize))
      compute.forEachBlock(tiles * heads) { block, worker in
        compute.float32Attention.pointee.backward_queries(
          problem, 0, block % heads, block / heads, compute.scratch(worker: worker).base)
      }
      Attention.backwardPrefix(problem, compute)
    }
    var sum = 0.0
    for head in 0..<heads { sum += sums[head] }
    dGate[0, 0] += Float(sum)
  }

  /// Calls `body` with the problem: one sequence of all queries and no keys, the prompt in front.
  @inline(__always)
  private static func run(
    _ query: MatrixView, _ keys: MatrixView, _ values: MatrixView, _ gate: Float,
    _ shape: AttentionShape, _ body: (UnsafeMutablePointer<ck_attention>) -> Void
  ) {
    precondition(keys.rows > 0, "gated attention over no rows")
    var problem = Attention.problem(
      query, PrefixKeyValues(keys: keys, values: values), shape)
    problem.gated = 1
    problem.gate = gate
    problem.sequence_count = 1
    // Query offsets 0, T; key offsets 0, 0.
    var offsets: (Int32, Int32, Int32, Int32) = (0, Int32(query.rows), 0, 0)
    withUnsafeBytes(of: &offsets) { bytes in
      let offsets = bytes.assumingMemoryBound(to: Int32.self)
      problem.query_offsets = offsets.baseAddress
      problem.key_offsets = offsets.baseAddress.map { $0 + 2 }
      withUnsafeMutablePointer(to: &problem, body)
    }
  }
}
