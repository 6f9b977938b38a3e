import Tensors

/// Random floats by the billion: SplitMix64 (Steele, Lea, Flood, 2014) of a seed and a place.
///
/// Uniform, which for speed is as good as normal.
struct FastRandom {
  private let key: UInt64

  init(seed: UInt64) { key = seed &* 0xd134_2543_de82_ef95 }

  /// Sets a matrix to numbers of mean 0 and the given deviation.
  ///
  /// - Parameter from: the place of its first element among all of the seed's.
  func fill(_ target: MatrixView, from start: Int = 0, deviation: Float = 1) {
    // A uniform number in -1 ..< 1 has deviation 1/√3.
    let scale = deviation * Float(3).squareRoot() * 0x1p-31
    for row in 0..<target.rows {
      let base = target.base + row * target.rowStride
      for column in 0..<target.columns {
        let word = self[start + row * target.columns + column]
        base[column] = scale * Float(Int32(truncatingIfNeeded: word >> 32))
      }
    }
  }

  /// 64 random bits of a place.
  subscript(place: Int) -> UInt64 {
    var z = key &+ UInt64(place) &* 0x9e37_79b9_7f4a_7c15
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
