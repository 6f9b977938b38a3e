import Kernels
import Tensors

/// What a linear hook is given with each call.
public struct LinearPass: HookPass {
  /// The projection, whose frozen product the hook may use.
  public let layer: LinearLayer
  /// What forward keeps for backward, [tokens, savedColumns].
  public let saved: MatrixView
  /// Memory that is dead after the call, [tokens, scratchColumns].
  public let scratch: MatrixView
  /// Random numbers of this site in this pass.
  public let random: CounterRandom
  /// Rows of this call: of the whole micro-batch in a block, some of the scored ones at the head.
  public let rowCount: Int
  /// The pass over the micro-batch.
  public let pass: Pass
}

/// A change to one projection, on its input side, its output side, or both.
///
/// With `x` the input, the hooked projection is `y = output(base(input(x)), x)`. The model calls
///
/// 1. `replaceInput` if `replacesInput`, and multiplies what it returns by the frozen weight, or
///    `outputTerm`, and adds what it returns to the frozen product;
/// 2. `forward`, which changes `y` in place;
///
/// and in backward, upside down,
///
/// 3. `backwardOutput`, which turns the gradient of `y` in place into the gradient of the frozen
///    product's result, and may keep what it needs in `scratch` until the last call;
/// 4. `backwardReplacedInput` if `replacesInput`, which turns the gradient of the replaced input in
///    place into the gradient of `x`, or `inputTerm`, and adds what it returns to the frozen
///    product's gradient of `x`;
/// 5. `backwardInput`, which adds whatever else the hook contributes to the gradient of `x`.
///
/// Where nothing below trains, `inputTerm` is not called and step 5 comes with `dx == nil`.
///
/// The head is called for some rows at a time, forward and backward before the next ones.
public protocol LinearHook: AnyObject {
  /// Floats a token that forward keeps for backward.
  var savedColumns: Int { get }
  /// Floats a token that a call needs while it runs.
  var scratchColumns: Int { get }
  /// Whether the hook puts something else in place of the projection's input.
  var replacesInput: Bool { get }
  /// Whether backward reads the projection's input.
  var readsInput: Bool { get }
  /// Whether `backwardOutput` changes the gradient of the result; a block then hands it a copy where
  /// the residual stream still needs the original.
  var changesOutputGradient: Bool { get }

  /// Multiply-adds a token of the hook's own products, besides the frozen one, and of its terms.
  ///
  /// - Parameter layer: the projection.
  /// - Parameter isInputGradientNeeded: whether there is an input's gradient to add to.
  func arithmetic(of layer: LinearLayer, isInputGradientNeeded: Bool) -> HookArithmetic
  /// Writes the replaced input. - Parameter x: the projection's input, [tokens, in].
  func replaceInput(_ x: MatrixView, into replaced: MatrixView, _ pass: LinearPass)
  /// A low-rank term of the result, [tokens, out], for the frozen product to add.
  ///
  /// - Parameter x: the projection's input, [tokens, in].
  /// - Parameter pass: the micro-batch, with memory to keep what backward needs.
  func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm?
  /// Changes the projection's result `y`, [tokens, out], in place.
  func forward(input x: MatrixView, output y: MatrixView, _ pass: LinearPass)
  /// Turns the gradient of the result into that of the frozen product, in place, and adds to the
  /// hook's parameter gradients.
  func backwardOutput(_ dy: MatrixView, input x: MatrixView, _ pass: LinearPass)
  /// Turns the gradient of the replaced input into that of the input, in place, [tokens, in].
  func backwardReplacedInput(_ dx: MatrixView, input x: MatrixView, _ pass: LinearPass)
  /// A low-rank term of the gradient of the input, [tokens, in], for the frozen product's backward
  /// to add.
  func inputTerm(_ pass: LinearPass) -> LowRankTerm?
  /// Adds the hook's own contribution to the gradient of the input, but for `inputTerm`.
  ///
  /// - Parameters:
  ///   - dy: what `backwardOutput` left, [tokens, out].
  ///   - x: the projection's input, [tokens, in].
  ///   - dx: the gradient of the input so far, [tokens, in]; nil where nobody needs it.
  ///   - pass: the micro-batch, with what forward kept.
  func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass)
}

extension LinearHook {
  /// Most hooks need no scratch.
  public var scratchColumns: Int { 0 }
  /// Most hooks leave the input alone.
  public var replacesInput: Bool { false }
  /// The safe assumption; a hook that only reads the gradient spares a copy.
  public var changesOutputGradient: Bool { true }
  /// Most hooks add nothing of low rank.
  public func outputTerm(input x: MatrixView, _ pass: LinearPass) -> LowRankTerm? { nil }
  /// Most hooks add nothing of low rank.
  public func inputTerm(_ pass: LinearPass) -> LowRankTerm? { nil }
  /// Never called unless `replacesInput`.
  public func replaceInput(_ x: MatrixView, into replaced: MatrixView, _ pass: LinearPass) {}
  /// Never called unless `replacesInput`.
  public func backwardReplacedInput(_ dx: MatrixView, input x: MatrixView, _ pass: LinearPass) {}
  /// A hook without a branch of its own adds nothing.
  public func backwardInput(
    _ dy: MatrixView, input x: MatrixView, addingTo dx: MatrixView?, _ pass: LinearPass
  ) {}
}
