/// More memory is needed than there can be.
public struct MemoryShortage: ClassifiedError, Sendable {
  /// What needs it, by part: `128 GiB of activations`.
  public let parts: [String]
  /// All of it, in words.
  public let needed: String
  /// How much there is, and whose limit that is, a sentence without its end.
  public let limit: String
  /// What would make it fit.
  public let ways: [String]

  /// Describes one.
  public init(parts: [String], needed: String, limit: String, ways: [String]) {
    (self.parts, self.needed, self.limit, self.ways) = (parts, needed, limit, ways)
  }

  /// Settings ask for more than the machine gives.
  public var errorClass: ErrorClass { .usage }

  /// What, how much, whose limit, how to mend.
  public var description: String {
    let sum = parts.count > 1 ? "\(needed) of memory (\(parts.joined(separator: ", ")))" : parts[0]
    let remedy = ways.isEmpty ? "" : " What would fit: \(ways.joined(separator: "; "))."
    return "A rank would need \(sum), and \(limit).\(remedy)"
  }
}
