extension CounterRandom {
  /// A standard normal number (Box-Muller on two uniforms of the same counter).
  public func normal(_ counter: UInt64) -> Double {
    let w = block(counter)
    let u1 = (Double(UInt64(w[0]) << 21 ^ UInt64(w[1] >> 11)) + 1) * 0x1p-53
    let u2 = Double(UInt64(w[2]) << 21 ^ UInt64(w[3] >> 11)) * 0x1p-53
    return (-2 * PortableMath.log(u1)).squareRoot() * PortableMath.cos(2 * Double.pi * u2)
  }

  /// Fills `view` with uniform numbers in [low, high).
  public func fillUniform(_ view: MatrixView, low: Double, high: Double) {
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        let counter = UInt64(row * view.columns + column)
        view[row, column] = Float(low + (high - low) * uniform(counter))
      }
    }
  }

  /// Fills `view` with normal numbers of mean 0.
  public func fillNormal(_ view: MatrixView, standardDeviation: Double) {
    for row in 0..<view.rows {
      for column in 0..<view.columns {
        view[row, column] = Float(
          standardDeviation * normal(UInt64(row * view.columns + column)))
      }
    }
  }
}
