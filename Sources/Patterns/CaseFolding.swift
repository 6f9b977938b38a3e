/// Letters that `(?i)` takes for one another.
enum CaseFolding {
  /// Every scalar that folds to the same as another, by what it folds to: simple folding, told from
  /// Swift's case mappings (`ſ` and `s` have one upper case).
  private static let classes: [UInt32: [UInt32]] = {
    var result: [UInt32: [UInt32]] = [:]
    // Beyond U+1E943 no letter has a case.
    for value in UInt32(0x41)...0x1e943 {
      guard let scalar = Unicode.Scalar(value), scalar.properties.isCased else { continue }
      let key = folded(scalar)
      result[key, default: []].append(value)
    }
    return result.filter { $0.value.count > 1 }
  }()

  private static func folded(_ scalar: Unicode.Scalar) -> UInt32 {
    let upper = single(scalar.properties.uppercaseMapping) ?? scalar
    return (single(upper.properties.lowercaseMapping) ?? upper).value
  }

  private static func single(_ text: String) -> Unicode.Scalar? {
    text.unicodeScalars.count == 1 ? text.unicodeScalars.first : nil
  }

  /// The set with every other case of its members.
  static func closure(of set: ScalarSet) -> ScalarSet {
    var result = set
    for members in classes.values where members.contains(where: set.contains) {
      for member in members { result.insert(member...member) }
    }
    return result
  }
}
