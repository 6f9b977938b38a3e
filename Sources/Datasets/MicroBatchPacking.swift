/// Cuts a global batch by tokens: into as few micro-batches as hold it, all about equally full.
///
/// Which examples share a micro-batch follows from their lengths alone, so it is the same for any number
/// of ranks. The longest example goes first, into the emptiest micro-batch; where one runs over there
/// is one more of them.
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

  /// - Parameters:
  ///   - capacity: at least the tokens of the longest example.
  ///   - tokenCount: of an example.
  init(capacity: Int, tokenCount: @escaping (_ example: Int) -> Int) {
    precondition(capacity > 0, "micro-batches of \(capacity) tokens")
    self.capacity = capacity
    self.tokenCount = tokenCount
  }

  /// Cuts a batch; within a micro-batch its examples keep their order.
  func pack(_ batch: ArraySlice<Int>) {
    byLength.removeAll()
    binOfPlace.removeAll(keepingCapacity: true)
    var total = 0
    for (place, example) in batch.enumerated() {
      let tokens = tokenCount(example)
      byLength.append(cost: tokens, index: place)
      binOfPlace.append(0)
      total += tokens
    }
    byLength.sort()
    var count = max((total + capacity - 1) / capacity, 1)
    // As many micro-batches as examples hold them all.
    while !deal(into: count) && count < batch.count { count += 1 }

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

  /// Deals the examples to `count` micro-batches.
  ///
  /// - Returns: whether all hold theirs.
  private func deal(into count: Int) -> Bool {
    bins.removeAll(keepingCapacity: true)
    for bin in 0..<count { bins.append((0, bin)) }
    for (tokens, place) in byLength.items {
      binOfPlace[place] = bins[0].bin
      bins[0].load += tokens
      if bins[0].load > capacity { return false }
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
