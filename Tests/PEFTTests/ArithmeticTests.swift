import Diagnostics
import JSON
import Kernels
import Model
import PEFT
import TestSupport
import Testing

/// The tiny Llama: 2 blocks, 4 heads over 2 of 8 features.
///
/// Counts here are written out from the
/// mathematics, not from the code.
@Suite("Useful arithmetic") struct ArithmeticTests {
  private let hidden = 32
  private let inner = 48
  private let vocabulary = 53
  private let keyValue = 16
  /// in + out of each of the seven projections, and in · out.
  private var shapes: [(Int, Int)] {
    [
      (hidden, hidden), (hidden, keyValue), (hidden, keyValue), (hidden, hidden), (hidden, inner),
      (hidden, inner), (inner, hidden),
    ]
  }
  private var products: Int { shapes.reduce(0) { $0 + $1.0 * $1.1 } }
  private let length = 11
  private let targets = 7
  private var pairs: Int { length * (length + 1) / 2 }
  private var head: Int { targets * hidden * vocabulary }

  private func found(_ base: AdaptedBase, length: Int? = nil) -> Int {
    base.decoder.usefulArithmetic.multiplyAdds(
      length: length ?? self.length, targetCount: targets)
  }

  @Test("A frozen model is its forward pass")
  func frozen() throws {
    let decoder = try Decoder(directory: Fixtures.model("llama"))
    let forward = 2 * (length * products + pairs * 2 * hidden) + head
    let arithmetic = decoder.usefulArithmetic
    #expect(arithmetic.multiplyAdds(length: length, targetCount: targets) == forward)
    #expect(arithmetic.multiplyAdds(length: length, targetCount: 0) == 0)
    #expect(
      arithmetic.multiplyAdds(.head, .forward, length: length, targetCount: targets) == head)
  }

  @Test("LoRA everywhere is forward, the gradients below it, and its own products")
  func loraEverywhere() throws {
    let rank = 3
    let base = try AdaptedBase(
      "lora", on: "llama", ["r": .int(rank), "target_modules": .string("all-linear")])
    let both = shapes.reduce(0) { $0 + rank * ($1.0 + $1.1) }
    // Forward A and B; backward B's gradient, the branch's, A's, and the input's.
    let upper = length * (2 * products + 3 * both) + pairs * (2 + 4) * hidden
    // Below the lowest block nothing trains: q, k, v have no gradient of their input to make, nor
    // their adapters.
    let entries = shapes[0..<3].reduce(0) { $0 + $1.0 * $1.1 }
    let dead = entries + rank * 3 * hidden
    #expect(found(base) == 2 * upper - length * dead + 2 * head)
  }

  @Test("Backward ends at the lowest adapter, and makes no gradient that nobody needs")
  func lowestAdapter() throws {
    let rank = 4
    let base = try AdaptedBase(
      "lora", on: "llama",
      [
        "r": .int(rank), "target_modules": .array([.string("v_proj")]),
        "layers_to_transform": .array([.int(1)]),
      ])
    let forward = 2 * (length * products + pairs * 2 * hidden) + head
    let (values, adapter) = (hidden * keyValue, rank * (hidden + keyValue))
    // Block 1 backward: the feed-forward's and the output projection's input gradients; of attention
    // that of the values alone.
    let backward = length * (products - hidden * hidden - 2 * values) + pairs * hidden
    let own = length * (adapter + 2 * rank * keyValue + rank * hidden)
    #expect(found(base) == forward + head + backward + own)
  }

  @Test("Full fine-tuning has each weight's gradient besides")
  func full() throws {
    let base = try AdaptedBase("full", on: "llama")
    let blocks = 2 * (length * 3 * products + pairs * 6 * hidden)
    #expect(found(base) == blocks + 3 * head)
  }

  @Test("Virtual tokens are rows like others")
  func virtualTokens() throws {
    let base = try AdaptedBase("prompt-tuning", on: "llama", ["num_virtual_tokens": .int(5)])
    let rows = length + 5
    let expected =
      2 * (rows * 2 * products + rows * (rows + 1) / 2 * 6 * hidden) + 2 * head
    #expect(found(base) == expected)
  }

  @Test("A prefix is seen by every query")
  func prefix() throws {
    let base = try AdaptedBase("prefix-tuning", on: "llama", ["num_virtual_tokens": .int(5)])
    let adapter = 2 * length * 5 * hidden * (2 + 4)
    let arithmetic = base.decoder.usefulArithmetic
    let counted = StepDirection.allCases.reduce(0) {
      $0 + arithmetic.multiplyAdds(.adapter, $1, length: length, targetCount: targets)
    }
    // The lowest block's keys and values need no gradient of their own rows, and so no queries'.
    #expect(counted == adapter - length * 5 * hidden)
  }

  @Test("Of experts those are counted that a token takes")
  func experts() throws {
    // Four blocks, of which two have experts: 3 of 6, 12 wide; hidden 16, heads 4 and 2 of 6.
    let (hidden, chosen, width, rank) = (16, 3, 12, 2)
    let dense = hidden * (24 + 12 + 12) + 24 * hidden
    let expert = 3 * hidden * width
    let products =
      4 * dense + 2 * 3 * hidden * 20 + 2 * (hidden * 6 + chosen * expert)
    let seen = 5 * 6 / 2 + (length - 5) * 5
    let head = targets * hidden * vocabulary
    let forward = length * products + 4 * seen * 2 * 24 + head
    let frozen = try Decoder(directory: Fixtures.model("qwen3_moe"))
    // Backward's is counted before anything trains: what ends at the head.
    #expect(
      frozen.usefulArithmetic.multiplyAdds(length: length, targetCount: targets) == forward)
    // Of the last block's experts down alone: their rows' gradients, and none below.
    let base = try AdaptedBase(
      "lora", on: "qwen3_moe",
      ["r": .int(rank), "target_parameters": ["layers.3.mlp.experts.down_proj"]])
    let own = length * chosen * (rank * (width + hidden) + 2 * rank * hidden + 2 * rank * width)
    let backward = length * chosen * hidden * width
    #expect(found(base) == forward + head + backward + own)
  }

  @Test("Parts add up to the whole, for every method and family", arguments: MethodCase.all)
  func parts(method: MethodCase) throws {
    for family in Fixtures.families {
      let base = try AdaptedBase(method.method, on: family, method.on(family).options)
      let arithmetic = base.decoder.usefulArithmetic
      let sum = StepPart.allCases.reduce(0) { sum, part in
        StepDirection.allCases.reduce(sum) {
          $0 + arithmetic.multiplyAdds(part, $1, length: length, targetCount: targets)
        }
      }
      #expect(sum == found(base) && sum > 0, "\(family)")
    }
  }
}
