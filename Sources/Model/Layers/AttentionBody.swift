import Diagnostics
import Kernels
import Tensors

/// Queries, keys and values of a micro-batch, or their gradients.
struct QueryKeyValue {
  let query: MatrixView  // [tokens, N·D]
  let key: MatrixView  // [tokens, K·D]
  let value: MatrixView  // [tokens, K·D]
}

/// How queries, keys and values are made: by three projections, or by one.
protocol QueryKeyValueSource: KeyValueProjecting {
  /// The projections of the norm's result.
  var inputs: [LinearLayer] { get }
  /// Norms of queries and keys.
  var norms: [NormLayer] { get }
  /// Whether queries, keys and values lie side by side, and their gradients in `dFused`.
  var isFused: Bool { get }
  /// Whether their projection gives them head by head, by way of `interleaved`.
  var isInterleaved: Bool { get }
  /// Which of the three have something to train below them.
  var trains: (query: Bool, key: Bool, value: Bool) { get }

  /// Reserves what forward keeps for backward.
  ///
  /// - Parameter gatedRows: extra rows that a hook has projected outside the sequences.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, gatedRows: Int)
  func use(_ memory: BlockMemory)
  /// The last forward's, kept until backward.
  func values(_ pass: Pass) -> QueryKeyValue
  /// Where backward puts their gradients, in scratch.
  func gradients(_ pass: Pass) -> QueryKeyValue
  /// Makes `values` from the norm's result `n`, not rotated.
  func forward(_ n: MatrixView, _ pass: Pass)
  /// Backward of `forward`, from `gradients`; `values` may be overwritten.
  func backward(input n: MatrixView, into dn: MatrixView, isNeeded: Bool, _ pass: Pass)
}

extension QueryKeyValueSource {
  var isInterleaved: Bool { false }
}

/// Attention with its projections: `output(softmax(q kᵀ) v)`, q and k rotated where positions are.
final class AttentionBody: HalfBody {
  /// Where the result of a gated prefix is added.
  enum GatedPlacement {
    /// To what the output projection reads, as in the paper of LLaMA-Adapter.
    case beforeOutput
    /// To what it gives: PEFT does so for GPT-2, and so do we, for its files.
    case afterOutput
  }

  let core: AttentionCore
  let output: LinearLayer
  private let source: any QueryKeyValueSource
  private let gatedPlacement: GatedPlacement
  private var slots: (logSumExp: WorkspaceSlot, attention: WorkspaceSlot, combined: WorkspaceSlot?)?
  private var memory: BlockMemory?

  init(
    source: any QueryKeyValueSource, core: AttentionCore, output: LinearLayer,
    gatedPlacement: GatedPlacement = .beforeOutput
  ) {
    self.source = source
    self.core = core
    self.output = output
    self.gatedPlacement = gatedPlacement
  }

  var part: StepPart { .projection }
  var last: LinearLayer? { output }
  var inputs: [LinearLayer] { source.inputs }
  var innerNorms: [NormLayer] { source.norms }
  var isFused: Bool { source.isFused }
  var isInterleaved: Bool { source.isInterleaved }
  var innerTrains: Bool {
    core.hook != nil || inputs.contains { $0.trains } || innerNorms.contains { $0.trains }
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    let width = output.inputSize
    source.reserveSaved(
      &plan, rows: rows, gatedRows: core.isGated ? core.hook?.prefixLength ?? 0 : 0)
    slots = (
      logSumExp: plan.reserve("block.logSumExp", rows: rows, columns: core.shape.headCount),
      attention: plan.reserveOperand("block.attention", rows: rows, columns: width),
      combined: core.isGated && gatedPlacement == .beforeOutput
        ? plan.reserveOperand("block.combined", rows: rows, columns: width) : nil
    )
  }

  func use(_ memory: BlockMemory) {
    self.memory = memory
    source.use(memory)
  }

  func forward(_ n: MatrixView, into h: MatrixView, _ pass: Pass) {
    let (a, memory) = (activations(pass), prepared)
    source.forward(n, pass)
    let x = source.values(pass)
    if let rotary = memory.rotary {
      rotary.apply(x.query, headCount: core.shape.headCount, pass)
      rotary.apply(x.key, headCount: core.shape.keyValueHeadCount, pass)
    }
    core.forward(
      query: x.query, key: x.key, value: x.value, into: a.attention, logSumExp: a.logSumExp,
      projections: source, pass)
    if core.isGated && gatedPlacement == .beforeOutput {
      a.combined.copy(from: a.attention)
      core.addGated(query: x.query, to: a.combined, pass)
    }
    output.forward(a.combined, into: h, pass)
    if gatedPlacement == .afterOutput { core.addGated(query: x.query, to: h, pass) }
  }

  func backward(
    _ dh: MatrixView, input n: MatrixView, into dn: MatrixView, _ needs: HalfNeeds, _ pass: Pass
  ) {
    let (a, memory) = (activations(pass), prepared)
    let dAttention = memory.view(memory.scratch.dAttention, pass)
    if needs.isOutputReached {
      output.backward(
        dh, input: a.combined, into: dAttention, adding: false, isNeeded: needs.isInnerNeeded, pass)
    }
    guard needs.isInnerNeeded else { return }
    let (x, d) = (source.values(pass), source.gradients(pass))
    core.backward(
      dAttention, query: x.query, key: x.key, value: x.value, out: a.attention,
      logSumExp: a.logSumExp, dQuery: d.query, dKey: d.key, dValue: d.value, projections: source,
      pass)
    core.backwardGated(
      gatedPlacement == .beforeOutput ? dAttention : dh, query: x.query, addingTo: d.query,
      projections: source, pass)
    if let rotary = memory.rotary {
      rotary.applyInverse(d.query, headCount: core.shape.headCount, pass)
      rotary.applyInverse(d.key, headCount: core.shape.keyValueHeadCount, pass)
    }
    source.backward(input: n, into: dn, isNeeded: needs.isNormNeeded, pass)
  }

  func countCore(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {
    let (isNeeded, trains) = (needs.isInnerNeeded, source.trains)
    core.count(
      into: &arithmetic, query: isNeeded && (needs.isNormNeeded || trains.query),
      key: isNeeded && (needs.isNormNeeded || trains.key),
      value: isNeeded && (needs.isNormNeeded || trains.value))
  }

  private struct Activations {
    let logSumExp: MatrixView  // [tokens, N]
    let attention: MatrixView  // [tokens, N·D]
    let combined: MatrixView  // [tokens, N·D] attention plus the gated part; attention without one
  }

  private func activations(_ pass: Pass) -> Activations {
    guard let slots else { preconditionFailure("no workspace was prepared") }
    let workspace = prepared.workspace
    let attention = workspace.view(slots.attention, rows: pass.rowCount)
    return Activations(
      logSumExp: workspace.view(slots.logSumExp, rows: pass.rowCount), attention: attention,
      combined: slots.combined.map { workspace.view($0, rows: pass.rowCount) } ?? attention)
  }

  private var prepared: BlockMemory {
    guard let memory else { preconditionFailure("no workspace was prepared") }
    return memory
  }
}
