import Kernels

extension LlamaBlock {
  func count(into arithmetic: inout DecoderArithmetic, _ extent: BackwardExtent) {
    countFeedForward(
      &arithmetic, isReached: extent.isReached,
      isNeeded: extent.isReached && (extent.isNeeded || isAttentionTrained))
    countAttention(
      &arithmetic, isReached: extent.isReached && (extent.isNeeded || isAttentionTrained),
      isNeeded: extent.isNeeded)
  }

  private func countFeedForward(
    _ arithmetic: inout DecoderArithmetic, isReached: Bool, isNeeded: Bool
  ) {
    sublayerSites.count(.feedForward, into: &arithmetic, isReached)
    let isInnerNeeded = isReached && isFeedForwardInnerNeeded(isNeeded)
    let isNormNeeded = isInnerNeeded && (isNeeded || parts.postNorm.isTrained)
    parts.down.count(
      into: &arithmetic, .feedForward,
      BackwardExtent(
        isReached: isReached && (parts.down.isTrained || isInnerNeeded), isNeeded: isInnerNeeded))
    for layer in [parts.gate, parts.up] {
      layer.count(
        into: &arithmetic, .feedForward,
        BackwardExtent(isReached: isInnerNeeded, isNeeded: isNormNeeded))
    }
  }

  private func countAttention(
    _ arithmetic: inout DecoderArithmetic, isReached: Bool, isNeeded: Bool
  ) {
    sublayerSites.count(.attention, into: &arithmetic, isReached)
    let isCoreNeeded = isReached && (isNeeded || areProjectionsTrained)
    let isNormNeeded = isCoreNeeded && (isNeeded || parts.inputNorm.isTrained)
    parts.output.count(
      into: &arithmetic, .projection,
      BackwardExtent(
        isReached: isReached && (parts.output.isTrained || isCoreNeeded), isNeeded: isCoreNeeded))
    for layer in [parts.query, parts.key, parts.value] {
      layer.count(
        into: &arithmetic, .projection,
        BackwardExtent(isReached: isCoreNeeded, isNeeded: isNormNeeded))
    }
    func isGradientNeeded(_ layer: LinearLayer, _ norm: NormLayer?) -> Bool {
      isCoreNeeded && (isNormNeeded || layer.isTrained || (norm?.isTrained ?? false))
    }
    core.count(
      into: &arithmetic, query: isGradientNeeded(parts.query, parts.queryNorm),
      key: isGradientNeeded(parts.key, parts.keyNorm), value: isGradientNeeded(parts.value, nil))
  }
}
