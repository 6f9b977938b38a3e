import JSON
import Kernels
import Model
import PEFT
import Tensors
import TestSupport
import Testing

/// Adapters of the token table and of the head, beside what golden runs show.
@Suite("Adapters of the embeddings")
struct EmbeddingAdapterTests {
  private static let table = "base_model.model.model.embed_tokens"
  private static let head = "base_model.model.lm_head"

  @Test("A generated token's logits are those of the whole sequence", arguments: cachedCases)
  func cached(_ name: String) throws {
    let adapted = try AdaptedBase(GoldenCase(name))
    let tokens = try GoldenInputs().tokens[0]
    let whole = try adapted.logits().prefix(tokens.count * 53)
    let c = adapted.decoder.configuration
    try adapted.decoder.prepare(
      for: .inference, maximumTokens: tokens.count, maximumSequences: 1,
      maximumLength: tokens.count)
    let batch = adapted.decoder.makeBatch(maximumTokens: tokens.count, maximumSequences: 1)
    let cache = KeyValueCache(
      blockCount: c.blockCount, keyValueSize: c.keyValueSize, capacity: tokens.count)
    let row = IndexBuffer([0])
    let logits = OwnedMatrix(rows: 1, columns: 53)
    for (index, token) in tokens.enumerated() {
      batch.clear()
      batch.beginSequence(startPosition: index)
      batch.append(token: token, isTarget: false)
      batch.endSequence()
      adapted.decoder.logits(
        Pass(batch: batch, compute: adapted.compute, isTraining: false, cache: cache),
        rows: row.all, into: logits.view)
      let expected = whole[(index * 53)..<((index + 1) * 53)].map(Double.init)
      #expect(relativeError(logits.view.elements.map(Double.init), expected) <= 1e-5)
    }
  }

  static let cachedCases = [
    "lora-llama-table", "lora-gpt2-table", "lora-llama-head-target", "lora-llama-tied-tokens",
    "lora-llama-tied-ensured-dora", "ia3-gpt2-head-input",
  ]

  @Test("What a tied pair of tensors starts and ends as is one")
  func ensured() throws {
    for (word, base) in [
      (JSONValue.bool(true), "llama-tied"), ("gaussian", "gpt2"), (false, "gpt2"),
    ] {
      let adapted = try AdaptedBase(
        "lora", on: base,
        [
          "target_modules": ["lm_head"], "ensure_weight_tying": true, "init_lora_weights": word,
        ])
      let path = "base_model.model.\(adapted.decoder.tablePath)"
      #expect(adapted.decoder.isHeadTied)
      let (a, b) = (
        adapted.arena.values(adapted.slot("\(path).lora_embedding_A")),
        adapted.arena.values(adapted.slot("\(path).lora_embedding_B"))
      )
      let (headA, headB) = (
        adapted.arena.values(adapted.slot("\(Self.head).lora_A.weight")),
        adapted.arena.values(adapted.slot("\(Self.head).lora_B.weight"))
      )
      func isTied() -> Bool {
        (0..<a.rows).allSatisfy { r in
          (0..<a.columns).allSatisfy { a[r, $0] == headB[$0, r] }
            && (0..<b.rows).allSatisfy { b[$0, r] == headA[r, $0] }
        }
      }
      #expect(isTied() && b.elements.contains { $0 != 0 })
      // Steps of 1 at the table and of 2 at the head come to 3 at both.
      let start = a.elements
      for (view, step) in [(a, Float(1)), (b, 1), (headA, 2), (headB, 2)] {
        for r in 0..<view.rows { for c in 0..<view.columns { view[r, c] += step } }
      }
      adapted.method.didStep(adapted.context(1))
      #expect(isTied())
      #expect(zip(a.elements, start).allSatisfy { abs($0 - $1 - 3) < 1e-5 })
    }
  }

  @Test("Where there is nothing to tie, that is said")
  func ineffective() throws {
    for (base, targets) in [("llama", "embed_tokens"), ("gpt2", "wte"), ("llama-tied", "q_proj")] {
      let adapted = try AdaptedBase(
        "lora", on: base,
        ["target_modules": [.string(targets)], "ensure_weight_tying": true])
      let notes = try adapted.method.prepareRun(totalSteps: 1)
      #expect(notes.contains { $0.contains("ensure_weight_tying has no effect") }, "\(base)")
    }
  }

  static let contradictions: [(base: String, words: [String], options: [String: JSONValue])] = [
    (
      "llama", ["embed_tokens"],
      ["target_modules": ["embed_tokens"], "trainable_token_indices": [1]]
    ),
    ("llama-tied", ["lm_head"], ["target_modules": ["lm_head"], "trainable_token_indices": [1]]),
    (
      "llama", ["embed_tokens"],
      ["modules_to_save": ["embed_tokens"], "trainable_token_indices": [1]]
    ),
    ("llama-tied", ["lm_head"], ["modules_to_save": ["lm_head"], "trainable_token_indices": [1]]),
    (
      "llama-tied", ["ensure_weight_tying", "lm_head"],
      [
        "trainable_token_indices": ["embed_tokens": [1], "lm_head": [2]],
        "ensure_weight_tying": true,
      ]
    ),
    ("llama", ["lora_bias"], ["target_modules": ["embed_tokens"], "lora_bias": true]),
    (
      "llama", ["init_lora_weights"],
      ["target_modules": ["embed_tokens"], "init_lora_weights": "pissa"]
    ),
    ("llama", ["loraplus_lr_ratio"], ["target_modules": ["embed_tokens"], "loraplus_lr_ratio": 4]),
    ("llama-tied", ["lm_head"], ["target_modules": ["lm_head"], "init_lora_weights": "olora"]),
    ("gpt2", ["target_modules", "wpe"], ["target_modules": ["wpe", "c_attn"]]),
    ("gpt2", ["trainable_token_indices", "wpe"], ["trainable_token_indices": ["wpe": [1]]]),
    (
      "llama-tied", ["ensure_weight_tying"],
      [
        "target_modules": ["lm_head"], "exclude_modules": ["embed_tokens"],
        "ensure_weight_tying": true,
      ]
    ),
    (
      "llama-tied", ["ensure_weight_tying", "modules_to_save"],
      [
        "target_modules": ["lm_head"], "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": true,
      ]
    ),
  ]

