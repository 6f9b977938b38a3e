import JSON
import Tensors

/// AdaLoRA's allocator: which triplets stay, decided from smoothed importance on a shrinking budget.
///
/// At step t (from 1), after the update and before gradients are cleared, so with new weights w and
/// the gradients that moved them, and T = `total_step` − `tfinal`:
///
/// 1. t < T, for every element: `I = |w·∂w|`, `Ī ← β₁Ī + (1−β₁)I`, `Ū ← β₂Ū + (1−β₂)|I − Ī|`.
/// 2. A triplet's score is `σ(E_i) + mean_j σ(A_ij) + mean_j σ(B_ji)` with `σ = Ī·Ū`.
/// 3. tinit < t < T and t a multiple of deltaT: `E_i ← 0` where the score is at most the
///    (b₀ − b)-th smallest, b the cubic budget. Masks do not add up: what was pruned may grow back.
/// 4. t = T: the same with b = b_T, and the pattern is final. Later: `E_i ← 0` by the pattern.
///
/// It sees reduced gradients alone, so every rank decides alike.
final class RankAllocator {
  /// The places of one projection's tensors.
  struct Triplets {
    let a, e, b: ParameterSlot  // [R, in], [R, 1], [out, R]
  }

  private let configuration: AdaLoRAConfiguration
  private let triplets: [Triplets]
  private let arena: ParameterArena
  private let importance: OwnedMatrix  // Ī, in the arena's layout
  private let uncertainty: OwnedMatrix  // Ū, likewise
  private let scores: OwnedMatrix  // [1, modules·R₀]
  private let ordered: OwnedMatrix  // the same, for finding the threshold
  /// Which triplets the last mask kept, module after module; meaningless before the first.
  private(set) var kept: [Bool]
  /// Whether there was a mask.
  private(set) var hasPattern = false
  /// Whether the pattern is final.
  private var isFinal = false
  /// The threshold of the last mask.
  private(set) var threshold: Float = 0
  /// Triplets that the last step's budget allowed.
  private(set) var budget: Int
  private let initialBudget: Int
  private let targetBudget: Int

  init(_ configuration: AdaLoRAConfiguration, triplets: [Triplets], arena: ParameterArena) {
    self.configuration = configuration
    self.triplets = triplets
    self.arena = arena
    initialBudget = triplets.count * configuration.initialRank
    targetBudget = triplets.count * configuration.targetRank
    budget = initialBudget
    importance = OwnedMatrix(
      rows: 1, columns: arena.floatCount, isPlanned: arena.isPlanned)
    uncertainty = OwnedMatrix(
      rows: 1, columns: arena.floatCount, isPlanned: arena.isPlanned)
    scores = OwnedMatrix(rows: 1, columns: initialBudget)
    ordered = OwnedMatrix(rows: 1, columns: initialBudget)
    kept = Array(repeating: true, count: initialBudget)
  }

  /// Bytes of averages and scores.
  var byteCount: Int {
    [importance, uncertainty, scores, ordered].reduce(0) { $0 + $1.byteCount }
  }

  /// The budget of a step and whether its schedule prunes then.
  func schedule(_ step: Int, totalSteps: Int) -> (budget: Int, isMasking: Bool) {
    let last = totalSteps - configuration.finalSteps
    if step <= configuration.warmupSteps { return (initialBudget, false) }
    if step > last { return (targetBudget, true) }
    let passed = Double(step - configuration.warmupSteps)
    let left = 1 - passed / Double(last - configuration.warmupSteps)
    let extra = Double(initialBudget - targetBudget) * (left * left * left)
    return (Int(extra + Double(targetBudget)), step % configuration.interval == 0)
  }

  /// Takes a step; see the type.
  ///
  /// - Parameter gradientScale: what the gradients are to be multiplied by.
  func didStep(_ step: Int, totalSteps: Int, gradientScale: Float) {
    let last = totalSteps - configuration.finalSteps
    let isMasking: Bool
    (budget, isMasking) = schedule(step, totalSteps: totalSteps)
    if step < last {
      observe(gradientScale)
      if isMasking { mask(dropping: initialBudget - budget) }
    } else if isFinal {
      applyPattern()
    } else {
      // Step T, or the first one after it where T was a step without counted tokens.
      mask(dropping: initialBudget - targetBudget)
      isFinal = true
    }
  }

  // MARK: Importance

  private func observe(_ gradientScale: Float) {
    for module in triplets {
      observe(module.a, gradientScale)
      observe(module.e, gradientScale)
      observe(module.b, gradientScale)
    }
  }

  private func observe(_ slot: ParameterSlot, _ gradientScale: Float) {
    let (beta1, beta2) = (Float(configuration.beta1), Float(configuration.beta2))
    let (rest1, rest2) = (Float(1 - configuration.beta1), Float(1 - configuration.beta2))
    let (w, dw) = (arena.values(slot), arena.gradients(slot))
    let (average, deviation) = (view(importance, slot), view(uncertainty, slot))
    for row in 0..<w.rows {
      for column in 0..<w.columns {
        let now = abs(w[row, column] * (dw[row, column] * gradientScale))
        let smooth = beta1 * average[row, column] + rest1 * now
        average[row, column] = smooth
        deviation[row, column] = beta2 * deviation[row, column] + rest2 * abs(now - smooth)
      }
    }
  }

