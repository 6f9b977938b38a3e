/// What is put around the tokens of a text when special tokens are asked for.
indirect enum PostProcessor: Sendable {
  /// A piece of a template.
  enum Piece: Sendable {
    case text
    case special([UInt32])
  }

  /// ByteLevel's moves offsets, which this program has not, and leaves tokens alone.
  case nothing
  case template([Piece])
  case sequence([PostProcessor])

  /// Whether it may change tokens.
  var isActing: Bool {
    switch self {
    case .nothing: false
    case .template: true
    case .sequence(let parts): parts.contains(where: \.isActing)
    }
  }

  /// The tokens with what belongs around them.
  func apply(_ ids: [UInt32], addsSpecialTokens: Bool) -> [UInt32] {
    switch self {
    case .nothing: return ids
    case .template(let pieces):
      return pieces.flatMap { piece in
        switch piece {
        case .text: ids
        case .special(let special): addsSpecialTokens ? special : []
        }
      }
    case .sequence(let parts):
      return parts.reduce(ids) { $1.apply($0, addsSpecialTokens: addsSpecialTokens) }
    }
  }
}
