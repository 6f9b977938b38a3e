/// A list of `Int32` that somebody else owns: token ids, positions, offsets, row numbers.
///
/// The same promise as `MatrixView`: it never frees and must not outlive its owner.
@safe
public struct IndexView {
  /// First element.
  public let base: UnsafeMutablePointer<Int32>
  /// Number of elements.
  public let count: Int

  /// Views `count` integers at `base`.
  public init(base: UnsafeMutablePointer<Int32>, count: Int) {
    self.base = base
    self.count = count
  }

  /// One element.
  public subscript(index: Int) -> Int {
    get {
      assert(index >= 0 && index < count)
      return Int(base[index])
    }
    nonmutating set {
      assert(index >= 0 && index < count)
      base[index] = Int32(newValue)
    }
  }

  /// The elements in `range`.
  public func slice(_ range: Range<Int>) -> IndexView {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= count, "elements \(range) of a list of \(count)")
    return IndexView(base: base + range.lowerBound, count: range.count)
  }

  /// The first `count` elements.
  public func prefix(_ count: Int) -> IndexView { slice(0..<count) }
}

/// The one owner of a list of `Int32`, zero at first.
public final class IndexBuffer {
  /// Number of elements.
  public let count: Int
  private let base: UnsafeMutablePointer<Int32>

  /// Allocates `count` integers.
  public init(count: Int) {
    precondition(count >= 0, "a list of \(count) integers")
    self.count = count
    base = UnsafeMutablePointer<Int32>.allocate(capacity: max(count, 1))
    base.initialize(repeating: 0, count: max(count, 1))
  }

  /// A list with the given elements.
  public convenience init(_ elements: [Int]) {
    self.init(count: elements.count)
    for (index, element) in elements.enumerated() { base[index] = Int32(element) }
  }

  deinit { base.deallocate() }

  /// All elements.
  public var all: IndexView { IndexView(base: base, count: count) }
}
