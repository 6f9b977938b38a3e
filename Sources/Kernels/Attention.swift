import CKernels
import Tensors

// T tokens, N query heads, K key/value heads, D head dimension, P prefix rows; Tq query rows and Tk
// key rows of all sequences together.

/// Causal attention over ragged sequences: `out = softmax(scale · q Kᵀ) V`, head by head, the scores
/// capped where the shape says so.
///
/// Scores exist a tile at a time (FlashAttention: Dao et al., 2022); what stays for backward is a
/// number per query and head. Work is cut by sequence, key/value head and tile of 96 query rows or
/// 64 keys, each piece a single-threaded computation.
///
/// With ``Arithmetic/bfloat16`` the operands of all products are rounded to bf16: scaled queries,
/// keys, values and the gradient of the result; probabilities where they multiply values or that
/// gradient; the scores' gradients. Softmax, its logarithms and all sums stay in f32. A prefix,
/// which trains, is not rounded: attention with one is f32 as a whole.
///
/// No mask but causality, window and prefix; no dropout; no bias.
public enum Attention {
  /// Attends.
  ///
  /// - Parameters:
  ///   - query: queries, positions applied, [Tq, N · D].
  ///   - key: keys, [Tk, K · D].
  ///   - value: values, [Tk, K · D].
  ///   - prefix: rows in front of every sequence, in the same softmax; a window passes them by as
  ///     it does the sequence's own, which is what transformers does with cached keys.
  ///   - spans: where the sequences lie.
  ///   - shape: heads, scale, window.
  ///   - arithmetic: how products are computed where there is no prefix.
  ///   - out: result, [Tq, N · D]; none of the operands.
  ///   - logSumExp: logarithm of each softmax's denominator, [Tq, N], which backward needs.
  ///   - compute: the threads that compute it.
  public static func forward(
    query: MatrixView, key: MatrixView, value: MatrixView, prefix: PrefixKeyValues?,
    spans: SequenceSpans, shape: AttentionShape, arithmetic: Arithmetic = .float32,
    into out: MatrixView, logSumExp: MatrixView, on compute: Compute
  ) {
    var problem = problem(query, key, value, prefix, spans, shape, out, logSumExp)
    let kernels = kernels(for: &problem, arithmetic, compute)
    let heads = shape.keyValueHeadCount
    let tiles = queryTiles(spans, shape)
    withUnsafePointer(to: &problem) { problem in
      // A sequence as a whole packs its keys once, which saves a twentieth.
      if isShared(spans, shape, compute, ratio: 1.05) {
        compute.forEachBlock(spans.count * heads) { block, worker in
          let sequence = block / heads
          kernels.pointee.forward(
            problem, sequence, block % heads, 0, queryTiles(spans.queryCount(sequence), shape),
            compute.scratch(worker: worker).base)
        }
        return
      }
      compute.forEachBlock(tiles * heads) { block, worker in
        // Long sequences' late tiles, which have most keys, first: the blocks in reverse.
        let number = tiles * heads - 1 - block
        let (sequence, tile) = find(number / heads, spans) {
          queryTiles(spans.queryCount($0), shape)
        }
        kernels.pointee.forward(
          problem, sequence, number % heads, tile, tile + 1, compute.scratch(worker: worker).base)
      }
    }
  }

