import HDF5

/// Reads NVIDIA's HDF5 files, as DeepLearningExamples' BERT `create_pretraining_data.py` writes them.
///
/// `input_ids` [examples, length], `input_mask` of the same shape (1: a token, 0: padding), and, of
/// shape [examples, predictions], `masked_lm_positions` and `masked_lm_ids`: which ids were masked, and
/// what they were, filled up with zeros. The text is put together again: the masked ids are put back,
/// the padding is left out by its mask, and every token counts. `segment_ids` and
/// `next_sentence_labels`, which only BERT's own task uses, are not read.
final class NvidiaReader: ImportReader {
  private let path: String
  private let ids: HDF5Rows
  private let mask: HDF5Rows
  private let maskedPositions: HDF5Rows?
  private let maskedIDs: HDF5Rows?
  private var index = 0

  static func isLayout(_ root: HDF5Group) -> Bool {
    guard let ids = HDF5Rows.shape(root, "input_ids") else { return false }
    return ids.count == 2 && HDF5Rows.shape(root, "input_mask") == ids
  }

  init(_ path: String) throws(PreparationError) {
    self.path = path
    let root = try HDF5Rows.root(path)
    ids = try HDF5Rows(root, "input_ids", rank: 2)
    mask = try HDF5Rows(root, "input_mask", rank: 2)
    let hasMasked = HDF5Rows.shape(root, "masked_lm_positions") != nil
    maskedPositions = hasMasked ? try HDF5Rows(root, "masked_lm_positions", rank: 2) : nil
    maskedIDs = hasMasked ? try HDF5Rows(root, "masked_lm_ids", rank: 2) : nil
    guard mask.dataset.shape == ids.dataset.shape,
      maskedPositions?.dataset.shape == maskedIDs?.dataset.shape,
      maskedPositions.map({ $0.dataset.rowCount == ids.dataset.rowCount }) ?? true
    else {
      throw .badImport(
        path: path, reason: "input_ids, input_mask and masked_lm_… do not agree in shape")
    }
  }

  var bytesRead: Int {
    let count = max(1, ids.dataset.rowCount)
    return Int(Double(ids.dataset.file.byteCount) * Double(index) / Double(count))
  }

  func next() throws(PreparationError) -> (example: ImportedExample, number: Int)? {
    guard index < ids.dataset.rowCount else { return nil }
    var row = Array(try ids.row(index))
    let mask = Array(try mask.row(index))
    if let value = mask.first(where: { $0 != 0 && $0 != 1 }) {
      throw .badImport(
        path: path,
        reason: "input_mask of example \(index + 1) has \(value); 0 and 1 are known, packed "
          + "sequences are not")
    }
    if let maskedPositions, let maskedIDs {
      let places = Array(try maskedPositions.row(index))
      let originals = Array(try maskedIDs.row(index))
      // The first place is [CLS], which is never masked: 0 fills the list up.
      for (place, id) in zip(places, originals) where place != 0 {
        guard row.indices.contains(Int(clamping: place)) else {
          throw .badImport(
            path: path, reason: "masked_lm_positions of example \(index + 1) has \(place)")
        }
        row[Int(place)] = id
      }
    }
    index += 1
    var tokens: [UInt32] = []
    for (id, flag) in zip(row, mask) where flag == 1 {
      guard let token = UInt32(exactly: id) else {
        throw .badImport(path: path, reason: "example \(index) has \(id), which is no token id")
      }
      tokens.append(token)
    }
    return (
      ImportedExample(tokens: tokens, counts: [Bool](repeating: true, count: tokens.count)), index
    )
  }
}