  @Test("What PEFT cannot do, or not alike, is refused by name", arguments: contradictions.indices)
  func contradiction(_ index: Int) throws {
    let (base, words, options) = Self.contradictions[index]
    let error = #expect(throws: PEFTError.self) { _ = try AdaptedBase("lora", on: base, options) }
    for word in words { #expect(error?.description.contains(word) == true, "\(error as Any)") }
  }

  @Test("Embeddings of a file that are the base's say nothing; others take their place and stay")
  func savedEmbeddings() throws {
    let base = try Fixtures.tensors("model/llama-tied/model.safetensors")
    let stored = try #require(base["model.embed_tokens.weight"])
    let export = try #require(
      try AdaptedBase("lora", on: "llama-tied").method.export(baseName: ""))
    func saved(_ name: String, plus shift: Float) -> NamedTensor {
      NamedTensor(
        name: "base_model.model.\(name)", shape: stored.shape,
        values: stored.values.map { $0 + shift })
    }
    let plain = try AdaptedBase("lora", on: "llama-tied", [:], loading: export.tensors)
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
      let same = try AdaptedBase(
        "lora", on: "llama-tied", [:], loading: export.tensors + [saved(name, plus: 0)])
      #expect(same.arena.slots.map(\.name) == plain.arena.slots.map(\.name))
    }
    let more = [
      saved("model.embed_tokens.weight", plus: 0.25), saved("lm_head.weight", plus: 0.25),
    ]
    let other = try AdaptedBase("lora", on: "llama-tied", [:], loading: export.tensors + more)
    #expect(try other.logits() != plain.logits())
    #expect(other.arena.slots.filter { $0.role == .fixed }.map(\.name) == ["\(Self.table).weight"])
    #expect(other.decoder.isHeadTied)
    let again = try #require(other.method.export(baseName: ""))
    #expect(
      again.tensors.contains { $0.name == "\(Self.table).weight" && $0.values == more[0].values })
    let reloaded = try AdaptedBase("lora", on: "llama-tied", [:], loading: again.tensors)
    #expect(try reloaded.logits() == other.logits())
    // A table of another size belongs to a base whose vocabulary was changed.
    let resized = NamedTensor(
      name: "\(Self.table).weight", shape: [54, 32], values: Array(repeating: 0, count: 54 * 32))
    #expect(throws: PEFTError.self) {
      _ = try AdaptedBase("lora", on: "llama-tied", [:], loading: export.tensors + [resized])
    }
  }

  @Test("DoRA takes the norms of a table that the file brings along")
  func savedTableWithDoRA() throws {
    let golden = try GoldenCase("lora-llama-table-dora")
    let (options, tensors) = try AdaptedBase.adapter(golden)
    let moved = tensors.map { tensor in
      tensor.name.hasSuffix(".base_layer.weight")
        ? NamedTensor(
          name: tensor.name, shape: tensor.shape, values: tensor.values.map { 2 * $0 }) : tensor
    }
    let adapted = try AdaptedBase("lora", on: "llama", options, loading: moved)
    // f = m / c, with c the norms of 2 W + s B A over the vocabulary.
    let tables = Dictionary(uniqueKeysWithValues: moved.map { ($0.name, $0.values) })
    let weight = try #require(tables["\(Self.table).base_layer.weight"])
    let (a, b) = (
      try #require(tables["\(Self.table).lora_embedding_A"]),
      try #require(tables["\(Self.table).lora_embedding_B"])
    )
    let m = try #require(tables["\(Self.table).lora_magnitude_vector"])
    let factors = try #require(
      adapted.method.replicas.first { $0.name.contains("factor of model.embed_tokens") }
    ).values
    for o in 0..<32 {
      var square = 0.0
      for v in 0..<53 {
        var value = Double(weight[v * 32 + o])
        for r in 0..<4 { value += 6.0 / 4 * Double(b[o * 4 + r]) * Double(a[r * 53 + v]) }
        square += value * value
      }
      let expected = Double(m[o]) / square.squareRoot()
      #expect(abs(Double(factors[0, o]) - expected) <= 1e-5 * expected)
    }
  }

  @Test("Of two patterns that match, the first in the order of a saved file counts")
  func patterns() throws {
    let adapted = try AdaptedBase(
      "lora", on: "llama",
      [
        "target_modules": ["q_proj"], "rank_pattern": ["q_proj": 5, ".*1.self_attn.q_proj": 3],
        "alpha_pattern": ["q_proj": 7, "layers.0.self_attn.q_proj": 2],
      ])
    func rank(_ block: Int) -> Int {
      adapted.arena.values(
        adapted.slot("base_model.model.model.layers.\(block).self_attn.q_proj.lora_A.weight")
      ).rows
    }
    #expect(rank(0) == 5 && rank(1) == 3)
    let notes = try adapted.method.prepareRun(totalSteps: 1)
    #expect(notes.count == 2 && notes.allSatisfy { $0.contains("both match") })
    #expect(notes.contains { $0.contains("'.*1.self_attn.q_proj' and 'q_proj' of rank_pattern") })
    #expect(notes.contains { $0.contains("'layers.0.self_attn.q_proj' and 'q_proj' of alpha") })
  }
}
