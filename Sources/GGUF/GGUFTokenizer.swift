import Hashing
import JSON
import Tokenizers

/// A model's tokenizer out of a file's metadata, as the `tokenizer.json` and
/// `tokenizer_config.json` that Hugging Face's would have.
///
/// The metadata holds tokens, their kinds, and merges or scores. How text is cut before is not
/// there: `tokenizer.ggml.pre` names it, and a name that is not known here is refused, since
/// another rule would give other tokens in silence.
struct GGUFTokenizer {
  /// Kinds of tokens (`tokenizer.ggml.token_type`).
  private enum Kind: Int {
    case normal = 1
    case unknown, control, userDefined, unused, byte
  }

  let path: String
  /// Squares of pieces' lengths in all; a vocabulary of 256,000 pieces has a tenth.
  private static let mostWork = 1 << 28

  private let metadata: GGUFMetadata
  private let tokens: [String]
  private let kinds: [Kind]

  init(_ metadata: GGUFMetadata) throws(GGUFError) {
    self.metadata = metadata
    path = metadata.path
    guard let tokens = try metadata.strings("tokenizer.ggml.tokens"), !tokens.isEmpty else {
      throw .unsupported(
        path: path, what: "it holds no tokenizer ('tokenizer.ggml.tokens')",
        remedy: "Give one with --tokenizer.")
    }
    self.tokens = tokens
    let numbers = try metadata.integers("tokenizer.ggml.token_type")
    if let numbers, numbers.count != tokens.count {
      throw .badKey(
        path: path, key: "tokenizer.ggml.token_type", found: "a list of \(numbers.count)",
        expected: "one of \(tokens.count), as many as there are tokens")
    }
    kinds =
      numbers.map { $0.map { Kind(rawValue: $0) ?? .normal } }
      ?? Array(repeating: .normal, count: tokens.count)
  }

  // MARK: Documents

  /// What `tokenizer.json` would hold, and a digest of what it was made of.
  func document() throws(GGUFError) -> (node: JSONNode, sha256: String) {
    if let text = try metadata.string("tokenizer.huggingface.json") {
      let bytes = Array(text.utf8)
      do throws(JSONError) {
        return (try JSONNode(parsing: bytes), SHA256.hexadecimal(of: bytes))
      } catch {
        throw .badKey(
          path: path, key: "tokenizer.huggingface.json", found: error.description,
          expected: "a tokenizer.json")
      }
    }
    let model = try metadata.string("tokenizer.ggml.model") ?? ""
    var hash = SHA256()
    func take(_ text: String) {
      // A token may hold any character: its length says where it ends.
      hash.update("\(text.utf8.count) ".utf8)
      hash.update(text.utf8)
    }
    take(model)
    for (token, kind) in zip(tokens, kinds) { take("\(kind.rawValue)\(token)") }
    let node: JSONNode
    switch model {
    case "gpt2":
      let pre = try preTokenizer()
      guard let merges = try metadata.strings("tokenizer.ggml.merges") else {
        throw .badKey(
          path: path, key: "tokenizer.ggml.merges", found: "missing", expected: "a list of strings")
      }
      take(pre.name)
      merges.forEach(take)
      node = try byteLevel(pre, merges)
    case "llama":
      let scores = try metadata.floats("tokenizer.ggml.scores") ?? []
      guard scores.count == tokens.count else {
        throw .badKey(
          path: path, key: "tokenizer.ggml.scores", found: "a list of \(scores.count)",
          expected: "one of \(tokens.count), as many as there are tokens")
      }
      scores.forEach { take("\($0.bitPattern)") }
      node = try sentencePiece(scores)
    default:
      throw .unsupported(
        path: path, what: "'tokenizer.ggml.model' is '\(model)'",
        remedy: "Tokenizers that are read: gpt2 (byte-level BPE), llama (SentencePiece). Give the "
          + "model's tokenizer.json with --tokenizer.")
    }
    try take("\(addsBegin(byDefault: false)) \(addsEnd())")
    return (node, hash.hexadecimal())
  }

