/// The candidate that takes the fewest insertions, deletions, changes and swaps of neighbours to
/// make of `name` (optimal string alignment distance), if that is at most a third of its length.
///
/// For messages that name the nearest known word.
package func nearestName(to name: String, among candidates: [String]) -> String? {
  let limit = max(1, min(4, name.count / 3))
  let ranked = candidates.map { ($0, editDistance(Array(name.utf8), Array($0.utf8))) }
  guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 <= limit else {
    // A name that was cut short or ran on: max_grad, learning_rate_peak.
    return candidates.first { name.count >= 4 && ($0.hasPrefix(name) || name.hasPrefix($0 + "_")) }
  }
  return best.0
}

private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  var beforeLast = [Int](repeating: 0, count: b.count + 1)
  var last = Array(0...b.count)
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var cost = min(last[j + 1] + 1, row[j] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
        cost = min(cost, beforeLast[j - 1] + 1)
      }
      row.append(cost)
    }
    beforeLast = last
    last = row
  }
  return last[b.count]
}
