import CKernels
import Tensors

// T tokens, E experts, K of them chosen for each token; a choice is one of T·K pairs.

/// Which experts the tokens of a pass go to, and with what weight.
///
/// Choices are *rows*: in ascending order of their expert, and of their token within it.
public struct ExpertAssignment {
  /// The token of each row, [T·K].
  public let tokens: IndexView
  /// The weight of each row, [T·K, 1].
  public let weights: MatrixView
  private let chosen: IndexView  // [T·K] experts of a token, the likeliest first
  private let rows: IndexView  // [T·K] their rows
  private let starts: IndexView  // [E + 1] first row of each expert, and the end

  /// Views of memory for so many tokens' choices, to be filled by ``ExpertRouting``.
  ///
  /// - Parameters:
  ///   - indices: at least ``indexCount(tokens:chosen:experts:)`` integers.
  ///   - weights: [T·K, 1].
  ///   - tokens: T.
  ///   - chosen: K, experts that a token takes.
  ///   - experts: E, experts there are.
  public init(
    indices: IndexView, weights: MatrixView, tokens: Int, chosen: Int, experts: Int
  ) {
    let count = tokens * chosen
    requireShape(weights, count, 1, "weights")
    self.tokens = indices.slice(0..<count)
    self.chosen = indices.slice(count..<(2 * count))
    rows = indices.slice((2 * count)..<(3 * count))
    starts = indices.slice((3 * count)..<(3 * count + experts + 1))
    self.weights = weights
  }

  /// Integers that an assignment takes.
  public static func indexCount(tokens: Int, chosen: Int, experts: Int) -> Int {
    3 * tokens * chosen + experts + 1
  }

  /// The rows of an expert.
  public func rows(of expert: Int) -> Range<Int> { starts[expert]..<starts[expert + 1] }

  /// The choices of a token: their experts and rows.
  fileprivate func choices(of token: Int, _ count: Int) -> (experts: IndexView, rows: IndexView) {
    let range = (token * count)..<((token + 1) * count)
    return (chosen.slice(range), rows.slice(range))
  }

  /// Sorts the choices by expert, and by token within.
  fileprivate func sort(choosing count: Int) {
    for expert in 0..<starts.count { starts[expert] = 0 }
    for choice in 0..<chosen.count { starts[chosen[choice] + 1] += 1 }
    for expert in 1..<starts.count { starts[expert] += starts[expert - 1] }
    // `starts` counts up while rows are dealt out, and is then one expert ahead.
    for choice in 0..<chosen.count {
      let row = starts[chosen[choice]]
      starts[chosen[choice]] = row + 1
      rows[choice] = row
      tokens[row] = choice / count
    }
    for expert in stride(from: starts.count - 1, to: 0, by: -1) {
      starts[expert] = starts[expert - 1]
    }
    starts[0] = 0
  }
}

/// The choice of experts by a softmax over all of them.
///
///     p = softmax(l)     w_j = p_j of the K largest, or p_j / Σ p of the chosen
///
/// (Shazeer et al. 2017, arXiv:1701.06538; Fedus et al. 2022, arXiv:2101.03961.) Of equal ones the
/// lower number is taken. Row sums are f64 in ascending order, so that the bits do not depend on
/// threads or processors.
public enum ExpertRouting {
  /// Turns logits in place into probabilities and assigns tokens to experts.
  ///
  /// - Parameters:
  ///   - logits: [T, E].
  ///   - count: K, at most E.
  ///   - normalizing: whether the weights of a token are divided by their sum.
  ///   - assignment: for T tokens, K choices and E experts; overwritten.
  ///   - compute: the threads that compute it.
  public static func forward(
    _ logits: MatrixView, choosing count: Int, normalizing: Bool,
    into assignment: ExpertAssignment, on compute: Compute
  ) {
    precondition(count >= 1 && count <= logits.columns, "\(count) of \(logits.columns) experts")
    compute.forEachRows(logits.rows, columns: logits.columns) { block in
      for token in block {
        softmax(logits.rows(token..<(token + 1)))
        choose(logits, token, assignment.choices(of: token, count).experts)
      }
    }
    assignment.sort(choosing: count)
    for token in 0..<logits.rows {
      let (experts, rows) = assignment.choices(of: token, count)
      let sum = normalizing ? chosenSum(logits, token, experts) : 1
      for choice in 0..<count {
        assignment.weights[rows[choice], 0] = Float(Double(logits[token, experts[choice]]) / sum)
      }
    }
  }

  /// Turns probabilities in place into the gradient of the logits.
  ///
  ///     dp_j = dw_j, or (dw_j − Σ dw w) / Σ p of the chosen      dl = p ⊙ (dp − Σ dp p)
  ///
  /// - Parameters:
  ///   - dWeights: gradient of the assignment's weights, [T·K, 1].
  ///   - assignment: what `forward` filled.
  ///   - count: K, as in `forward`.
  ///   - normalizing: as in `forward`.
  ///   - p: what `forward` left, [T, E].
  ///   - compute: the threads that compute it.
  public static func backward(
    _ dWeights: MatrixView, _ assignment: ExpertAssignment, choosing count: Int,
    normalizing: Bool, probabilities p: MatrixView, on compute: Compute
  ) {
    requireShape(dWeights, p.rows * count, 1, "dWeights")
    compute.forEachRows(p.rows, columns: p.columns) { block in
      for token in block {
        let (experts, rows) = assignment.choices(of: token, count)
        let sum = normalizing ? chosenSum(p, token, experts) : 1
        var mean = 0.0
        if normalizing {
          for row in 0..<count {
            mean += Double(dWeights[rows[row], 0]) * Double(assignment.weights[rows[row], 0])
          }
        }
        func dp(_ choice: Int) -> Double { (Double(dWeights[rows[choice], 0]) - mean) / sum }
        var inner = 0.0
        for choice in 0..<count { inner += dp(choice) * Double(p[token, experts[choice]]) }
        for expert in 0..<p.columns where !contains(experts, expert) {
          p[token, expert] = Float(-inner * Double(p[token, expert]))
        }
        for choice in 0..<count {
          let expert = experts[choice]
          p[token, expert] = Float((dp(choice) - inner) * Double(p[token, expert]))
        }
      }
    }
  }

  private static func softmax(_ row: MatrixView) {
    var largest = -Float.infinity
    for expert in 0..<row.columns { largest = max(largest, row[0, expert]) }
    var sum = 0.0
    for expert in 0..<row.columns {
      let e = PortableMath.exp(Double(row[0, expert]) - Double(largest))
      row[0, expert] = Float(e)
      sum += e
    }
    for expert in 0..<row.columns { row[0, expert] = Float(Double(row[0, expert]) / sum) }
  }

  private static func choose(_ p: MatrixView, _ token: Int, _ experts: IndexView) {
    for choice in 0..<experts.count {
      var best: Int?
      var largest: Float = -1
      for expert in 0..<p.columns where p[token, expert] > largest {
        if contains(experts.prefix(choice), expert) { continue }
        (best, largest) = (expert, p[token, expert])
      }
      // Where nothing is a number any expert does; the loss will say so.
      experts[choice] = best ?? (0..<p.columns).first { !contains(experts.prefix(choice), $0) } ?? 0
    }
  }

  private static func chosenSum(_ p: MatrixView, _ token: Int, _ experts: IndexView) -> Double {
    var sum = 0.0
    for choice in 0..<experts.count { sum += Double(p[token, experts[choice]]) }
    return sum
  }

  private static func contains(_ experts: IndexView, _ expert: Int) -> Bool {
    for choice in 0..<experts.count where experts[choice] == expert { return true }
    return false
  }
}