  /// What `tokenizer_config.json` would hold.
  func configuration() throws(GGUFError) -> JSONNode {
    var members: [(key: String, value: JSONNode)] = [
      ("tokenizer_class", .string("PreTrainedTokenizerFast"))
    ]
    for (name, key) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
      if let token = try special(key) { members.append((name + "_token", .string(token))) }
    }
    if let template = try metadata.string("tokenizer.chat_template") {
      members.append(("chat_template", .string(template)))
    }
    return .object(JSONObject(members))
  }

  private func special(_ name: String) throws(GGUFError) -> String? {
    let key = "tokenizer.ggml.\(name)_token_id"
    guard let id = try metadata.count(key) else { return nil }
    guard id < tokens.count else {
      throw .badKey(
        path: path, key: key, found: "\(id)", expected: "a token's id, below \(tokens.count)")
    }
    return tokens[id]
  }

  // MARK: Byte-level BPE

  /// How text is cut before tokens are looked for.
  private struct PreTokenizer {
    var name: String
    /// `null` for none.
    var normalizer = JSONNode.null
    var steps: [JSONNode]
    var ignoresMerges = false
    var addsBegin = false
  }

  private static let byteLevel = node([
    ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)),
    ("trim_offsets", .bool(true)), ("use_regex", .bool(true)),
  ])

  private static func split(_ numbers: String) -> [JSONNode] {
    let pattern =
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    return [
      node([
        ("type", .string("Split")), ("pattern", node([("Regex", .string(pattern))])),
        ("behavior", .string("Isolated")), ("invert", .bool(false)),
      ]),
      node([
        ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)),
        ("trim_offsets", .bool(true)), ("use_regex", .bool(false)),
      ]),
    ]
  }

  /// The rules by their names in llama.cpp (src/llama-vocab.cpp), as Hugging Face writes them.
  private func preTokenizer() throws(GGUFError) -> PreTokenizer {
    let key = "tokenizer.ggml.pre"
    let name = try metadata.string(key) ?? ""
    switch name {
    case "llama-bpe", "llama3", "llama-v3", "falcon3":
      return PreTokenizer(
        name: name, steps: Self.split(#"\p{N}{1,3}"#), ignoresMerges: true, addsBegin: true)
    case "dbrx", "smaug-bpe":
      return PreTokenizer(name: name, steps: Self.split(#"\p{N}{1,3}"#))
    case "qwen2", "deepseek-r1-qwen", "megrez":
      return PreTokenizer(
        name: name, normalizer: Self.node([("type", .string("NFC"))]),
        steps: Self.split(#"\p{N}"#))
    case "smollm", "starcoder", "refact", "command-r":
      let digits = Self.node([
        ("type", .string("Digits")), ("individual_digits", .bool(true)),
      ])
      return PreTokenizer(name: name, steps: [digits, Self.byteLevel])
    case "gpt-2", "phi-2", "olmo", "mpt":
      return PreTokenizer(name: name, steps: [Self.byteLevel])
    default:
      throw .unsupported(
        path: path,
        what: name.isEmpty
          ? "'\(key)' is missing, which names how text is cut" : "'\(key)' is '\(name)'",
        remedy: "Rules that are known: llama-bpe, qwen2, smollm, starcoder, refact, command-r, "
          + "dbrx, "
          + "smaug-bpe, gpt-2, phi-2, olmo, mpt. Give the model's tokenizer.json with --tokenizer.")
    }
  }

  private func byteLevel(
    _ pre: PreTokenizer, _ merges: [String]
  ) throws(GGUFError) -> JSONNode {
    var pairs: [JSONNode] = []
    pairs.reserveCapacity(merges.count)
    for (index, merge) in merges.enumerated() {
      // A token may begin with a blank, of which the first place is not the one that parts.
      let bytes = merge.utf8
      guard
        let blank = bytes.dropFirst().firstIndex(of: 0x20),
        bytes.index(after: blank) < bytes.endIndex
      else {
        throw .badKey(
          path: path, key: "tokenizer.ggml.merges[\(index)]", found: "'\(merge)'",
          expected: "two tokens with a blank between them")
      }
      pairs.append(
        .array([
          .string(String(merge[..<blank])), .string(String(merge[bytes.index(after: blank)...])),
        ]))
    }
    return Self.node([
      ("version", .string("1.0")), ("added_tokens", addedTokens()),
      ("normalizer", pre.normalizer),
      (
        "pre_tokenizer",
        pre.steps.count == 1
          ? pre.steps[0]
          : Self.node([("type", .string("Sequence")), ("pretokenizers", .array(pre.steps))])
      ),
      ("post_processor", try postProcessor(addsBegin: try addsBegin(byDefault: pre.addsBegin))),
      ("decoder", Self.byteLevel),
      (
        "model",
        Self.node([
          ("type", .string("BPE")), ("ignore_merges", .bool(pre.ignoresMerges)),
          ("vocab", vocabulary()), ("merges", .array(pairs)),
        ])
      ),
    ])
  }

  // MARK: SentencePiece

  /// Pieces with scores, as transformers makes merges of them: every way to put a piece together of
  /// two others, by the piece's score.
  private func sentencePiece(_ scores: [Float]) throws(GGUFError) -> JSONNode {
    // Each way to part a piece costs its length.
    var work = 0
    for (id, token) in tokens.enumerated() where kinds[id] == .normal {
      let (square, overflow) = token.utf8.count.multipliedReportingOverflow(by: token.utf8.count)
      work += overflow ? Self.mostWork : min(square, Self.mostWork)
      guard work < Self.mostWork else {
        throw .badKey(
          path: path, key: "tokenizer.ggml.tokens", found: "a list with pieces too long",
          expected: "pieces of a few characters (token \(id) has \(token.utf8.count) bytes)")
      }
    }
    var merges: [(left: Substring, right: Substring, score: Float, sizes: (Int, Int))] = []
    let ids = Dictionary(
      tokens.enumerated().filter { kinds[$0.offset] == .normal }.map { ($1, $0) },
      uniquingKeysWith: { first, _ in first })
    for (id, token) in tokens.enumerated() where kinds[id] == .normal {
      var own: [(left: Substring, right: Substring, ids: (Int, Int), sizes: (Int, Int))] = []
      let scalars = token.unicodeScalars
      var place = scalars.startIndex
      for size in 1..<max(scalars.count, 1) {
        place = scalars.index(after: place)
        let (left, right) = (token[..<place], token[place...])
        guard let first = ids[String(left)], let second = ids[String(right)] else { continue }
        own.append((left, right, (first, second), (size, scalars.count - size)))
      }
      own.sort { $0.ids < $1.ids }
      merges += own.map { ($0.left, $0.right, scores[id], $0.sizes) }
    }
    let order = merges.indices.sorted { a, b in
      let (x, y) = (merges[a], merges[b])
      if x.score != y.score { return x.score > y.score }
      return x.sizes != y.sizes ? x.sizes > y.sizes : a < b
    }
    let addsPrefix = try metadata.bool("tokenizer.ggml.add_space_prefix") ?? true
    let blank = Self.node([
      ("type", .string("Replace")), ("pattern", Self.node([("String", .string(" "))])),
      ("content", .string("▁")),
    ])
    let prefix = Self.node([("type", .string("Prepend")), ("prepend", .string("▁"))])
    var decoders = [
      Self.node([
        ("type", .string("Replace")), ("pattern", Self.node([("String", .string("▁"))])),
        ("content", .string(" ")),
      ]),
      Self.node([("type", .string("ByteFallback"))]), Self.node([("type", .string("Fuse"))]),
    ]
    if addsPrefix {
      decoders.append(
        Self.node([
          ("type", .string("Strip")), ("content", .string(" ")), ("start", .integer(1)),
          ("stop", .integer(0)),
        ]))
    }
    return Self.node([
      ("version", .string("1.0")), ("added_tokens", addedTokens()),
      (
        "normalizer",
        Self.node([
          ("type", .string("Sequence")),
          ("normalizers", .array(addsPrefix ? [prefix, blank] : [blank])),
        ])
      ),
      ("pre_tokenizer", .null),
      ("post_processor", try postProcessor(addsBegin: try addsBegin(byDefault: true))),
      (
        "decoder",
        Self.node([("type", .string("Sequence")), ("decoders", .array(decoders))])
      ),
      (
        "model",
        Self.node([
          ("type", .string("BPE")),
          ("unk_token", try special("unknown").map { .string($0) } ?? .null),
          ("fuse_unk", .bool(true)), ("byte_fallback", .bool(true)), ("vocab", vocabulary()),
          (
            "merges",
            .array(
              order.map {
                .array([.string(String(merges[$0].left)), .string(String(merges[$0].right))])
              })
          ),
        ])
      ),
    ])
  }

  // MARK: Parts

  /// Tokens by id; fillers, which stand for nothing, left out.
  private func vocabulary() -> JSONNode {
    .object(
      JSONObject(
        tokens.enumerated().filter { kinds[$0.offset] != .unused }.map { ($1, .integer($0)) }))
  }

  /// Control tokens are special; what users defined is matched in text, too.
  private func addedTokens() -> JSONNode {
    .array(
      tokens.indices.filter { [.unknown, .control, .userDefined].contains(kinds[$0]) }.map { id in
        Self.node([
          ("id", .integer(id)), ("content", .string(tokens[id])), ("single_word", .bool(false)),
          ("lstrip", .bool(false)), ("rstrip", .bool(false)), ("normalized", .bool(false)),
          ("special", .bool(kinds[id] != .userDefined)),
        ])
      })
  }

  private func addsBegin(byDefault standard: Bool) throws(GGUFError) -> Bool {
    try metadata.bool("tokenizer.ggml.add_bos_token") ?? standard
  }

  private func addsEnd() throws(GGUFError) -> Bool {
    try metadata.bool("tokenizer.ggml.add_eos_token") ?? false
  }

  /// What puts the begin and end tokens around a text.
  private func postProcessor(addsBegin: Bool) throws(GGUFError) -> JSONNode {
    var parts: [(name: String, isToken: Bool)] = [("A", false)]
    for (key, isAdded, place) in [("bos", addsBegin, 0), ("eos", try addsEnd(), 1)] where isAdded {
      guard let token = try special(key) else {
        throw .badKey(
          path: path, key: "tokenizer.ggml.\(key)_token_id", found: "missing",
          expected: "the token that is added to texts")
      }
      parts.insert((token, true), at: place == 0 ? 0 : parts.count)
    }
    guard parts.count > 1 else { return .null }
    let single = parts.map { part in
      Self.node([
        (
          part.isToken ? "SpecialToken" : "Sequence",
          Self.node([("id", .string(part.name)), ("type_id", .integer(0))])
        )
      ])
    }
    let special = parts.filter(\.isToken).map { part in
      (
        part.name,
        Self.node([
          ("id", .string(part.name)),
          ("ids", .array([.integer(tokens.firstIndex(of: part.name) ?? 0)])),
          ("tokens", .array([.string(part.name)])),
        ])
      )
    }
    return Self.node([
      ("type", .string("TemplateProcessing")), ("single", .array(single)),
      ("pair", .array(single)), ("special_tokens", Self.node(special)),
    ])
  }

  private static func node(_ members: [(key: String, value: JSONNode)]) -> JSONNode {
    .object(JSONObject(members))
  }
}

extension GGUFFiles {
  /// What the model's `tokenizer_config.json` would hold: its named tokens and chat template.
  package func tokenizerConfiguration() throws(GGUFError) -> JSONNode {
    try GGUFTokenizer(metadata).configuration()
  }

  /// What the model's `tokenizer.json` would hold.
  package func tokenizerDocument() throws(GGUFError) -> JSONNode {
    try GGUFTokenizer(metadata).document().node
  }

  /// Whether there is a tokenizer.
  package var hasTokenizer: Bool { metadata.has("tokenizer.ggml.tokens") }
}

extension Tokenizer {
  /// Reads a model's tokenizer: that of a Hugging Face directory, or of a GGUF file.
  ///
  /// - Throws: `TokenizerError`, `GGUFError`.
  package convenience init(model path: String) throws {
    if GGUFFile.isOne(path) {
      let (document, sha256) = try GGUFTokenizer(try GGUFFiles(path: path).metadata).document()
      try self.init(document: document, path: path, sha256: sha256)
    } else {
      try self.init(directory: path)
    }
  }

  /// Reads a tokenizer by its `tokenizer.json`, its directory, or a GGUF file that holds it.
  package convenience init(anywhere path: String) throws {
    if GGUFFile.isOne(path) {
      try self.init(model: path)
    } else {
      try self.init(fileOrDirectory: path)
    }
  }
}