  /// The gradients of queries, keys and values, and of the prefix where it trains.
  ///
  /// - Parameters:
  ///   - dOut: gradient of the result, [Tq, N · D].
  ///   - query: as in forward.
  ///   - key: as in forward.
  ///   - value: as in forward.
  ///   - prefix: as in forward.
  ///   - out: what forward wrote, [Tq, N · D].
  ///   - logSumExp: what forward kept, [Tq, N].
  ///   - spans: as in forward.
  ///   - shape: as in forward.
  ///   - arithmetic: as in forward.
  ///   - dQuery: overwritten, [Tq, N · D]; none of the operands, and so the next two.
  ///   - dKey: overwritten, [Tk, K · D].
  ///   - dValue: overwritten, [Tk, K · D].
  ///   - prefixGradients: added to; `nil` where the prefix is frozen.
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dOut: MatrixView, query: MatrixView, key: MatrixView, value: MatrixView,
    prefix: PrefixKeyValues?, out: MatrixView, logSumExp: MatrixView, spans: SequenceSpans,
    shape: AttentionShape, arithmetic: Arithmetic = .float32, into dQuery: MatrixView,
    _ dKey: MatrixView, _ dValue: MatrixView, prefixGradients: PrefixGradients?,
    on compute: Compute
  ) {
    var problem = problem(query, key, value, prefix, spans, shape, out, logSumExp)
    requireShape(dOut, query.rows, query.columns, "dOut")
    requireShape(dQuery, query.rows, query.columns, "dQuery")
    requireShape(dKey, key.rows, key.columns, "dKey")
    requireShape(dValue, value.rows, value.columns, "dValue")
    problem.d_out = dOut.from()
    problem.d_query = dQuery.from()
    problem.d_key = dKey.from()
    problem.d_value = dValue.from()
    if let prefix, let prefixGradients {
      requireShape(prefixGradients.dKeys, prefix.keys.rows, prefix.keys.columns, "dKeys")
      requireShape(prefixGradients.dValues, prefix.keys.rows, prefix.keys.columns, "dValues")
      problem.d_prefix_key = prefixGradients.dKeys.from()
      problem.d_prefix_value = prefixGradients.dValues.from()
    }
    let kernels = kernels(for: &problem, arithmetic, compute)
    withUnsafePointer(to: &problem) { problem in
      // Going by tiles costs seven products for five.
      if isShared(spans, shape, compute, ratio: 1.4) {
        backwardBySequence(problem, kernels, spans, shape, compute)
      } else {
        backwardByTile(problem, kernels, spans, shape, compute)
      }
      if problem.pointee.d_prefix_key.base != nil { backwardPrefix(problem, compute) }
    }
  }

  /// One block per sequence and key/value head.
  private static func backwardBySequence(
    _ problem: UnsafePointer<ck_attention>, _ kernels: UnsafePointer<ck_attention_kernels>,
    _ spans: SequenceSpans, _ shape: AttentionShape, _ compute: Compute
  ) {
    let heads = shape.keyValueHeadCount
    compute.forEachBlock(spans.count * heads) { block, worker in
      kernels.pointee.backward_sequence(
        problem, block / heads, block % heads, compute.scratch(worker: worker).base)
    }
  }

  /// One block per query tile, then one per key tile; the sums are the same to the bit.
  private static func backwardByTile(
    _ problem: UnsafePointer<ck_attention>, _ kernels: UnsafePointer<ck_attention_kernels>,
    _ spans: SequenceSpans, _ shape: AttentionShape, _ compute: Compute
  ) {
    let heads = shape.keyValueHeadCount
    let tiles = queryTiles(spans, shape)
    compute.forEachBlock(tiles * heads) { block, worker in
      let number = tiles * heads - 1 - block
      let (sequence, tile) = find(number / heads, spans) { queryTiles(spans.queryCount($0), shape) }
      kernels.pointee.backward_queries(
        problem, sequence, number % heads, tile, compute.scratch(worker: worker).base)
    }
    // A sequence's first keys are seen most: in order.
    compute.forEachBlock(keyTiles(spans) * heads) { block, worker in
      let (sequence, tile) = find(block / heads, spans) { keyTiles(spans.keyCount($0)) }
      kernels.pointee.backward_keys(
        problem, sequence, block % heads, tile, compute.scratch(worker: worker).base)
    }
  }

  /// One block per key/value head and tile of prefix rows, over all sequences.
  static func backwardPrefix(_ problem: UnsafePointer<ck_attention>, _ compute: Compute) {
    let heads = problem.pointee.key_value_heads
    let tiles = blockCount(
      problem.pointee.prefix_count, compute.float32Attention.pointee.prefix_tile)
    compute.forEachBlock(tiles * heads) { block, worker in
      compute.float32Attention.pointee.backward_prefix(
        problem, block % heads, block / heads, compute.scratch(worker: worker).base)
    }
  }
}

// MARK: - Blocks

extension Attention {
  /// Whether whole sequences share out well among the threads.
  ///
  /// A bound on the time of greedy sharing is the mean plus the largest piece; going by tiles
  /// instead, which shares evenly, costs `ratio` times as much. Either way the result is the same to
  /// the bit, so threads may decide.
  private static func isShared(
    _ spans: SequenceSpans, _ shape: AttentionShape, _ compute: Compute, ratio: Double
  ) -> Bool {
    let threads = Double(compute.threadCount)
    var total = 0.0
    var largest = 0.0
    for sequence in 0..<spans.count {
      let cost = Double(spans.queryCount(sequence)) * Double(spans.keyCount(sequence))
      total += cost * Double(shape.keyValueHeadCount)
      largest = max(largest, cost)
    }
    return total / threads + largest * (1 - 1 / threads) <= ratio * total / threads
  }

  /// Query tiles of a sequence of `count` queries.
  private static func queryTiles(_ count: Int, _ shape: AttentionShape) -> Int {
    blockCount(count, ck_attention_positions(shape.groupSize))
  }

