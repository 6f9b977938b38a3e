import JSON
import Patterns

/// Normalisers, pre-tokenizers, decoders and post-processors by their types.
extension TokenizerReader {
  func normalizer(_ node: JSONNode, _ field: String) throws(TokenizerError) -> Normalizer {
    let type = try type(node, field)
    switch type {
    case "NFC", "NFD", "NFKC", "NFKD":
      try check(node, field, known: ["type"])
      let forms: [String: UnicodeNormalization] = [
        "NFC": .nfc, "NFD": .nfd, "NFKC": .nfkc, "NFKD": .nfkd,
      ]
      guard let form = forms[type] else { throw unknown(type, field) }
      return .unicode(form)
    case "Lowercase":
      try check(node, field, known: ["type"])
      return .lowercase
    case "Prepend":
      try check(node, field, known: ["type", "prepend"])
      return .prepend(Array(try string(node, "prepend", field).utf8))
    case "Replace":
      try check(node, field, known: ["type", "pattern", "content"])
      return .replace(
        try pattern(node, field), with: Array(try string(node, "content", field).utf8))
    case "Strip":
      try check(node, field, known: ["type", "strip_left", "strip_right"])
      return .strip(
        left: try bool(node, "strip_left", field), right: try bool(node, "strip_right", field))
    case "ByteLevel":
      try check(node, field, known: ["type"])
      return .byteLevel
    case "Nmt":
      try check(node, field, known: ["type"])
      return .nmt
    case "Sequence":
      try check(node, field, known: ["type", "normalizers"])
      return .sequence(try list(node, "normalizers", field, normalizer))
    default: throw unknown(type, field)
    }
  }

  func preTokenizer(_ node: JSONNode, _ field: String) throws(TokenizerError) -> PreTokenizer {
    let type = try type(node, field)
    switch type {
    case "ByteLevel":
      let usesRegex = try byteLevelUsesRegex(node, field)
      return .byteLevel(
        addsPrefixSpace: try bool(node, "add_prefix_space", field),
        pattern: usesRegex ? try program(PreTokenizer.byteLevelPattern, field) : nil)
    case "Split":
      try check(node, field, known: ["type", "pattern", "behavior", "invert"])
      return .split(
        try pattern(node, field), try behavior(node, field),
        inverts: try bool(node, "invert", field))
    case "Digits":
      try check(node, field, known: ["type", "individual_digits"])
      return .digits(individual: try bool(node, "individual_digits", field))
    case "Metaspace":
      let (replacement, scheme) = try metaspace(node, field)
      return .metaspace(
        replacement: replacement, scheme, splits: try bool(node, "split", field, default: true))
    case "Punctuation":
      try check(node, field, known: ["type", "behavior"])
      return .punctuation(try behavior(node, field, default: .isolated))
    case "Whitespace":
      try check(node, field, known: ["type"])
      return .whitespace
    case "WhitespaceSplit":
      try check(node, field, known: ["type"])
      return .whitespaceSplit
    case "Delimiter", "CharDelimiterSplit":
      try check(node, field, known: ["type", "delimiter"])
      return .delimiter(try scalar(node, "delimiter", field))
    case "FixedLength":
      try check(node, field, known: ["type", "length"])
      let length = try integer(node, "length", field)
      guard length > 0 else {
        throw .badField(path: path, field: "\(field).length", found: "0", expected: "above 0")
      }
      return .fixedLength(length)
    case "BertPreTokenizer":
      try check(node, field, known: ["type"])
      return .bert
    case "Sequence":
      try check(node, field, known: ["type", "pretokenizers"])
      return .sequence(try list(node, "pretokenizers", field, preTokenizer))
    default: throw unknown(type, field)
    }
  }

  func decoder(_ node: JSONNode, _ field: String) throws(TokenizerError) -> TokenDecoder {
    let type = try type(node, field)
    switch type {
    case "ByteLevel":
      _ = try byteLevelUsesRegex(node, field)
      return .byteLevel
    case "Replace":
      try check(node, field, known: ["type", "pattern", "content"])
      return .replace(
        try pattern(node, field), with: Array(try string(node, "content", field).utf8))
    case "ByteFallback":
      try check(node, field, known: ["type"])
      return .byteFallback
    case "Fuse":
      try check(node, field, known: ["type"])
      return .fuse
    case "Strip":
      try check(node, field, known: ["type", "content", "start", "stop"])
      return .strip(
        scalar: try scalar(node, "content", field), start: try integer(node, "start", field),
        stop: try integer(node, "stop", field))
    case "Metaspace":
      let (replacement, scheme) = try metaspace(node, field)
      return .metaspace(replacement: replacement, scheme)
    case "BPEDecoder":
      try check(node, field, known: ["type", "suffix"])
      let suffix = try string(node, "suffix", field)
      guard !suffix.isEmpty else { throw unknown("BPEDecoder without a suffix", field) }
      return .bpe(suffix: Array(suffix.utf8))
    case "Sequence":
      try check(node, field, known: ["type", "decoders"])
      return .sequence(try list(node, "decoders", field, decoder))
    default: throw unknown(type, field)
    }
  }

