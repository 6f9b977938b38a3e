import Kernels
import Tensors

/// One projection of the base, with at most one hook: `y = x Wᵀ + b`.
///
/// It knows its place (`model.layers.0.self_attn.q_proj`), which is how methods find it.
public final class LinearLayer {
  /// Module path, without `.weight`.
  public let path: String
  /// The block that it belongs to; the number of blocks for the head.
  public let block: Int
  /// The weight, [out, in] or GPT-2's [in, out].
  public internal(set) var weight: Parameter
  /// The bias, [out].
  public let bias: Parameter?
  /// Arithmetic of the frozen product.
  public let arithmetic: Arithmetic
  /// A number that tells this site's random numbers from others'.
  public let siteIndex: Int
  /// Whether it is kept and multiplied as it is stored, whatever is done to others: what chooses
  /// among experts.
  let isExact: Bool

  private(set) var hook: (any LinearHook)?
  private var savedSlot: WorkspaceSlot?
  private var scratch: HookScratch?

  init(
    path: String, block: Int, weight: Parameter, bias: Parameter?, arithmetic: Arithmetic,
    siteIndex: Int, isExact: Bool = false
  ) {
    self.path = path
    self.block = block
    self.weight = weight
    self.bias = bias
    self.arithmetic = isExact ? .float32 : arithmetic
    self.siteIndex = siteIndex
    self.isExact = isExact
  }

  /// Features that go in.
  public var inputSize: Int { weight.matrix.inputSize }
  /// Features that come out.
  public var outputSize: Int { weight.matrix.outputSize }
  /// Whether anything here trains.
  public var trains: Bool {
    hook != nil || weight.isTrainable || (bias?.isTrainable ?? false)
  }
  /// Whether backward reads this projection's input.
  var readsInput: Bool { weight.isTrainable || (hook?.readsInput ?? false) }

  /// Whether the frozen product rounds what it multiplies to bf16.
  var isRounding: Bool { weight.arithmetic(arithmetic) == .bfloat16 }

  /// Whether backward changes the gradient of the result in place.
  var changesOutputGradient: Bool { hook?.changesOutputGradient ?? false }

  func attach(_ hook: any LinearHook) { self.hook = hook }

  /// Reserves what the hook keeps from forward to backward.
  func reserveSaved(_ plan: inout WorkspacePlan, rows: Int) {
    guard let hook, hook.savedColumns > 0 else { return }
    savedSlot = plan.reserve("hook.saved", rows: rows, columns: hook.savedColumns)
  }

  /// Floats a row that the hook keeps.
  var savedColumns: Int { hook?.savedColumns ?? 0 }

  /// Lets the hook keep that in some rows of a slot that others share.
  func share(_ slot: WorkspaceSlot) { savedSlot = slot }

  /// Floats a row that the hook's calls and a replaced input need.
  var scratchColumns: Int {
    guard let hook else { return 0 }
    return hook.scratchColumns + (hook.replacesInput ? inputSize : 0)
  }

  func use(_ scratch: HookScratch) { self.scratch = scratch }

  /// The frozen product alone, `y = x Wᵀ + b`; hooks may use it.
  public func base(
    _ x: MatrixView, into y: MatrixView, term: LowRankTerm? = nil, on compute: Compute
  ) {
    Linear.forward(
      x, weight: weight.operand, bias: bias?.vector, into: y,
      arithmetic: weight.arithmetic(arithmetic), term: term, on: compute)
  }

  /// The gradient of the frozen product's input, `dx = dy W`; hooks may use it.
  public func baseBackward(
    _ dy: MatrixView, into dx: MatrixView, adding: Bool, term: LowRankTerm? = nil,
    on compute: Compute
  ) {
    Linear.backwardInput(
      dy, weight: weight.operand, into: dx, adding: adding,
      arithmetic: weight.arithmetic(arithmetic), term: term, on: compute)
  }