  // MARK: Masks

  private func mask(dropping count: Int) {
    score()
    ordered.view.copy(from: scores.view)
    threshold = smallest(count, in: ordered.view)
    for index in 0..<initialBudget { kept[index] = !(scores.view[0, index] <= threshold) }
    hasPattern = true
    applyPattern()
  }

  private func score() {
    let rank = configuration.initialRank
    for (module, places) in triplets.enumerated() {
      let inputs = Double(places.a.columns)
      let outputs = Double(places.b.rows)
      let (a, da) = (view(importance, places.a), view(uncertainty, places.a))
      let (e, de) = (view(importance, places.e), view(uncertainty, places.e))
      let (b, db) = (view(importance, places.b), view(uncertainty, places.b))
      for i in 0..<rank {
        var sumA = 0.0
        var sumB = 0.0
        for j in 0..<a.columns { sumA += Double(a[i, j] * da[i, j]) }
        for j in 0..<b.rows { sumB += Double(b[j, i] * db[j, i]) }
        scores.view[0, module * rank + i] =
          e[i, 0] * de[i, 0] + (Float(sumA / inputs) + Float(sumB / outputs))
      }
    }
  }

  private func applyPattern() {
    let rank = configuration.initialRank
    for (module, places) in triplets.enumerated() {
      let e = arena.values(places.e)
      for i in 0..<rank where !kept[module * rank + i] { e[i, 0] = 0 }
    }
  }

  /// The `count`-th smallest number (from 1), by Hoare's selection; reorders the row.
  private func smallest(_ count: Int, in row: MatrixView) -> Float {
    let wanted = count - 1
    var (low, high) = (0, row.columns - 1)
    while low < high {
      let pivot = row[0, (low + high) / 2]
      var (i, j) = (low, high)
      while i <= j {
        while row[0, i] < pivot { i += 1 }
        while row[0, j] > pivot { j -= 1 }
        if i <= j {
          (row[0, i], row[0, j]) = (row[0, j], row[0, i])
          i += 1
          j -= 1
        }
      }
      if wanted <= j { high = j } else if wanted >= i { low = i } else { break }
    }
    return row[0, wanted]
  }

  private func view(_ owner: OwnedMatrix, _ slot: ParameterSlot) -> MatrixView {
    owner.view.columns(slot.range).reshaped(rows: slot.rows, columns: slot.columns)
  }

  // MARK: State

  /// The averages, whole.
  var replicas: [(name: String, values: MatrixView)] {
    [("AdaLoRA's importance", importance.view), ("AdaLoRA's uncertainty", uncertainty.view)]
  }

  /// The averages, by the names of what they are averages of, and the pattern.
  var state: MethodState {
    var state = MethodState()
    for module in triplets {
      for slot in [module.a, module.e, module.b] {
        for (prefix, owner) in averages {
          state.tensors.append(
            NamedTensor(
              name: prefix + slot.name, shape: slot.shape, values: view(owner, slot).elements))
        }
      }
    }
    if hasPattern { state.fields["rank_pattern"] = .object(pattern { kept[$0] }) }
    state.fields["rank_pattern_is_final"] = .bool(isFinal)
    return state
  }

  /// Takes the averages and the pattern back.
  func restore(_ state: MethodState) throws(PEFTError) {
    let tensors = Dictionary(state.tensors.map { ($0.name, $0) }) { first, _ in first }
    for module in triplets {
      for slot in [module.a, module.e, module.b] {
        for (prefix, owner) in averages {
          guard let tensor = tensors[prefix + slot.name] else {
            throw .missingTensor(name: prefix + slot.name, source: "the checkpoint")
          }
          guard tensor.shape == slot.shape else {
            throw .misshapenTensor(
              name: tensor.name, found: tensor.shape, expected: slot.shape)
          }
          view(owner, slot).assign(tensor.values)
        }
      }
    }
    let saved = state.fields["rank_pattern"] ?? .null
    hasPattern = !saved.isNull
    isFinal = state.fields["rank_pattern_is_final"]?.bool ?? false
    guard hasPattern else { return }
    let rank = configuration.initialRank
    for (module, places) in triplets.enumerated() {
      let name = Self.patternKey(places.e)
      let list = (saved[name]?.array ?? []).compactMap(\.bool)
      guard list.count == rank else {
        throw .missingTensor(name: "rank_pattern.\(name)", source: "the checkpoint")
      }
      for i in 0..<rank { kept[module * rank + i] = list[i] }
    }
  }

  private var averages: [(String, OwnedMatrix)] {
    [("exp_avg_ipt.", importance), ("exp_avg_unc.", uncertainty)]
  }

  /// A truth value for every triplet, by the names that PEFT's `rank_pattern` has.
  func pattern(_ isKept: (_ triplet: Int) -> Bool) -> [String: JSONValue] {
    let rank = configuration.initialRank
    var result: [String: JSONValue] = [:]
    for (module, places) in triplets.enumerated() {
      result[Self.patternKey(places.e)] = .array(
        (0..<rank).map { .bool(isKept(module * rank + $0)) })
    }
    return result
  }

  /// `model.layers.0.self_attn.q_proj.lora_E`: the tensor's name without PEFT's prefix.
  static func patternKey(_ slot: ParameterSlot) -> String {
    String(slot.name.dropFirst(huggingFacePrefix.count))
  }
}
