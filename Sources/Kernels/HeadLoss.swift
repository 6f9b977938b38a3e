import CKernels
import Tensors

/// The head and the cross-entropy in one pass: `Σ_t -log softmax(h_t Wᵀ + b)[target_t]`, and its
/// gradients, chunk by chunk of the rows that count.
///
/// n counted rows, H hidden, V vocabulary. Logits exist for `chunkRows` rows at a time, in memory
/// that the workspace reserves, and turn into their own gradient there. Losses are summed in
/// `Double` in the order of the rows; the gradient is that of the *sum*, not of a mean.
public enum HeadLoss {
  /// Rows whose logits exist at a time: as many as a product needs to run near its peak.
  public static let chunkRows = 256

  /// Floats of scratch memory the workspace reserves for the loss.
  public static func scratchCount(vocabularySize: Int) -> Int {
    chunkRows * (MatrixView.operandStride(columns: vocabularySize) + 4)
  }

  /// What becomes of logits before the softmax: `softCap · tanh(scale · x / softCap)`.
  public struct Scaling: Sendable, Hashable {
    /// Factor of the logits.
    public var scale: Float
    /// What they stay below; 0: without a cap.
    public var softCap: Float

    /// A factor and a cap; logits as they are without.
    public init(scale: Float = 1, softCap: Float = 0) {
      self.scale = scale
      self.softCap = softCap
    }

    /// Scales and caps logits in place, [n, V].
    public func apply(_ logits: MatrixView, on compute: Compute) {
      if self == Scaling() { return }
      compute.forEachBlock(logits.rows) { row, _ in
        compute.kernels.pointee.head.scale_logits(
          logits.base + row * logits.rowStride, Int64(logits.columns), scale, softCap)
      }
    }
  }