  /// Projects `x` [tokens, in] into `y` [tokens, out].
  ///
  /// - Parameter first: the first of its rows in a slot that it shares.
  func forward(_ x: MatrixView, into y: MatrixView, _ pass: Pass, savedFrom first: Int = 0) {
    guard let hook else { return base(x, into: y, on: pass.compute) }
    let linearPass = hookPass(hook, pass, rows: x.rows, first)
    if hook.replacesInput {
      let replaced = replacedInput(hook, rows: x.rows)
      pass.compute.part(.adapter) { hook.replaceInput(x, into: replaced, linearPass) }
      base(replaced, into: y, on: pass.compute)
    } else {
      let term = pass.compute.part(.adapter) { hook.outputTerm(input: x, linearPass) }
      base(x, into: y, term: term, on: pass.compute)
    }
    pass.compute.part(.adapter) { hook.forward(input: x, output: y, linearPass) }
  }

  /// Backward of `forward`.
  ///
  /// - Parameters:
  ///   - dy: gradient of the result, [tokens, out]; changed in place by some hooks.
  ///   - x: the input of forward, [tokens, in]; read only where `readsInput`.
  ///   - dx: where the input's gradient goes, [tokens, in].
  ///   - adding: whether `dx` holds other contributions already.
  ///   - isNeeded: whether anything below trains; if not, `dx` is left in an unspecified state.
  ///   - first: as in forward.
  func backward(
    _ dy: MatrixView, input x: MatrixView, into dx: MatrixView, adding: Bool, isNeeded: Bool,
    _ pass: Pass, savedFrom first: Int = 0
  ) {
    let compute = pass.compute
    guard let hook else {
      accumulateBase(dy, input: x, on: compute)
      if isNeeded { baseBackward(dy, into: dx, adding: adding, on: compute) }
      return
    }
    let linearPass = hookPass(hook, pass, rows: dy.rows, first)
    compute.part(.adapter) { hook.backwardOutput(dy, input: x, linearPass) }
    if hook.replacesInput {
      let replaced = replacedInput(hook, rows: dy.rows)
      if weight.isTrainable { hook.replaceInput(x, into: replaced, linearPass) }
      accumulateBase(dy, input: replaced, on: compute)
      baseBackward(dy, into: replaced, adding: false, on: compute)
      compute.part(.adapter) { hook.backwardReplacedInput(replaced, input: x, linearPass) }
      if isNeeded {
        if adding {
          Elementwise.add(replaced, addingTo: dx, on: compute)
        } else {
          dx.copy(from: replaced)
        }
      }
    } else {
      accumulateBase(dy, input: x, on: compute)
      if isNeeded {
        let term = hook.inputTerm(linearPass)
        baseBackward(dy, into: dx, adding: adding, term: term, on: compute)
      }
    }
    compute.part(.adapter) {
      hook.backwardInput(dy, input: x, addingTo: isNeeded ? dx : nil, linearPass)
    }
  }

  private func accumulateBase(_ dy: MatrixView, input x: MatrixView, on compute: Compute) {
    if let gradient = weight.gradient {
      Linear.backwardWeight(
        dy, input: x, addingTo: gradient, layout: weight.layout, on: compute)
    }
    if let gradient = bias?.gradient {
      Linear.backwardBias(
        dy, addingTo: gradient.reshaped(rows: 1, columns: gradient.count), on: compute)
    }
  }

  private func hookPass(
    _ hook: any LinearHook, _ pass: Pass, rows: Int, _ first: Int
  ) -> LinearPass {
    let random = pass.random.substream(UInt64(siteIndex))
    guard let scratch else { preconditionFailure("\(path): no workspace was prepared") }
    return LinearPass(
      layer: self,
      saved: savedSlot.map {
        scratch.workspace.view($0, rows: first + rows).rows(first..<(first + rows))
      } ?? .empty,
      scratch: scratch.view(rows: rows, columns: hook.scratchColumns), random: random,
      rowCount: rows, pass: pass)
  }

  /// Memory for the replaced input, behind the hook's own scratch.
  private func replacedInput(_ hook: any LinearHook, rows: Int) -> MatrixView {
    guard let scratch else { preconditionFailure("\(path): no workspace was prepared") }
    return scratch.view(
      rows: rows, columns: inputSize, after: rows * hook.scratchColumns)
  }
}

/// Memory that all hooks of a decoder share, dead after each call.
struct HookScratch {
  let workspace: Workspace
  let slot: WorkspaceSlot

  func view(rows: Int, columns: Int, after offset: Int = 0) -> MatrixView {
    let all = workspace.view(slot, rows: 1, columns: offset + rows * columns)
    return all.columns(offset..<(offset + rows * columns)).reshaped(rows: rows, columns: columns)
  }
}
