/// The four normalisation forms (Unicode Standard Annex 15) with the reference library's data.
package enum UnicodeNormalization: Sendable {
  case nfc, nfd, nfkc, nfkd

  private var isCompatible: Bool { self == .nfkc || self == .nfkd }
  private var composes: Bool { self == .nfc || self == .nfkc }

  // Hangul syllables are computed (The Unicode Standard, §3.12).
  private static let syllableBase: UInt32 = 0xac00
  private static let syllableCount: UInt32 = 11172
  private static let vowelCount: UInt32 = 21
  private static let trailCount: UInt32 = 28

  /// The text in this form.
  package func callAsFunction(_ bytes: [UInt8]) -> [UInt8] {
    // ASCII is in every form; most text is ASCII.
    if !bytes.contains(where: { $0 >= 0x80 }) { return bytes }
    var scalars = decompose(bytes)
    if composes { compose(&scalars) }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    for scalar in scalars { UTF8Text.append(scalar, to: &result) }
    return result
  }

  private func decompose(_ bytes: [UInt8]) -> [UInt32] {
    let canonical = UnicodeTables.canonicalDecompositions
    let compatible = isCompatible ? UnicodeTables.compatibilityDecompositions : [:]
    let classes = UnicodeTables.combiningClasses
    var result: [UInt32] = []
    result.reserveCapacity(bytes.count)
    /// Where the marks that may still move begin.
    var marks = 0
    var position = 0
    while position < bytes.count {
      let scalar = UTF8Text.next(bytes, &position)
      if scalar < 0xa0 {
        Self.order(&result, from: marks, classes)
        result.append(scalar)
        marks = result.count
        continue
      }
      let index = scalar &- Self.syllableBase
      if index < Self.syllableCount {
        Self.order(&result, from: marks, classes)
        let block = Self.vowelCount * Self.trailCount
        result.append(0x1100 + index / block)
        result.append(0x1161 + index % block / Self.trailCount)
        if index % Self.trailCount > 0 { result.append(0x11a7 + index % Self.trailCount) }
        marks = result.count
        continue
      }
      for part in compatible[scalar] ?? canonical[scalar] ?? [scalar] {
        let isStarter = classes[part] == nil
        if isStarter { Self.order(&result, from: marks, classes) }
        result.append(part)
        if isStarter { marks = result.count }
      }
    }
    Self.order(&result, from: marks, classes)
    return result
  }

  /// Sorts the marks at the end by class, keeping the order within a class.
  private static func order(
    _ scalars: inout [UInt32], from start: Int, _ classes: [UInt32: UInt8]
  ) {
    guard scalars.count - start > 1 else { return }
    // `sort` is stable in practice but not by promise: the place decides between equals.
    let sorted = scalars[start...].enumerated().sorted {
      let (a, b) = (classes[$0.element] ?? 0, classes[$1.element] ?? 0)
      return a == b ? $0.offset < $1.offset : a < b
    }
    for (offset, item) in sorted.enumerated() { scalars[start + offset] = item.element }
  }

  /// Primary composites by their two parts.
  private static let composites: [UInt64: UInt32] = {
    let decompositions = UnicodeTables.canonicalDecompositions
      .filter { !UnicodeTables.excludedFromComposition.contains($0.key) }
      .sorted { ($0.value.count, $0.key) < ($1.value.count, $1.key) }
    var result: [UInt64: UInt32] = [:]
    for (scalar, parts) in decompositions where parts.count > 1 {
      // All but the last part compose to one scalar, found already since it is shorter.
      var first = parts[0]
      for part in parts.dropFirst().dropLast() {
        first = result[UInt64(first) << 32 | UInt64(part)] ?? first
      }
      if let last = parts.last { result[UInt64(first) << 32 | UInt64(last)] = scalar }
    }
    return result
  }()

  private func compose(_ scalars: inout [UInt32]) {
    let classes = UnicodeTables.combiningClasses
    let composites = Self.composites
    var output = 0
    var starter = -1
    /// Class of the scalar written last after the starter; 0 right after it.
    var previous: UInt8 = 0
    for index in scalars.indices {
      let scalar = scalars[index]
      let own = scalar < 0x300 ? 0 : classes[scalar] ?? 0
      if starter >= 0, output == starter + 1 || (previous != 0 && previous < own) {
        let base = scalars[starter]
        if let composite = Self.syllable(base, scalar)
          ?? (scalar < 0x300 ? nil : composites[UInt64(base) << 32 | UInt64(scalar)])
        {
          scalars[starter] = composite
          continue
        }
      }
      if own == 0 {
        starter = output
        previous = 0
      } else {
        previous = own
      }
      scalars[output] = scalar
      output += 1
    }
    scalars.removeLast(scalars.count - output)
  }

  private static func syllable(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first &- 0x1100 < 19, second &- 0x1161 < vowelCount {
      return syllableBase + ((first - 0x1100) * vowelCount + second - 0x1161) * trailCount
    }
    if first &- syllableBase < syllableCount, (first - syllableBase) % trailCount == 0,
      second &- 0x11a8 < trailCount - 1
    {
      return first + second - 0x11a7
    }
    return nil
  }
}
