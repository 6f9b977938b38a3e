import Tensors

/// A piece of what a decoder keeps of its base: a block of a file, of a copy in bf16, or a vector.
public struct BasePiece {
  fileprivate enum Source {
    case block(BaseContents, Int)
    case view(MatrixView)
    case bytes(SharedBytes, Range<Int>)
  }

  fileprivate let source: Source
  /// The hash that it had when it was read first; nil where nobody took it then.
  public let known: UInt64?
  /// What it is, for messages.
  public let place: String

  /// Bytes in it.
  public var byteCount: Int {
    switch source {
    case .block(let contents, let block): contents.byteCount(ofBlock: block)
    case .view(let view): view.count * MemoryLayout<Float>.stride
    case .bytes(_, let range): range.count
    }
  }

  /// The hash of what it is now.
  public func hash() -> UInt64 {
    switch source {
    case .block(let contents, let block): contents.hash(block)
    case .view(let view): XXH64.hash(view)
    case .bytes(let bytes, let range): bytes.hash(range)
    }
  }

  fileprivate init(_ source: Source, known: UInt64?, place: String) {
    (self.source, self.known, self.place) = (source, known, place)
  }
}

extension Decoder {
  /// What of the base a rank looks after: its share of what ranks of a node share, and all that is its
  /// own.
  public func guardedPieces(rank: Int, of count: Int) -> [BasePiece] {
    var pieces = ownBlocks.map {
      BasePiece(.block(contents, $0.index), known: $0.hash, place: contents.place($0.index))
    }
    if let roundedBytes {
      let size = BaseContents.blockBytes
      let starts = Array(stride(from: 0, to: roundedBytes.byteCount, by: size))
      for index in stride(from: rank, to: starts.count, by: max(count, 1)) {
        let range = starts[index]..<min(starts[index] + size, roundedBytes.byteCount)
        pieces.append(
          BasePiece(
            .bytes(roundedBytes, range), known: nil,
            place: "the copy in bf16 that this node keeps of \(directory)"))
      }
    }
    for parameter in parameters where !parameter.isTrainable {
      guard let vector = parameter.vector else { continue }
      pieces.append(
        BasePiece(.view(vector), known: nil, place: "the copy in memory of '\(parameter.name)'"))
    }
    return pieces
  }
}
