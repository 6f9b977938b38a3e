import Diagnostics
import Kernels
import Tensors

/// What backward has to make in a half of a block; its arithmetic is counted from the same value.
struct HalfNeeds {
  /// Whether backward comes into the half at all.
  let isReached: Bool
  /// Whether the output projection's backward is called: it trains, or something below it does.
  let isOutputReached: Bool
  /// Whether backward goes on below the output projection.
  let isInnerNeeded: Bool
  /// Whether the gradient of what the body reads is needed.
  let isNormNeeded: Bool

  /// - Parameter extent: how far backward goes in the block; `isNeeded` is about what lies below the
  ///   half.
  init(_ extent: BackwardExtent, _ half: ResidualHalf) {
    isReached = extent.isReached && (extent.isNeeded || half.trains)
    isInnerNeeded =
      isReached && (extent.isNeeded || half.body.innerTrains || half.normTrains)
    isOutputReached = isReached && (isInnerNeeded || half.body.last?.trains ?? false)
    isNormNeeded = isInnerNeeded && (extent.isNeeded || half.normTrains)
  }
}

/// What stands between a half's norms, or them and the residual stream: attention or feed-forward.
///
/// Most make their result by one projection, `last`, out of what others, `inputs`, make of what they
/// read.
protocol HalfBody: AnyObject {
  /// The part of a step that its time and arithmetic belong to.
  var part: StepPart { get }
  /// The projections of the norm's result.
  var inputs: [LinearLayer] { get }
  /// The projection whose result is added to the stream; nil where it is the sum of several.
  var last: LinearLayer? { get }
  /// Projections that are no modules in transformers: no method finds them by name.
  var inside: [LinearLayer] { get }
  /// Tensors that transformers has in one piece or in a module that is no projection.
  var stacked: [StackedParameter] { get }
  /// Whether backward reads the norm's result.
  var readsInput: Bool { get }
  /// Norms inside.
  var innerNorms: [NormLayer] { get }
  /// Whether anything between the norm and the output projection trains.
  var innerTrains: Bool { get }

  /// Reserves what forward keeps for backward, if there is one.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool)
  /// Takes the memory that was reserved.
  func use(_ memory: BlockMemory)
  /// Computes the result `h` from the norm's, both [tokens, hidden].
  func forward(_ n: MatrixView, into h: MatrixView, _ pass: Pass)
  /// Backward of `forward`, as far as `needs` goes.
  ///
  /// - Parameters:
  ///   - dh: gradient of the result, [tokens, hidden]; changed where a hook on `output` says so.
  ///   - n: the norm's result; unspecified unless one of `inputs` reads its input.
  ///   - dn: where the gradient of `n` goes, where it is needed.
  func backward(
    _ dh: MatrixView, input n: MatrixView, into dn: MatrixView, _ needs: HalfNeeds, _ pass: Pass)
  /// Adds the multiply-adds that are not its projections'.
  func countCore(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds)
}

extension HalfBody {
  var inside: [LinearLayer] { [] }
  var stacked: [StackedParameter] { [] }
  var readsInput: Bool { inputs.contains { $0.readsInput } }
  func countCore(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {}
}

/// The norms of half a block; either may be missing.
struct HalfNorms {
  /// In front of the body.
  var before: NormLayer?
  /// Behind it.
  var after: NormLayer?
}

/// Half a block: `y = x + s · hook(after(body(before(x))))`.
///
/// The only place that knows how norms, a body, a hook and the residual stream go together, forward,
/// backward and in the arithmetic. The hook stands behind the norm behind the body, where there is
/// one, and its result is scaled.
final class ResidualHalf {
  let norms: HalfNorms
  let body: any HalfBody
  private let scale: Float
  private let sublayer: Sublayer
  private let sites: SublayerSites
  private var slots: Slots?
  private var memory: BlockMemory?

  private struct Slots {
    let before: WorkspaceSlot?  // [tokens, 2] statistics of the norm in front
    let after: WorkspaceSlot?  // [tokens, 2] of the one behind
    let result: WorkspaceSlot?  // [tokens, hidden] what goes into it
  }

  /// - Parameter scale: factor of what is added to the stream.
  init(
    _ sublayer: Sublayer, norms: HalfNorms, body: any HalfBody, scale: Float, sites: SublayerSites
  ) {
    self.sublayer = sublayer
    self.norms = norms
    self.body = body
    self.scale = scale
    self.sites = sites
  }

  var linearLayers: [LinearLayer] { body.inputs + (body.last.map { [$0] } ?? []) }