  private static func queryTiles(_ spans: SequenceSpans, _ shape: AttentionShape) -> Int {
    var sum = 0
    for sequence in 0..<spans.count { sum += queryTiles(spans.queryCount(sequence), shape) }
    return sum
  }

  private static func keyTiles(_ count: Int) -> Int {
    blockCount(count, ck_attention_keys)
  }

  private static func keyTiles(_ spans: SequenceSpans) -> Int {
    var sum = 0
    for sequence in 0..<spans.count { sum += keyTiles(spans.keyCount(sequence)) }
    return sum
  }

  /// The sequence that tile number `tile` belongs to, and its number there.
  @inline(__always)
  private static func find(
    _ tile: Int, _ spans: SequenceSpans, _ tilesOf: (Int) -> Int
  ) -> (sequence: Int, tile: Int) {
    var left = tile
    for sequence in 0..<spans.count {
      let tiles = tilesOf(sequence)
      if left < tiles { return (sequence, left) }
      left -= tiles
    }
    preconditionFailure("tile \(tile) of \(tile - left)")
  }
}

// MARK: - The problem as kernels in C take it

extension Attention {
  /// The kernels for an arithmetic, which the problem is told.
  private static func kernels(
    for problem: inout ck_attention, _ arithmetic: Arithmetic, _ compute: Compute
  ) -> UnsafePointer<ck_attention_kernels> {
    let isRounded = arithmetic == .bfloat16 && problem.prefix_count == 0
    problem.rounded = isRounded ? 1 : 0
    return isRounded ? compute.bfloat16Attention : compute.float32Attention
  }

  private static func problem(
    _ query: MatrixView, _ key: MatrixView, _ value: MatrixView, _ prefix: PrefixKeyValues?,
    _ spans: SequenceSpans, _ shape: AttentionShape, _ out: MatrixView, _ logSumExp: MatrixView
  ) -> ck_attention {
    var problem = problem(query, prefix, shape)
    let (features, shared) = (
      shape.headCount * shape.headDim, shape.keyValueHeadCount * shape.headDim
    )
    precondition(
      key.columns == shared && value.columns == shared && key.rows == value.rows,
      "key is [\(key.rows), \(key.columns)], value [\(value.rows), \(value.columns)], \(shared) wide by the shape"
    )
    let (queries, keys) = (spans.queryOffsets[spans.count], spans.keyOffsets[spans.count])
    precondition(
      queries <= query.rows && keys <= key.rows,
      "spans of \(queries) queries and \(keys) keys in \(query.rows) and \(key.rows) rows")
    requireShape(out, query.rows, features, "out")
    requireShape(logSumExp, query.rows, shape.headCount, "logSumExp")
    for sequence in 0..<spans.count {
      precondition(
        spans.queryCount(sequence) >= 0 && spans.keyCount(sequence) >= spans.queryCount(sequence),
        "sequence \(sequence) has \(spans.queryCount(sequence)) queries for \(spans.keyCount(sequence)) keys"
      )
    }
    problem.key = key.from()
    problem.value = value.from()
    problem.query_offsets = UnsafePointer(spans.queryOffsets.base)
    problem.key_offsets = UnsafePointer(spans.keyOffsets.base)
    problem.sequence_count = spans.count
    problem.window = shape.window
    problem.out = out.from()
    problem.log_sum_exp = logSumExp.from()
    return problem
  }

  /// What joint and gated attention have in common.
  static func problem(
    _ query: MatrixView, _ prefix: PrefixKeyValues?, _ shape: AttentionShape
  ) -> ck_attention {
    precondition(
      query.columns == shape.headCount * shape.headDim,
      "query is [\(query.rows), \(query.columns)] for \(shape.headCount) heads of \(shape.headDim)")
    precondition(
      shape.groupSize <= ck_attention_rows
        && ck_attention_scratch(shape.headDim) <= Compute.scratchCount,
      "\(shape.groupSize) heads of \(shape.headDim) over a key/value head do not fit a tile")
    var problem = ck_attention()
    problem.query = query.from()
    if let prefix {
      precondition(
        prefix.keys.columns == shape.keyValueHeadCount * shape.headDim,
        "prefix rows of \(prefix.keys.columns) for \(shape.keyValueHeadCount) heads of \(shape.headDim)"
      )
      problem.prefix_key = prefix.keys.from()
      problem.prefix_value = prefix.values.from()
      problem.prefix_count = prefix.keys.rows
    }
    problem.heads = shape.headCount
    problem.key_value_heads = shape.keyValueHeadCount
    problem.head_dim = shape.headDim
    problem.scale = shape.scale
    problem.soft_cap = shape.softCap
    problem.scratch_floats = Compute.scratchCount
    return problem
  }
}
