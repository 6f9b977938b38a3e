/// Cuts a global batch by tokens: into few micro-batches that hold it, all about equally full.
///
/// Which examples share a micro-batch follows from their lengths alone, so it is the same for any number
/// of ranks. The longest example goes first, into the emptiest micro-batch; where one runs over there
/// are more of them. An example that is too long for any has one of its own. Their number is 1 or even, from
/// 8 on a multiple of 4, from 16 on of 8 and so on: the numbers of ranks that jobs have divide it.
final class MicroBatchPacking {
  /// Tokens in a micro-batch at most.
  let capacity: Int
  private let tokenCount: (_ example: Int) -> Int
  private var byLength = LongestFirst()
  private var bins: [(load: Int, bin: Int)] = []  // a heap, the emptiest on top
  private var binOfPlace: [Int] = []
  /// The examples, micro-batch after micro-batch.
  private(set) var examples: [Int] = []
  /// Where each micro-batch begins in ``examples``, and after the last where it ends.
  private(set) var starts: [Int] = []

  /// - Parameter tokenCount: of an example.
  init(capacity: Int, tokenCount: @escaping (_ example: Int) -> Int) {
    precondition(capacity > 0, "micro-batches of \(capacity) tokens")
    self.capacity = capacity
    self.tokenCount = tokenCount
  }

  /// Cuts a batch; within a micro-batch its examples keep their order.
  func pack(_ batch: ArraySlice<Int>) {
    byLength.removeAll()
    binOfPlace.removeAll(keepingCapacity: true)
    var (total, longOnes) = (0, 0)
    for (place, example) in batch.enumerated() {
      let tokens = tokenCount(example)
      byLength.append(cost: tokens, index: place)
      binOfPlace.append(0)
      if tokens > capacity { longOnes += 1 } else { total += tokens }
    }
    byLength.sort()
    // As many micro-batches as examples hold them all.
    let most = max(batch.count, 1)
    var count = min(Self.rounded(max(longOnes + (total + capacity - 1) / capacity, 1)), most)
    while !deal(into: count) && count < most { count = min(Self.rounded(count + 1), most) }

    starts.removeAll(keepingCapacity: true)
    for _ in 0...count { starts.append(0) }
    for bin in binOfPlace { starts[bin + 1] += 1 }
    for bin in 0..<count { starts[bin + 1] += starts[bin] }
    examples.removeAll(keepingCapacity: true)
    for _ in batch { examples.append(0) }
    // Filled from behind, so that `starts` comes back to what it was.
    for place in stride(from: batch.count - 1, through: 0, by: -1) {
      let bin = binOfPlace[place] + 1
      starts[bin] -= 1
      examples[starts[bin]] = batch[batch.startIndex + place]
    }
    for bin in 1...count { starts[bin - 1] = starts[bin] }
    starts[count] = batch.count
  }

  /// The next number of micro-batches that is not below `count`.
  static func rounded(_ count: Int) -> Int {
    if count < 2 { return count }
    let step = max(1 << (Int.bitWidth - 2 - count.leadingZeroBitCount), 2)
    return (count + step - 1) / step * step
  }

  /// Deals the examples to `count` micro-batches.
  ///
  /// - Returns: whether all hold theirs.
  private func deal(into count: Int) -> Bool {
    bins.removeAll(keepingCapacity: true)
    for bin in 0..<count { bins.append((0, bin)) }
    for (tokens, place) in byLength.items {
      binOfPlace[place] = bins[0].bin
      let isFirst = bins[0].load == 0
      bins[0].load += tokens
      if bins[0].load > capacity && !isFirst { return false }
      sinkTop()
    }
    return true
  }

  private func sinkTop() {
    var root = 0
    while 2 * root + 1 < bins.count {
      var child = 2 * root + 1
      if child + 1 < bins.count && bins[child + 1] < bins[child] { child += 1 }
      guard bins[child] < bins[root] else { return }
      bins.swapAt(root, child)
      root = child
    }
  }
}