  /// Whether anything here trains.
  var trains: Bool {
    normTrains || (norms.after?.trains ?? false) || body.innerTrains
      || (body.last?.trains ?? false) || sites.has(sublayer)
  }

  /// Whether the norm in front trains.
  var normTrains: Bool { norms.before?.trains ?? false }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    let statistics = NormLayer.statisticsColumns
    slots = Slots(
      before: norms.before == nil
        ? nil : plan.reserve("block.statistics", rows: rows, columns: statistics),
      after: norms.after == nil
        ? nil : plan.reserve("block.statistics", rows: rows, columns: statistics),
      result: norms.after.map { plan.reserveOperand("block.result", rows: rows, columns: $0.size) })
    body.reserveSaved(&plan, rows: rows, isTraining: isTraining)
  }

  func use(_ memory: BlockMemory) {
    self.memory = memory
    body.use(memory)
  }

  /// Computes `y`, not the memory of either operand.
  ///
  /// - Parameters:
  ///   - x: what the half reads, [tokens, hidden].
  ///   - stream: what it adds its result to, [tokens, hidden].
  func forward(_ x: MatrixView, onto stream: MatrixView, into y: MatrixView, _ pass: Pass) {
    let (memory, compute) = (prepared, pass.compute)
    compute.part(body.part) {
      let n = normed(x, memory, pass)
      if let after = norms.after {
        let h = view(\.result, pass)
        body.forward(n, into: h, pass)
        after.forward(h, into: y, statistics: view(\.after, pass), on: compute)
      } else {
        body.forward(n, into: y, pass)
      }
      sites.forward(sublayer, y, pass)
      if scale != 1 { Elementwise.scale(y, by: scale, on: compute) }
      Elementwise.add(stream, addingTo: y, on: compute)
    }
  }

  /// Adds to `dx` what the gradient of `y` comes to in front of the half, where something below
  /// trains.
  ///
  /// - Parameter dx: the gradient of `x` so far; may be `dy`.
  func backward(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView, _ needs: HalfNeeds,
    _ pass: Pass
  ) {
    guard needs.isReached else { return }
    let (memory, compute) = (prepared, pass.compute)
    compute.part(body.part) {
      var dh = dy
      if sites.has(sublayer) || norms.after != nil || scale != 1
        || body.last?.changesOutputGradient ?? false
      {
        // The stream still needs the gradient as it is.
        dh = memory.view(memory.scratch.sublayer, pass)
        dh.copy(from: dy)
        if scale != 1 { Elementwise.scale(dh, by: scale, on: compute) }
        sites.backward(sublayer, dh, pass)
        if let after = norms.after, needs.isOutputReached || after.trains {
          after.backward(
            dh, input: view(\.result, pass), statistics: view(\.after, pass), into: dh,
            adding: false, on: compute)
        }
      }
      let n =
        needs.isInnerNeeded && body.readsInput
        ? normed(x, memory, pass) : memory.view(memory.scratch.normed, pass)
      let dn = memory.view(memory.scratch.dNormed, pass)
      body.backward(dh, input: n, into: dn, needs, pass)
      guard needs.isNormNeeded else { return }
      if let before = norms.before {
        before.backward(
          dn, input: x, statistics: view(\.before, pass), into: dx, adding: true, on: compute)
      } else {
        Elementwise.add(dn, addingTo: dx, on: compute)
      }
    }
  }

  /// What the body reads: `x` itself where there is no norm in front.
  private func normed(_ x: MatrixView, _ memory: BlockMemory, _ pass: Pass) -> MatrixView {
    guard let before = norms.before else { return x }
    let n = memory.view(memory.scratch.normed, pass)
    before.forward(x, into: n, statistics: view(\.before, pass), on: pass.compute)
    return n
  }

  /// Adds the half's multiply-adds.
  func count(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {
    sites.count(sublayer, into: &arithmetic, needs.isReached)
    body.last?.count(
      into: &arithmetic, body.part,
      BackwardExtent(isReached: needs.isOutputReached, isNeeded: needs.isInnerNeeded))
    for layer in body.inputs {
      layer.count(
        into: &arithmetic, body.part,
        BackwardExtent(isReached: needs.isInnerNeeded, isNeeded: needs.isNormNeeded))
    }
    body.countCore(into: &arithmetic, needs)
  }

  private var prepared: BlockMemory {
    guard let memory else { preconditionFailure("no workspace was prepared") }
    return memory
  }

  private func view(_ slot: KeyPath<Slots, WorkspaceSlot?>, _ pass: Pass) -> MatrixView {
    guard let slot = slots?[keyPath: slot] else { preconditionFailure("no workspace was prepared") }
    return prepared.workspace.view(slot, rows: pass.rowCount)
  }
}
