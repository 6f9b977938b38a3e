import Kernels
import Tensors

/// Turns queries and keys by their positions: one table of cosines and sines for a decoder.
///
/// Where frequencies depend on a sequence's length, the table has a row for each row of the
/// micro-batch and is filled anew in front of each pass; else one for each position, filled once.
final class RotaryPositions {
  private let scheme: RotaryScheme
  private let table: RotaryTable
  private let rows: IndexBuffer
  private let isDynamic: Bool
  private var frequencies: [Double]

  /// - Parameters:
  ///   - positions: most positions of a sequence.
  ///   - rows: most rows of a micro-batch.
  init(_ scheme: RotaryScheme, positions: Int, rows: Int) {
    self.scheme = scheme
    isDynamic = scheme.isDynamic(upTo: positions)
    frequencies = scheme.inverseFrequencies(length: 0)
    table = RotaryTable(
      inverseFrequencies: frequencies, attentionScaling: scheme.amplitude,
      maxPosition: isDynamic ? rows : positions)
    self.rows = IndexBuffer(isDynamic ? Array(0..<rows) : [])
  }

  /// Makes the table that of a pass's sequences.
  ///
  /// A sequence's length counts from position 0: virtual tokens, a joint prefix and cached tokens are
  /// in it. It is that of each sequence alone, as a model of transformers has it that has seen no
  /// other; cached keys keep the angle that they were turned by, as they do there.
  func prepare(for pass: Pass) {
    guard isDynamic else { return }
    let batch = pass.batch
    for sequence in 0..<batch.sequenceCount {
      let rows = batch.rowOffsets[sequence]..<batch.rowOffsets[sequence + 1]
      guard let last = rows.last else { continue }
      scheme.write(length: batch.positions[last] + 1, into: &frequencies)
      for row in rows {
        table.fill(
          row: row, position: batch.positions[row], inverseFrequencies: frequencies,
          attentionScaling: scheme.amplitude)
      }
    }
  }

  /// Whether keys of sequences that grow from one length past another would be turned anew.
  static func changes(_ scheme: RotaryScheme, from length: Int, to longer: Int) -> Bool {
    guard case .longRoPE(let long) = scheme.scaling else { return false }
    return length <= long.originalPositions && longer > long.originalPositions
  }

  /// Turns every head of `x`, [tokens, headCount · D], in place.
  func apply(_ x: MatrixView, headCount: Int, _ pass: Pass) {
    RotaryEmbedding.apply(
      x, headCount: headCount, positions: tableRows(pass), table: table, on: pass.compute)
  }

  /// The backward of `apply`, in place.
  func applyInverse(_ dx: MatrixView, headCount: Int, _ pass: Pass) {
    RotaryEmbedding.applyInverse(
      dx, headCount: headCount, positions: tableRows(pass), table: table, on: pass.compute)
  }

  private func tableRows(_ pass: Pass) -> IndexView {
    isDynamic ? rows.all.prefix(pass.rowCount) : pass.batch.positions
  }
}
