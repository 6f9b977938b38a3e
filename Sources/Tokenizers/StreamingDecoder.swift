/// Decodes ids as they come, never showing half a character.
///
/// ```swift
/// var decoder = tokenizer.streamingDecoder()
/// for id in ids { print(decoder.append(id), terminator: "") }
/// print(decoder.finish())
/// ```
///
/// The pieces together are what `decode` gives for all ids. A character whose bytes are spread over
/// several tokens appears with the last of them. Only the ids since the last whole piece are decoded
/// again, so an id costs the same at any length.
public struct StreamingDecoder {
  private let tokenizer: Tokenizer
  private let skipsSpecialTokens: Bool
  /// Ids whose text is still needed: those already shown, as context, and those behind them.
  private var ids: [UInt32] = []
  private var shownCount = 0
  private var shown: [UInt8] = []

  init(_ tokenizer: Tokenizer, skipSpecialTokens: Bool) {
    self.tokenizer = tokenizer
    skipsSpecialTokens = skipSpecialTokens
  }

  /// Takes an id; returns the text that is complete with it, often none.
  public mutating func append(_ id: UInt32) -> String {
    guard tokenizer.hasText(id, skipSpecialTokens: skipsSpecialTokens) else { return "" }
    ids.append(id)
    // A wrong byte makes its whole run of byte tokens wrong, so a run shows when it is over.
    if tokenizer.standsForByte(id) { return "" }
    let text = Array(tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    // An unfinished character decodes to U+FFFD at the end.
    guard text.count > shown.count, text.suffix(3) != [0xef, 0xbf, 0xbd] else { return "" }
    let piece = newText(text)
    // What was shown just now is the context of what follows; what came before it is not needed.
    ids.removeFirst(shownCount)
    shownCount = ids.count
    shown = Array(tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    return piece
  }

  /// The rest, where the ids end inside a character.
  public mutating func finish() -> String {
    let text = Array(tokenizer.decode(ids, skipSpecialTokens: skipsSpecialTokens).utf8)
    let piece = newText(text)
    ids = []
    shownCount = 0
    shown = []
    return piece
  }

  private func newText(_ text: [UInt8]) -> String {
    let common = zip(text, shown).prefix { $0 == $1 }.count
    return String(decoding: text[common...], as: UTF8.self)
  }
}
