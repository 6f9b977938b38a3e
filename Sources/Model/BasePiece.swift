import Hashing
import Tensors

/// A piece of what a decoder keeps of its base: a block of a file or of a copy, or a vector.
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

  /// Whether it lies in a file and is read only to be looked at.
  private let isResting: Bool

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

  /// Lets a piece that is read only to be looked at leave this process's memory.
  ///
  /// Called when all have been looked at, since reading one brings pages of its neighbours along.
  public func release() {
    if case .block(let contents, let block) = source, isResting { contents.release(block) }
  }

  fileprivate init(_ source: Source, known: UInt64?, place: String, isResting: Bool = false) {
    (self.source, self.known, self.place) = (source, known, place)
    self.isResting = isResting
  }
}

extension Decoder {
  /// What of the base a rank looks after: its share of what ranks of a node share, and all that is its
  /// own.
  public func guardedPieces(rank: Int, of count: Int) -> [BasePiece] {
    // Stored weights of which a quantised copy has taken the place are not read any more.
    let replaced = quantization == nil ? [] : tensorsToReplace(isQuantized: true)
    // Those of which products read a copy need not stay in memory after they were looked at.
    let resting = Set(parameters.filter { $0.rounded != nil }.map(\.storedName))
    var pieces = ownBlocks.compactMap { block -> BasePiece? in
      let name = contents.tensorName(block.index)
      if replaced.contains(name) { return nil }
      return BasePiece(
        .block(contents, block.index), known: block.hash, place: contents.place(block.index),
        isResting: resting.contains(name))
    }
    for (bytes, what) in copies {
      let size = BaseContents.blockBytes
      let starts = Array(stride(from: 0, to: bytes.byteCount, by: size))
      for index in stride(from: rank, to: starts.count, by: max(count, 1)) {
        let range = starts[index]..<min(starts[index] + size, bytes.byteCount)
        pieces.append(
          BasePiece(
            .bytes(bytes, range), known: nil,
            place: "the copy in \(what) that this node keeps of \(directory)"))
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
