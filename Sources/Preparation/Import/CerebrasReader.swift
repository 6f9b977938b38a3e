import HDF5

/// Reads Cerebras' HDF5 files, as the Model Zoo's data preprocessing writes them for language models.
///
/// `data`, 32-bit, [examples, 3, length]: ids, loss mask (there called `attention_mask`), labels. Labels
/// are the ids moved by one: where the mask is 1, position p is to predict label p. Behind the last
/// such position there is padding, which nothing predicts and so is left out: by its place, not by
/// what the padding token is. Files for packed sequences ([examples, 5, length]) are refused.
final class CerebrasReader: ImportReader {
  private let rows: HDF5Rows
  private let path: String
  private let length: Int
  private var index = 0

  static func isLayout(_ root: HDF5Group) -> Bool {
    HDF5Rows.shape(root, "data").map { $0.count == 3 && ($0[1] == 3 || $0[1] == 5) } ?? false
  }

  init(_ path: String) throws(PreparationError) {
    self.path = path
    rows = try HDF5Rows(try HDF5Rows.root(path), "data", rank: 3)
    let shape = rows.dataset.shape
    guard shape[1] == 3 else {
      throw .badImport(
        path: path,
        reason: "data is of shape \(shape); [examples, 3, length] is read (ids, loss mask, labels)"
          + (shape[1] == 5 ? ", not the packed sequences of use_vsl" : ""))
    }
    length = shape[2]
    guard length > 0 else {
      throw .badImport(path: path, reason: "data is of shape \(shape): its examples have no tokens")
    }
  }

  var bytesRead: Int {
    let count = max(1, rows.dataset.rowCount)
    return Int(Double(rows.dataset.file.byteCount) * Double(index) / Double(count))
  }

  func next() throws(PreparationError) -> (example: ImportedExample, number: Int)? {
    guard index < rows.dataset.rowCount else { return nil }
    let row = Array(try rows.row(index))
    index += 1
    let ids = row[..<length]
    let mask = row[length..<(2 * length)]
    let labels = row[(2 * length)...]
    if let value = mask.first(where: { $0 != 0 && $0 != 1 }) {
      throw .badImport(
        path: path, reason: "the loss mask of example \(index) has \(value); 0 and 1 are known")
    }
    // What the last counted position predicts is the last token that matters.
    let last = mask.lastIndex(of: 1).map { $0 - length } ?? (length - 1)
    var tokens: [UInt32] = []
    var counts: [Bool] = []
    for position in 0..<min(last + 2, length + 1) {
      let id = position <= last ? ids[position] : labels[2 * length + position - 1]
      let isTarget = position > 0 && mask[length + position - 1] == 1
      if isTarget, labels[2 * length + position - 1] != id {
        throw .badImport(
          path: path,
          reason: "label \(position - 1) of example \(index) is "
            + "\(labels[2 * length + position - 1]), and the id behind it \(id); labels must be "
            + "the ids moved by one")
      }
      guard let token = UInt32(exactly: id) else {
        throw .badImport(path: path, reason: "example \(index) has \(id), which is no token id")
      }
      tokens.append(token)
      counts.append(isTarget)
    }
    return (ImportedExample(tokens: tokens, counts: counts), index)
  }
}
