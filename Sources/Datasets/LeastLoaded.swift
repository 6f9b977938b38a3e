/// Workers by what each has to do, for handing work to whoever has least: a binary heap.
///
/// ```swift
/// var workers = LeastLoaded(count: 3)
/// let worker = workers.take(5)  // 0; the next one is 1
/// ```
///
/// Of those that have equally much the lowest number comes first, so what comes of it is unique.
package struct LeastLoaded<Load: Comparable & AdditiveArithmetic> {
  private var heap: [(load: Load, worker: Int)]

  /// So many workers that have nothing to do.
  package init(count: Int) {
    precondition(count > 0, "\(count) workers")
    heap = (0..<count).map { (.zero, $0) }
  }

  /// Begins again, each worker with as much as `load` says; allocates nothing.
  package mutating func begin(with load: (_ worker: Int) -> Load) {
    for worker in heap.indices { heap[worker] = (load(worker), worker) }
    for root in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(root) }
  }

  /// Hands work to whoever has least.
  ///
  /// - Returns: who it is, and what it then has.
  @discardableResult
  package mutating func take(_ load: Load) -> (worker: Int, load: Load) {
    take { _ in load }
  }

  /// Hands work to whoever has least, as much as `load` says for that one.
  @discardableResult
  package mutating func take(_ load: (_ worker: Int) -> Load) -> (worker: Int, load: Load) {
    let worker = heap[0].worker
    heap[0].load += load(worker)
    let taken = (worker, heap[0].load)
    sink()
    return taken
  }

  /// The most that anybody has.
  package var most: Load { heap.reduce(.zero) { max($0, $1.load) } }

  private mutating func sink(_ start: Int = 0) {
    var root = start
    while 2 * root + 1 < heap.count {
      var child = 2 * root + 1
      if child + 1 < heap.count && comes(child + 1, before: child) { child += 1 }
      guard comes(child, before: root) else { return }
      heap.swapAt(root, child)
      root = child
    }
  }

  private func comes(_ first: Int, before second: Int) -> Bool {
    let (a, b) = (heap[first], heap[second])
    return a.load != b.load ? a.load < b.load : a.worker < b.worker
  }
}
