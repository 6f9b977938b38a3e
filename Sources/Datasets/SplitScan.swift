import Files
import HDF5

/// What one pass over a split found.
struct ScannedSplit {
  let offsets: [Int]
  let countedTokens: [Int32]
  let contentHash: UInt64
  let tokenHash, maskHash, offsetHash: UInt64
  let store: TokenStore
}

/// Reads a split once from end to end, checks every value, and counts.
struct SplitScan {
  let root: HDF5Group
  let vocabularySize: UInt32
  let maxLength: Int?
  let memoryBudgetBytes: Int

  /// Tokens read at once: 5 bytes each, 1.25 MiB.
  private static let blockCount = 1 << 18

  /// Opens a split that must be there.
  func open(_ name: SplitName) throws(DatasetError) -> TokenSplit {
    let place = SplitLocation(file: root.location.file, split: name)
    let tokens = try vector(name, "tokens")
    let lossMask = try vector(name, "loss_mask")
    guard tokens.count == lossMask.count else {
      throw .lengthsDiffer(place, tokens: tokens.count, lossMask: lossMask.count)
    }
    let offsets = try readOffsets(try vector(name, "offsets"), place, tokenCount: tokens.count)
    let scanned = try scan(tokens, lossMask, offsets, place)
    let split = TokenSplit(
      scanned: scanned, name: name, path: place.file, maxLength: maxLength)
    guard split.countedTokenCount > 0 else {
      let cutTo = split.cutExampleCount > 0 ? maxLength : nil
      throw .nothingCounts(place, examples: split.exampleCount, cutTo: cutTo)
    }
    return split
  }

  private func vector(_ split: SplitName, _ name: String) throws(DatasetError) -> HDF5Dataset {
    let file = root.location.file
    let object = "\(split)/\(name)"
    let dataset: HDF5Dataset
    do throws(HDF5Error) {
      dataset = try root.dataset(object)
    } catch {
      guard case .missingObject = error else { throw .storage(error) }
      let group = try storage { () throws(HDF5Error) in try root.kind(of: split.rawValue) }
      throw .missing(file: file, object: group == nil ? "/\(split)" : "/\(object)")
    }
    guard dataset.shape.count == 1, case .integer = dataset.type else {
      throw .notAVector(
        file: file, object: "/\(object)", shape: dataset.shape, type: dataset.type)
    }
    return dataset
  }

  private func readOffsets(
    _ dataset: HDF5Dataset, _ place: SplitLocation, tokenCount: Int
  ) throws(DatasetError) -> [Int] {
    guard dataset.count > 1 else { throw .noExamples(place) }
    let stored: [UInt64] = try storage { () throws(HDF5Error) in try dataset.read() }
    guard stored[0] == 0 else { throw .offsetsStart(place, found: stored[0]) }
    for example in 0..<(stored.count - 1) {
      let (start, end) = (stored[example], stored[example + 1])
      guard end >= start else {
        throw .offsetsDecrease(place, example: example, start: start, end: end)
      }
      guard end > start else { throw .emptyExample(place, example: example) }
    }
    guard let last = stored.last, last == UInt64(tokenCount) else {
      throw .offsetsEnd(place, found: stored.last ?? 0, tokens: tokenCount)
    }
    // None exceeds the last, which is an Int.
    return stored.map { Int($0) }
  }

