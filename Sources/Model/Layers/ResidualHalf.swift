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
  /// Whether the gradient of the norm's result is needed.
  let isNormNeeded: Bool

  /// - Parameter extent: how far backward goes in the block; `isNeeded` is about what lies below the
  ///   half.
  init(_ extent: BackwardExtent, _ half: ResidualHalf) {
    isReached = extent.isReached && (extent.isNeeded || half.isTrained)
    isInnerNeeded =
      isReached && (extent.isNeeded || half.body.isInnerTrained || half.norm.isTrained)
    isOutputReached = isReached && (isInnerNeeded || half.body.output.isTrained)
    isNormNeeded = isInnerNeeded && (extent.isNeeded || half.norm.isTrained)
  }
}

/// What stands between a half's norm and the residual stream: attention or feed-forward.
///
/// It makes its result by one projection, `output`, out of what others, `inputs`, make of the norm's
/// result.
protocol HalfBody: AnyObject {
  /// The part of a step that its time and arithmetic belong to.
  var part: StepPart { get }
  /// The projections of the norm's result.
  var inputs: [LinearLayer] { get }
  /// The projection whose result is added to the stream.
  var output: LinearLayer { get }
  /// Norms inside.
  var innerNorms: [NormLayer] { get }
  /// Whether anything between the norm and the output projection trains.
  var isInnerTrained: Bool { get }

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
  func countCore(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {}
}

/// Half a block: `y = x + hook(body(norm(x)))`.
///
/// The only place that knows how a norm, a body, a hook and the residual stream go together, forward,
/// backward and in the arithmetic.
final class ResidualHalf {
  let norm: NormLayer
  let body: any HalfBody
  private let sublayer: Sublayer
  private let sites: SublayerSites
  private var statistics: WorkspaceSlot?  // [tokens, 2]
  private var memory: BlockMemory?

  init(_ sublayer: Sublayer, norm: NormLayer, body: any HalfBody, sites: SublayerSites) {
    self.sublayer = sublayer
    self.norm = norm
    self.body = body
    self.sites = sites
  }

  var linearLayers: [LinearLayer] { body.inputs + [body.output] }
  var norms: [NormLayer] { [norm] + body.innerNorms }

  /// Whether anything here trains.
  var isTrained: Bool {
    norm.isTrained || body.isInnerTrained || body.output.isTrained || sites.has(sublayer)
  }

  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int, isTraining: Bool) {
    statistics = plan.reserve(
      "block.statistics", rows: rows, columns: NormLayer.statisticsColumns)
    body.reserveSaved(&plan, rows: rows, isTraining: isTraining)
  }

  func use(_ memory: BlockMemory) {
    self.memory = memory
    body.use(memory)
  }

  /// Computes `y` from the residual stream `x`, both [tokens, hidden], not the same memory.
  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass) {
    let (memory, compute) = (prepared, pass.compute)
    compute.part(body.part) {
      let n = memory.view(memory.scratch.normed, pass)
      norm.forward(x, into: n, statistics: statistics(memory, pass), on: compute)
      body.forward(n, into: y, pass)
      sites.forward(sublayer, y, pass)
      Elementwise.add(x, addingTo: y, on: compute)
    }
  }

  /// Turns the gradient of `y` in place into that of `x`, where something below trains.
  func backward(_ dy: MatrixView, input x: MatrixView, _ needs: HalfNeeds, _ pass: Pass) {
    guard needs.isReached else { return }
    let (memory, compute) = (prepared, pass.compute)
    compute.part(body.part) {
      var dh = dy
      if sites.has(sublayer) || body.output.changesOutputGradient {
        // The stream still needs the gradient as it is.
        dh = memory.view(memory.scratch.sublayer, pass)
        dh.copy(from: dy)
        sites.backward(sublayer, dh, pass)
      }
      let (n, dn) = (
        memory.view(memory.scratch.normed, pass), memory.view(memory.scratch.dNormed, pass)
      )
      if needs.isInnerNeeded && body.inputs.contains(where: { $0.readsInput }) {
        norm.forward(x, into: n, statistics: statistics(memory, pass), on: compute)
      }
      body.backward(dh, input: n, into: dn, needs, pass)
      if needs.isNormNeeded {
        norm.backward(
          dn, input: x, statistics: statistics(memory, pass), into: dy, adding: true, on: compute)
      }
    }
  }

  /// Adds the half's multiply-adds.
  func count(into arithmetic: inout DecoderArithmetic, _ needs: HalfNeeds) {
    sites.count(sublayer, into: &arithmetic, needs.isReached)
    body.output.count(
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

  private func statistics(_ memory: BlockMemory, _ pass: Pass) -> MatrixView {
    guard let statistics else { preconditionFailure("no workspace was prepared") }
    return memory.workspace.view(statistics, rows: pass.rowCount)
  }
}
