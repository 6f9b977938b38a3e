import Kernels
import Tensors

/// Makes projections, norms and halves of blocks out of named tensors, and numbers the sites.
///
/// Sites are numbered in the order in which they are made, and with them the random numbers of
/// dropout.
struct LayerBuilder {
  let weights: BaseWeights
  let configuration: DecoderConfiguration
  let arithmetic: Arithmetic
  private var siteCount = 0

  init(_ weights: BaseWeights, _ configuration: DecoderConfiguration, _ arithmetic: Arithmetic) {
    self.weights = weights
    self.configuration = configuration
    self.arithmetic = arithmetic
  }

  /// The path of a block.
  func path(_ block: Int) -> String { "\(configuration.names.blocks).\(block)" }

  mutating func linear(
    _ path: String, block: Int, from inputSize: Int, to outputSize: Int, bias: Bool,
    layout: WeightMatrix.Layout = .outputMajor, isExact: Bool = false,
    hint: (_ found: [Int]) -> String = { _ in "" }
  ) throws(ModelError) -> LinearLayer {
    let weight = try weights.matrix(
      path + ".weight", outputSize: outputSize, inputSize: inputSize, layout: layout, hint: hint)
    let biasVector = bias ? try weights.vector(path + ".bias", count: outputSize) : nil
    defer { siteCount += 1 }
    return LinearLayer(
      path: path, block: block, weight: weight, bias: biasVector, arithmetic: arithmetic,
      siteIndex: siteCount, isExact: isExact)
  }

  /// The head: the last site.
  func head(_ weight: Parameter) -> LinearLayer {
    LinearLayer(
      path: BaseWeights.headPath, block: configuration.blockCount, weight: weight,
      bias: nil, arithmetic: arithmetic, siteIndex: siteCount)
  }

  /// A norm of the configuration's kind.
  ///
  /// - Parameter size: features of a row; the hidden size where it is not given.
  func norm(_ path: String, size: Int? = nil) throws(ModelError) -> NormLayer {
    let (size, kind) = (size ?? configuration.hiddenSize, configuration.norm)
    return NormLayer(
      path: path, weight: try weights.vector(path + ".weight", count: size),
      bias: kind == .layer ? try weights.vector(path + ".bias", count: size) : nil,
      offset: kind == .rmsAroundOne ? 1 : 0, epsilon: configuration.normEpsilon)
  }

  func core(block: Int) -> AttentionCore {
    let c = configuration
    return AttentionCore(
      shape: AttentionShape(
        headCount: c.headCount, keyValueHeadCount: c.keyValueHeadCount, headDim: c.headDim,
        scale: Float(c.attentionScales[block]), softCap: Float(c.attentionSoftCap),
        window: c.windows[block]),
      block: block, arithmetic: arithmetic)
  }

  /// Attention by `q_proj`, `k_proj`, `v_proj` and `o_proj`, with `q_norm` and `k_norm` where the
  /// configuration has norms of queries and keys.
  mutating func attention(_ block: Int) throws(ModelError) -> AttentionBody {
    let c = configuration
    let path = "\(path(block)).\(c.names.attention)"
    let keyHint = { (found: [Int]) -> String in
      found.count == 2 && found[1] == c.hiddenSize && found[0] % c.headDim == 0
        ? "Check num_key_value_heads in config.json (found \(c.keyValueHeadCount); the file fits "
          + "\(found[0] / c.headDim))."
        : "Check head_dim and num_key_value_heads in config.json."
    }
    let query = try linear(
      "\(path).q_proj", block: block, from: c.hiddenSize, to: c.querySize,
      bias: c.queryKeyValueBias)
    let key = try linear(
      "\(path).k_proj", block: block, from: c.hiddenSize, to: c.keyValueSize,
      bias: c.queryKeyValueBias, hint: keyHint)
    let value = try linear(
      "\(path).v_proj", block: block, from: c.hiddenSize, to: c.keyValueSize,
      bias: c.queryKeyValueBias, hint: keyHint)
    let output = try linear(
      "\(path).o_proj", block: block, from: c.querySize, to: c.hiddenSize, bias: c.outputBias)
    var rowNorms: (query: NormLayer, key: NormLayer)?
    if c.queryKeyNorm != .none {
      let isWhole = c.queryKeyNorm == .whole
      rowNorms = (
        query: try norm("\(path).q_norm", size: isWhole ? c.querySize : c.headDim),
        key: try norm("\(path).k_norm", size: isWhole ? c.keyValueSize : c.headDim)
      )
    }
    return AttentionBody(
      source: SplitQueryKeyValue(query: query, key: key, value: value, rowNorms: rowNorms),
      core: core(block: block), output: output)
  }

  /// A gated network of `gate_proj`, `up_proj` and `down_proj`.
  mutating func gatedFeedForward(_ block: Int) throws(ModelError) -> GatedFeedForward {
    let c = configuration
    let path = "\(path(block)).\(c.names.feedForward)"
    let (h, f, bias) = (c.hiddenSize, c.intermediateSize, c.feedForwardBias)
    let gate = try linear("\(path).gate_proj", block: block, from: h, to: f, bias: bias)
    let up = try linear("\(path).up_proj", block: block, from: h, to: f, bias: bias)
    let down = try linear("\(path).down_proj", block: block, from: f, to: h, bias: bias)
    return GatedFeedForward(gate: gate, up: up, down: down, activation: c.activation)
  }

  /// Gated networks of which each token takes some, as `gate` says.
  mutating func expertFeedForward(
    _ block: Int, _ experts: ExpertConfiguration
  ) throws(ModelError) -> ExpertFeedForward {
    let c = configuration
    let path = "\(path(block)).\(c.names.feedForward)"
    let (h, f) = (c.hiddenSize, experts.intermediateSize)
    let router = try linear(
      "\(path).gate", block: block, from: h, to: experts.count, bias: false, isExact: true)
    var all: [ExpertFeedForward.Expert] = []
    for index in 0..<experts.count {
      let own = "\(path).experts.\(index)"
      let expert = ExpertFeedForward.Expert(
        gate: try linear("\(own).gate_proj", block: block, from: h, to: f, bias: false),
        up: try linear("\(own).up_proj", block: block, from: h, to: f, bias: false),
        down: try linear("\(own).down_proj", block: block, from: f, to: h, bias: false))
      for layer in expert.layers { layer.weight.isPart = true }
      all.append(expert)
    }
    return ExpertFeedForward(
      path: path, router: router, experts: all, experts, activation: c.activation)
  }

  /// A network of two projections.
  mutating func plainFeedForward(
    _ block: Int, expand: String, contract: String
  ) throws(ModelError) -> PlainFeedForward {
    let c = configuration
    let path = "\(path(block)).\(c.names.feedForward)"
    let (h, f, bias) = (c.hiddenSize, c.intermediateSize, c.feedForwardBias)
    let first = try linear("\(path).\(expand)", block: block, from: h, to: f, bias: bias)
    let second = try linear("\(path).\(contract)", block: block, from: f, to: h, bias: bias)
    return PlainFeedForward(expand: first, contract: second, activation: c.activation)
  }
}
