import Datasets
import Testing

@Suite("Whoever has least") struct LeastLoadedTests {
  @Test("Work goes to whom a search from the first one on would find", arguments: [1, 2, 3, 7, 64])
  func search(count: Int) {
    var workers = LeastLoaded<Int>(count: count)
    var loads = (0..<count).map { $0 * 5 % 4 }
    workers.begin { loads[$0] }
    for step in 0..<300 {
      let load = step * 7919 % 11
      let least = loads.indices.min { (loads[$0], $0) < (loads[$1], $1) } ?? 0
      loads[least] += load
      let taken = workers.take(load)
      #expect(taken.worker == least && taken.load == loads[least])
    }
    #expect(workers.most == loads.max())
  }
}