  private func scan(
    _ tokens: HDF5Dataset, _ lossMask: HDF5Dataset, _ offsets: [Int], _ place: SplitLocation
  ) throws(DatasetError) -> ScannedSplit {
    let total = tokens.count
    let keep = total * 5 <= memoryBudgetBytes
    var keptTokens: [UInt32] = []
    var keptMask: [UInt8] = []
    if keep {
      keptTokens.reserveCapacity(total)
      keptMask.reserveCapacity(total)
    }
    var counter = TargetCounter(offsets: offsets, maxLength: maxLength)
    var tokenHash = ContentHash()
    var maskHash = ContentHash()
    for start in stride(from: 0, to: total, by: SplitScan.blockCount) {
      let rows = start..<min(start + SplitScan.blockCount, total)
      var tokenBlock = [UInt32](repeating: 0, count: rows.count)
      var maskBlock = [UInt8](repeating: 0, count: rows.count)
      do throws(HDF5Error) {
        try tokens.read(rows: rows, into: &tokenBlock)
      } catch {
        throw placed(error, offsets, place, isMask: false)
      }
      do throws(HDF5Error) {
        try lossMask.read(rows: rows, into: &maskBlock)
      } catch {
        throw placed(error, offsets, place, isMask: true)
      }
      try check(tokenBlock, maskBlock, start: start, offsets, place)
      counter.count(maskBlock, start: start)
      tokenHash.update(tokenBlock)
      maskHash.update(maskBlock)
      if keep {
        keptTokens.append(contentsOf: tokenBlock)
        keptMask.append(contentsOf: maskBlock)
      }
    }
    var hash = ContentHash()
    hash.update([tokenHash.value, maskHash.value])
    hash.update(offsets)
    var offsetHash = ContentHash()
    offsetHash.update(offsets)
    return ScannedSplit(
      offsets: offsets, countedTokens: counter.countedTokens, contentHash: hash.value,
      tokenHash: tokenHash.value, maskHash: maskHash.value, offsetHash: offsetHash.value,
      store: keep
        ? .memory(tokens: keptTokens, lossMask: keptMask)
        : .file(tokens: tokens, lossMask: lossMask))
  }

  /// Throws for the first token outside the vocabulary and the first mask value that is not 0 or 1.
  private func check(
    _ tokens: [UInt32], _ mask: [UInt8], start: Int, _ offsets: [Int], _ place: SplitLocation
  ) throws(DatasetError) {
    if let wrong = tokens.firstIndex(where: { $0 >= vocabularySize }) {
      let (example, position) = locate(start + wrong, offsets)
      throw .tokenOutsideVocabulary(
        place, example: example, position: position, token: "\(tokens[wrong])",
        vocabulary: Int(vocabularySize))
    }
    if let wrong = mask.firstIndex(where: { $0 > 1 }) {
      let (example, position) = locate(start + wrong, offsets)
      throw .maskValue(place, example: example, position: position, value: "\(mask[wrong])")
    }
  }

  /// Says of a stored number that fits no token or mask which example it is in.
  private func placed(
    _ error: HDF5Error, _ offsets: [Int], _ place: SplitLocation, isMask: Bool
  ) -> DatasetError {
    guard case .valueOutOfRange(_, let index, let value, _) = error else {
      return .storage(error)
    }
    let (example, position) = locate(index, offsets)
    return isMask
      ? .maskValue(place, example: example, position: position, value: value)
      : .tokenOutsideVocabulary(
        place, example: example, position: position, token: value, vocabulary: Int(vocabularySize))
  }

  /// The example that token `index` of the split is in, and its position there.
  private func locate(_ index: Int, _ offsets: [Int]) -> (example: Int, position: Int) {
    // Offsets grow: the first one past the index ends its example.
    var low = 0
    var high = offsets.count - 1
    while low < high {
      let middle = (low + high) / 2
      if offsets[middle] > index { high = middle } else { low = middle + 1 }
    }
    return (low - 1, index - offsets[low - 1])
  }
}

/// Counts the targets of each example while its mask streams past.
private struct TargetCounter {
  let offsets: [Int]
  let maxLength: Int?
  private(set) var countedTokens: [Int32]
  private var example = 0

  init(offsets: [Int], maxLength: Int?) {
    self.offsets = offsets
    self.maxLength = maxLength
    countedTokens = Array(repeating: 0, count: offsets.count - 1)
  }

  /// Goes on with the block of masks that begins at `start` of the split.
  mutating func count(_ mask: [UInt8], start: Int) {
    let end = start + mask.count
    while example < countedTokens.count && offsets[example] < end {
      let (first, last) = (offsets[example], offsets[example + 1])
      let kept = first + min(last - first, maxLength ?? (last - first))
      // The first token of an example is nobody's target.
      let from = max(first + 1, start)
      let to = min(kept, end)
      var sum = 0
      for place in from..<max(from, to) { sum += Int(mask[place - start]) }
      countedTokens[example] += Int32(clamping: sum)
      guard last <= end else { return }
      example += 1
    }
  }
}
