/// Merges the symbols of one word, earliest merge first (Sennrich, Haddow, Birch: "Neural machine
/// translation of rare words with subword units", ACL 2016; at equal rank the leftmost).
///
/// Short words look for the best pair again after each merge; long ones keep a heap, so that a word
/// of n symbols costs n log n and a megabyte without blanks is a matter of a second.
struct WordMerger {
  /// Up to here looking again is quicker than a heap.
  private static let scanLimit = 48

  /// Symbols of the word: set before `merge`, the tokens after it.
  var symbols: [UInt32] = []
  private var ranks: [UInt32] = []
  private var results: [UInt32] = []
  private var previous: [Int32] = []
  private var next: [Int32] = []
  private var heap: [UInt64] = []

  mutating func merge(_ merges: MergeTable) {
    guard symbols.count > 1 else { return }
    if symbols.count <= Self.scanLimit { scan(merges) } else { mergeByHeap(merges) }
  }

  private mutating func scan(_ merges: MergeTable) {
    ranks.removeAll(keepingCapacity: true)
    results.removeAll(keepingCapacity: true)
    for index in 0..<(symbols.count - 1) {
      let merge = merges.find(symbols[index], symbols[index + 1])
      ranks.append(merge.rank)
      results.append(merge.token)
    }
    while true {
      var best = MergeTable.none
      var place = 0
      for index in ranks.indices where ranks[index] < best {
        best = ranks[index]
        place = index
      }
      guard best != MergeTable.none else { return }
      symbols[place] = results[place]
      symbols.remove(at: place + 1)
      ranks.remove(at: place)
      results.remove(at: place)
      if place > 0 { look(place - 1, merges) }
      if place < ranks.count { look(place, merges) }
    }
  }

  private mutating func look(_ place: Int, _ merges: MergeTable) {
    let merge = merges.find(symbols[place], symbols[place + 1])
    ranks[place] = merge.rank
    results[place] = merge.token
  }

  private mutating func mergeByHeap(_ merges: MergeTable) {
    let count = symbols.count
    previous = (0..<Int32(count)).map { $0 - 1 }
    next = (1...Int32(count)).map { $0 }
    next[count - 1] = -1
    heap.removeAll(keepingCapacity: true)
    for index in 0..<(count - 1) { push(index, symbols[index], symbols[index + 1], merges) }
    while let top = pop() {
      let place = Int(top & 0xffff_ffff)
      let right = Int(next[place])
      guard right >= 0, symbols[place] != Self.removed else { continue }
      let merge = merges.find(symbols[place], symbols[right])
      // The pair that was meant may have been merged away since.
      guard merge.rank == UInt32(top >> 32) else { continue }
      symbols[place] = merge.token
      symbols[right] = Self.removed
      next[place] = next[right]
      if next[place] >= 0 {
        previous[Int(next[place])] = Int32(place)
        push(place, merge.token, symbols[Int(next[place])], merges)
      }
      if previous[place] >= 0 {
        let left = Int(previous[place])
        push(left, symbols[left], merge.token, merges)
      }
    }
    symbols.removeAll { $0 == Self.removed }
  }

  /// No token has this number: vocabularies are checked for it.
  static let removed = UInt32.max

  /// Puts a pair on the heap: rank above place, so that the smallest number merges first.
  private mutating func push(
    _ place: Int, _ left: UInt32, _ right: UInt32, _ merges: MergeTable
  ) {
    let rank = merges.find(left, right).rank
    guard rank != MergeTable.none else { return }
    heap.append(UInt64(rank) << 32 | UInt64(place))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent] <= heap[child] { return }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  private mutating func pop() -> UInt64? {
    guard let top = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return top }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      if last <= heap[child] { break }
      heap[parent] = heap[child]
      parent = child
    }
    heap[parent] = last
    return top
  }
}