  /// The sum of the rows' cross-entropies in nats, and its gradients.
  ///
  /// - Parameters:
  ///   - hidden: rows that count, after the final norm, [n, H].
  ///   - targets: n ids below V.
  ///   - weight: the head, H features to V.
  ///   - bias: [1, V].
  ///   - dHidden: gradient of hidden, [n, H], overwritten; nil when only the loss is wanted.
  ///   - dWeight: gradient of the head in its stored layout, added to; nil when it is frozen.
  ///   - dBias: [1, V], added to.
  ///   - scaling: what becomes of the logits first.
  ///   - scratch: at least `scratchCount` floats end to end.
  ///   - arithmetic: that of the two products with the head.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ hidden: MatrixView, targets: IndexView, weight: WeightMatrix, bias: MatrixView?,
    dHidden: MatrixView?, dWeight: MatrixView?, dBias: MatrixView?, scaling: Scaling = Scaling(),
    scratch: MatrixView, arithmetic: Arithmetic = .float32, on compute: Compute
  ) -> Double {
    var correct = 0
    return forward(
      hidden, targets: targets, weight: weight, bias: bias, dHidden: dHidden, dWeight: dWeight,
      dBias: dBias, scaling: scaling, scratch: scratch, correct: &correct, arithmetic: arithmetic,
      on: compute)
  }

  /// The same, and counts the rows whose greatest logit is the target's.
  ///
  /// - Parameters:
  ///   - hidden: rows that count, after the final norm, [n, H].
  ///   - targets: n ids below V.
  ///   - weight: the head, H features to V.
  ///   - bias: [1, V].
  ///   - dHidden: gradient of hidden, [n, H], overwritten; nil when only the loss is wanted.
  ///   - dWeight: gradient of the head in its stored layout, added to; nil when it is frozen.
  ///   - dBias: [1, V], added to.
  ///   - scaling: what becomes of the logits first.
  ///   - scratch: at least `scratchCount` floats end to end.
  ///   - correct: the number of such rows is added to it.
  ///   - arithmetic: that of the two products with the head.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ hidden: MatrixView, targets: IndexView, weight: WeightMatrix, bias: MatrixView?,
    dHidden: MatrixView?, dWeight: MatrixView?, dBias: MatrixView?, scaling: Scaling = Scaling(),
    scratch: MatrixView, correct: inout Int, arithmetic: Arithmetic = .float32, on compute: Compute
  ) -> Double {
    let vocabulary = weight.outputSize
    precondition(
      hidden.columns == weight.inputSize && hidden.rows == targets.count,
      """
      hidden is [\(hidden.rows), \(hidden.columns)] with \(targets.count) targets; the head \
      carries \(weight.inputSize) features to \(vocabulary)
      """)
    if let dHidden {
      precondition(
        dHidden.rows == hidden.rows && dHidden.columns == hidden.columns,
        """
        dHidden is [\(dHidden.rows), \(dHidden.columns)], hidden [\(hidden.rows), \
        \(hidden.columns)]
        """)
    }
    return forward(
      targets: targets, vocabularySize: vocabulary,
      wantsGradient: dHidden != nil || dWeight != nil || dBias != nil, scaling: scaling,
      scratch: scratch,
      correct: &correct, on: compute
    ) { rows, logits in
      Linear.forward(
        hidden.rows(rows), weight: weight, bias: bias, into: logits, arithmetic: arithmetic,
        on: compute)
    } backward: { rows, dLogits in
      if let dHidden {
        Linear.backwardInput(
          dLogits, weight: weight, into: dHidden.rows(rows), arithmetic: arithmetic, on: compute)
      }
      if let dWeight {
        Linear.backwardWeight(
          dLogits, input: hidden.rows(rows), addingTo: dWeight, layout: weight.layout, on: compute)
      }
      if let dBias { Linear.backwardBias(dLogits, addingTo: dBias, on: compute) }
    }
  }

  /// The same for a head that makes its logits and takes their gradients itself, `chunkRows` rows at a
  /// time: a projection with an adapter.
  ///
  /// - Parameters:
  ///   - targets: n ids below V.
  ///   - vocabulary: V.
  ///   - wantsGradient: whether `backward` is called.
  ///   - scaling: what becomes of the logits first.
  ///   - scratch: at least `scratchCount` floats end to end.
  ///   - correct: the number of rows whose greatest logit is the target's is added to it.
  ///   - compute: the threads that compute it.
  ///   - project: writes the logits of some of the n rows, [rows, V].
  ///   - backward: is given the gradient of the logits that were written last, [rows, V], which it
  ///     may change.
  public static func forward(
    targets: IndexView, vocabularySize vocabulary: Int, wantsGradient: Bool,
    scaling: Scaling = Scaling(), scratch: MatrixView, correct: inout Int, on compute: Compute,
    project: (_ rows: Range<Int>, _ logits: MatrixView) -> Void,
    backward: (_ rows: Range<Int>, _ dLogits: MatrixView) -> Void
  ) -> Double {
    precondition(
      scratch.isContiguous && scratch.count >= scratchCount(vocabularySize: vocabulary),
      "scratch of \(scratch.count) floats; \(scratchCount(vocabularySize: vocabulary)) are needed")
    let stride = MatrixView.operandStride(columns: vocabulary)
    let rowResults = UnsafeMutableRawPointer(scratch.base + chunkRows * stride)
    var sum = 0.0
    for chunk in 0..<blockCount(targets.count, chunkRows) {
      let rows = blockRange(chunk, chunkRows, targets.count)
      let logits = MatrixView(
        base: scratch.base, rows: rows.count, columns: vocabulary, rowStride: stride)
      project(rows, logits)
      crossEntropies(
        logits, targets.slice(rows), gradient: wantsGradient, scaling, into: rowResults,
        on: compute)
      for row in 0..<rows.count {
        sum += rowResults.loadUnaligned(fromByteOffset: 16 * row, as: Double.self)
        correct += Int(rowResults.loadUnaligned(fromByteOffset: 16 * row + 8, as: Int32.self))
      }
      if wantsGradient { backward(rows, logits) }
    }
    return sum
  }

  /// Turns logits into their gradient, and writes each row's loss (`Double`) and whether it was
  /// right (`Int32`) to 16 bytes of `results`.
  private static func crossEntropies(
    _ logits: MatrixView, _ targets: IndexView, gradient: Bool, _ scaling: Scaling,
    into results: UnsafeMutableRawPointer, on compute: Compute
  ) {
    compute.forEachBlock(logits.rows) { row, _ in
      let target = targets[row]
      precondition(
        target >= 0 && target < logits.columns, "target \(target) of \(logits.columns)")
      var right: CInt = 0
      let loss = compute.kernels.pointee.head.cross_entropy(
        logits.base + row * logits.rowStride, Int64(logits.columns), Int64(target),
        gradient ? 1 : 0, scaling.scale, scaling.softCap, &right)
      results.storeBytes(of: loss, toByteOffset: 16 * row, as: Double.self)
      results.storeBytes(of: right, toByteOffset: 16 * row + 8, as: Int32.self)
    }
  }
}
