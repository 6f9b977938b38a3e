import Kernels

extension GPT2Block {
  func count(into arithmetic: inout DecoderArithmetic, _ extent: BackwardExtent) {
    let isAttentionReached = extent.isReached && (extent.isNeeded || isAttentionTrained)
    sublayerSites.count(.feedForward, into: &arithmetic, extent.isReached)
    let isInnerNeeded = extent.isReached && isFeedForwardInnerNeeded(isAttentionReached)
    parts.contract.count(
      into: &arithmetic, .feedForward,
      BackwardExtent(
        isReached: extent.isReached && (parts.contract.isTrained || isInnerNeeded),
        isNeeded: isInnerNeeded))
    parts.expand.count(
      into: &arithmetic, .feedForward,
      BackwardExtent(
        isReached: isInnerNeeded,
        isNeeded: isInnerNeeded && (isAttentionReached || parts.second.isTrained)))

    sublayerSites.count(.attention, into: &arithmetic, isAttentionReached)
    let isCoreNeeded = isAttentionReached && (extent.isNeeded || areProjectionsTrained)
    parts.output.count(
      into: &arithmetic, .projection,
      BackwardExtent(
        isReached: isAttentionReached && (parts.output.isTrained || isCoreNeeded),
        isNeeded: isCoreNeeded))
    let isNormNeeded = isCoreNeeded && (extent.isNeeded || parts.first.isTrained)
    parts.fused.count(
      into: &arithmetic, .projection,
      BackwardExtent(isReached: isCoreNeeded, isNeeded: isNormNeeded))
    // One projection makes all three, so their gradients are needed together.
    let isGradientNeeded = isCoreNeeded && (isNormNeeded || parts.fused.isTrained)
    core.count(
      into: &arithmetic, query: isGradientNeeded, key: isGradientNeeded, value: isGradientNeeded)
  }
}
