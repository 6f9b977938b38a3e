import Foundation
import Tensors

/// How rotary positions are stretched beyond the length that a model was trained at.
public enum RotaryScaling: Sendable, Hashable {
  /// As trained.
  case none
  /// Every frequency divided by `factor`.
  case linear(factor: Double)
  /// Llama 3.1's: low frequencies divided, high ones kept, a ramp between.
  case llama3(factor: Double, lowFactor: Double, highFactor: Double, originalPositions: Int)
  /// A larger base for sequences longer than `trainedPositions`, the larger the longer they are.
  case dynamic(factor: Double, trainedPositions: Int)
  /// Peng et al., "YaRN", 2023.
  case yarn(YaRN)
  /// Ding et al., "LongRoPE", 2024.
  case longRoPE(LongRoPE)
}

/// The constants of LongRoPE (arXiv:2402.13753).
public struct LongRoPE: Sendable, Hashable {
  /// What each frequency is divided by in sequences up to `originalPositions`.
  public var shortFactors: [Double]
  /// What each frequency is divided by in longer ones.
  public var longFactors: [Double]
  /// Positions that the model was trained at.
  public var originalPositions: Int
  /// Factor of cosines and sines, and so of queries and keys.
  public var attentionFactor: Double
}

/// The constants of YaRN (arXiv:2309.00071).
public struct YaRN: Sendable, Hashable {
  /// What low frequencies are divided by.
  public var factor: Double
  /// Positions that the model was trained at.
  public var originalPositions: Int
  /// A pair that turns at least so often within the original positions keeps its frequency.
  public var betaFast: Double
  /// A pair that turns at most so often has its frequency divided.
  public var betaSlow: Double
  /// Factor of cosines and sines, and so of queries and keys.
  public var attentionFactor: Double
  /// Whether the ends of the ramp between both are rounded outwards to whole pairs.
  public var truncates: Bool
}

/// The rotary positions of a model: which angle each pair of features turns by at each position.
public struct RotaryScheme: Sendable, Hashable {
  /// Base of the frequencies.
  public var theta: Double
  /// Their stretching.
  public var scaling: RotaryScaling
  /// Features of a head that turn, D: the first ones.
  public var features: Int

  /// Whether frequencies depend on a sequence's length, up to a length.
  public func isDynamic(upTo length: Int) -> Bool {
    switch scaling {
    case .dynamic: true
    case .longRoPE(let long): length > long.originalPositions
    default: false
    }
  }

  /// Factor of cosines and sines.
  public var amplitude: Double {
    switch scaling {
    case .yarn(let yarn): yarn.attentionFactor
    case .longRoPE(let long): long.attentionFactor
    default: 1
    }
  }

  /// The angle per position of each pair, [D/2]: θ^(−2i/D), stretched as configured.
  ///
  /// - Parameter length: positions of the sequence, counted from 0; matters where they are dynamic.
  public func inverseFrequencies(length: Int) -> [Double] {
    var frequencies = Array(repeating: 0.0, count: features / 2)
    write(length: length, into: &frequencies)
    return frequencies
  }

  /// Whether every angle of so many positions is one whose sine can be computed: no published model is
  /// near the limit, a damaged configuration may be.
  func hasAngles(upTo positions: Int) -> Bool {
    guard features <= 1 << 16 else { return false }
    // Stretching by length makes angles smaller or takes other factors.
    return [0, positions].allSatisfy { length in
      inverseFrequencies(length: length).allSatisfy { $0.magnitude * Double(positions) <= 0x1p28 }
    }
  }

  /// Writes `inverseFrequencies` where there is room for them already.
  ///
  /// Formulas are those of transformers' `modeling_rope_utils.py`.
  func write(length: Int, into frequencies: inout [Double]) {
    var base = theta
    if case .dynamic(let factor, let trained) = scaling, length > trained {
      let stretch = factor * Double(length) / Double(trained) - (factor - 1)
      base *= PortableMath.pow(stretch, Double(features) / Double(features - 2))
    }
    for pair in frequencies.indices {
      frequencies[pair] = PortableMath.pow(base, -2 * Double(pair) / Double(features))
    }
    switch scaling {
    case .none, .dynamic: break
    case .linear(let factor): for pair in frequencies.indices { frequencies[pair] /= factor }
    case .llama3(let factor, let low, let high, let original):
      for pair in frequencies.indices {
        let frequency = frequencies[pair]
        let wavelength = 2 * Double.pi / frequency
        if wavelength < Double(original) / high { continue }
        if wavelength > Double(original) / low {
          frequencies[pair] = frequency / factor
        } else {
          let smooth = (Double(original) / wavelength - low) / (high - low)
          frequencies[pair] = (1 - smooth) * frequency / factor + smooth * frequency
        }
      }
    case .yarn(let yarn):
      let ramp = ramp(yarn)
      for pair in frequencies.indices {
        let divided = min(max((Double(pair) - ramp.start) / (ramp.end - ramp.start), 0), 1)
        frequencies[pair] *= divided / yarn.factor + (1 - divided)
      }
    case .longRoPE(let long):
      let factors = length > long.originalPositions ? long.longFactors : long.shortFactors
      for pair in frequencies.indices { frequencies[pair] /= factors[pair] }
    }
  }

  /// The pairs between which YaRN goes over from kept frequencies to divided ones.
  private func ramp(_ yarn: YaRN) -> (start: Double, end: Double) {
    /// The pair that turns so often within the original positions.
    func pair(turns: Double) -> Double {
      Double(features) * PortableMath.log(Double(yarn.originalPositions) / (turns * 2 * Double.pi))
        / (2 * PortableMath.log(theta))
    }
    var (start, end) = (pair(turns: yarn.betaFast), pair(turns: yarn.betaSlow))
    if yarn.truncates { (start, end) = (start.rounded(.down), end.rounded(.up)) }
    (start, end) = (max(start, 0), min(end, Double(features - 1)))
    // transformers' own guard against a ramp without width.
    return (start, start == end ? end + 0.001 : end)
  }
}