  func postProcessor(_ node: JSONNode, _ field: String) throws(TokenizerError) -> PostProcessor {
    let type = try type(node, field)
    switch type {
    case "ByteLevel":
      _ = try byteLevelUsesRegex(node, field)
      return .nothing
    case "TemplateProcessing":
      try check(node, field, known: ["type", "single", "pair", "special_tokens"])
      return try template(node, field)
    case "BertProcessing", "RobertaProcessing":
      try check(
        node, field, known: ["type", "sep", "cls", "trim_offsets", "add_prefix_space"])
      let first = try frameToken(node, "cls", field)
      let last = try frameToken(node, "sep", field)
      return .template([.special([first]), .text, .special([last])])
    case "Sequence":
      try check(node, field, known: ["type", "processors"])
      let parts = try list(node, "processors", field, postProcessor)
      // The reference lets the second treat the tokens of the first as further texts.
      if parts.count(where: \.isActing) > 1 {
        throw .unsupported(
          path: path, field: field, found: "several post-processors that add tokens")
      }
      return .sequence(parts)
    default: throw unknown(type, field)
    }
  }

  private func list<Part>(
    _ node: JSONNode, _ key: String, _ field: String,
    _ read: (JSONNode, String) throws(TokenizerError) -> Part
  ) throws(TokenizerError) -> [Part] {
    var result: [Part] = []
    for (index, element) in try array(node, key, field).enumerated() {
      result.append(try read(element, "\(field).\(key)[\(index)]"))
    }
    return result
  }

  private func byteLevelUsesRegex(
    _ node: JSONNode, _ field: String
  ) throws(TokenizerError) -> Bool {
    try check(node, field, known: ["type", "add_prefix_space", "trim_offsets", "use_regex"])
    return try bool(node, "use_regex", field, default: true)
  }

  private func metaspace(
    _ node: JSONNode, _ field: String
  ) throws(TokenizerError) -> (UInt32, PreTokenizer.PrependScheme) {
    try check(
      node, field,
      known: ["type", "replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep"])
    let name = try optionalString(node, "prepend_scheme", field) ?? "always"
    guard let scheme = PreTokenizer.PrependScheme(rawValue: name) else {
      throw unknown(name, "\(field).prepend_scheme")
    }
    if try !bool(node, "add_prefix_space", field, default: true), scheme != .never {
      // The reference refuses the contradiction too.
      throw .badField(
        path: path, field: "\(field).add_prefix_space", found: "false",
        expected: "true where prepend_scheme is '\(name)'")
    }
    return (try scalar(node, "replacement", field), scheme)
  }

  private func template(
    _ node: JSONNode, _ field: String
  ) throws(TokenizerError) -> PostProcessor {
    var pieces: [PostProcessor.Piece] = []
    for (index, element) in try array(node, "single", field).enumerated() {
      let place = "\(field).single[\(index)]"
      try check(element, place, known: ["Sequence", "SpecialToken"])
      if let sequence = element["Sequence"] {
        let id = try string(sequence, "id", place)
        guard id == "A" else { throw unknown("sequence \(id) in a single text", place) }
        pieces.append(.text)
      } else {
        let id = try string(element["SpecialToken"] ?? .null, "id", place)
        let tokens = node["special_tokens"]?[id] ?? .null
        var ids: [UInt32] = []
        for value in try array(tokens, "ids", "\(field).special_tokens.\(id)") {
          guard let number = value.integer, let id = UInt32(exactly: number) else {
            throw .badField(
              path: path, field: "\(field).special_tokens.\(id)", found: value.kind,
              expected: "token ids")
          }
          ids.append(id)
        }
        pieces.append(.special(ids))
      }
    }
    let added = pieces.reduce(0) { if case .special(let ids) = $1 { $0 + ids.count } else { $0 } }
    let texts = pieces.count { if case .text = $0 { true } else { false } }
    if added > 1000 || texts > 8 {
      throw .limit(
        path: path, field: "\(field).single", problem: "\(added) tokens and \(texts) texts in one")
    }
    return .template(pieces)
  }

  /// `["[CLS]", 101]`.
  private func frameToken(
    _ node: JSONNode, _ key: String, _ field: String
  ) throws(TokenizerError) -> UInt32 {
    let pair = try array(node, key, field)
    guard pair.count == 2, let number = pair[1].integer, let id = UInt32(exactly: number) else {
      throw .badField(
        path: path, field: "\(field).\(key)", found: "something else",
        expected: "a token and its id")
    }
    return id
  }
}
