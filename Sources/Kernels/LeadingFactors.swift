import Tensors

/// The leading factors of a matrix: singular triplets, or columns of its QR decomposition.
///
/// Everything is computed in `Double` on one thread, and every sum has a fixed order, so the bits do
/// not depend on the processor, its vectors or a library: ranks that compute the factors of one weight
/// for themselves have the same.
///
/// It does not know what the factors are for.
public struct LeadingFactors {
  /// U or Q, [rows, count], row-major.
  public let left: [Double]
  /// Singular values, largest first; empty for a QR decomposition.
  public let values: [Double]
  /// Vᵀ or R, [count, columns], row-major.
  public let right: [Double]

  /// The `count` largest singular triplets of `w`, by Golub-Kahan-Lanczos bidiagonalisation with full
  /// reorthogonalisation (Golub and Van Loan, Matrix Computations, §10.4).
  ///
  /// It goes on until every triplet has a residual below 1e-10 of the largest singular value (f32 keeps 6e-8), at the
  /// latest through all of the smaller dimension, where the decomposition is whole. The signs of a
  /// triplet's two vectors are arbitrary; here V's largest component is positive.
  /// - Parameters:
  ///   - w: [rows, columns].
  ///   - count: at most the smaller dimension.
  public static func singular(of w: MatrixView, count: Int) -> LeadingFactors {
    let limit = min(w.rows, w.columns)
    precondition(count > 0 && count <= limit, "\(count) triplets of [\(w.rows), \(w.columns)]")
    guard w.rows >= w.columns else {
      // Of a wide matrix B would have a column more than rows: its transpose is decomposed.
      let buffer = FloatBuffer(count: w.count)
      let tall = buffer.view(rows: w.columns, columns: w.rows)
      for row in 0..<w.rows { for column in 0..<w.columns { tall[column, row] = w[row, column] } }
      let factors = singular(of: tall, count: count)
      return LeadingFactors(
        left: transposed(factors.right, rows: count, columns: w.rows), values: factors.values,
        right: transposed(factors.left, rows: w.columns, columns: count)
      ).withPositivePeaks(rows: w.rows, columns: w.columns)
    }
    let matrix = DoubleMatrix(w)
    // w V = U B with B upper bidiagonal: diagonal `alpha`, above it `beta`.
    var u: [[Double]] = []
    var v: [[Double]] = [unit(w.columns, seed: 0, against: [])]
    var alpha: [Double] = []
    var beta: [Double] = []
    var target = min(limit, 2 * count + 16)
    while true {
      while u.count < target {
        let k = u.count
        var next = matrix.times(v[k])
        if k > 0 { subtract(u[k - 1], times: beta[k - 1], from: &next) }
        orthogonalize(&next, against: u)
        alpha.append(normalize(&next))
        u.append(alpha[k] > 0 ? next : unit(w.rows, seed: k + 1, against: u))
        guard k + 1 < limit else { break }
        var after = matrix.transposedTimes(u[k])
        subtract(v[k], times: alpha[k], from: &after)
        orthogonalize(&after, against: v)
        beta.append(normalize(&after))
        v.append(beta[k] > 0 ? after : unit(w.columns, seed: k + 1, against: v))
      }
      let k = u.count
      let small = bidiagonal(alpha, beta, count: k)
      // The residual of a triplet is beta_k times the last component of its left vector.
      let last = k < limit ? abs(beta[k - 1]) : 0
      let residual = (0..<count).map { last * abs(small.left[(k - 1) * k + $0]) }.max() ?? 0
      if k == limit || residual <= 1e-10 * small.values[0] {
        return LeadingFactors(
          left: combine(u, small.left, k, count), values: Array(small.values[..<count]),
          right: transposed(
            combine(Array(v[..<k]), small.right, k, count), rows: w.columns, columns: count)
        ).withPositivePeaks(rows: w.rows, columns: w.columns)
      }
      target = min(limit, target + target / 2)
    }
  }

  /// `count` approximate singular triplets, by power iterations of a random subspace: Halko,
  /// Martinsson and Tropp 2011 (arXiv:0909.4061), algorithm 4.4, without oversampling.
  ///
  /// - Parameters:
  ///   - w: any matrix, [M, N].
  ///   - count: number of triplets, at most min(M, N).
  ///   - iterations: power iterations after the first product.
  ///   - random: draws the subspace, evenly: those bits are the same everywhere.
  public static func singular(
    of w: MatrixView, count: Int, iterations: Int, random: CounterRandom
  ) -> LeadingFactors {
    let matrix = DoubleMatrix(w)
    var basis = orthonormal(
      (0..<count).map { column in
        matrix.times(
          (0..<w.columns).map { random.uniform(UInt64(column * w.columns + $0)) - 0.5 })
      })
    for _ in 0..<iterations {
      basis = orthonormal(basis.map(matrix.transposedTimes))
      basis = orthonormal(basis.map(matrix.times))
    }
    // Bᵀ = wᵀ Q, whose columns' decomposition is Q's side of w's.
    let small = jacobi(basis.map(matrix.transposedTimes))
    let k = count
    return LeadingFactors(
      left: combine(basis, small.right, k, k), values: small.values,
      right: transposed(small.left, rows: w.columns, columns: k)
    ).withPositivePeaks(rows: w.rows, columns: w.columns)
  }

  /// The first `count` columns of Q and rows of R of `w = Q R`, by Householder reflections, with the
  /// signs that LAPACK gives them: R's diagonal is the opposite of the reflected column's head.
  ///
  /// - Parameters:
  ///   - w: [rows, columns].
  ///   - count: at most the smaller dimension.
  public static func orthogonalTriangular(of w: MatrixView, count: Int) -> LeadingFactors {
    let (rows, columns) = (w.rows, w.columns)
    precondition(count > 0 && count <= min(rows, columns), "\(count) of [\(rows), \(columns)]")
    let matrix = DoubleMatrix(w)
    var reflectors: [[Double]] = []
    for k in 0..<count {
      var column = (0..<rows).map { Double(w[$0, k]) }
      for (start, reflector) in reflectors.enumerated() {
        reflect(&column, by: reflector, from: start)
      }
      var vector = column
      for i in 0..<k { vector[i] = 0 }
      let norm = dot(vector, vector).squareRoot()
      vector[k] += column[k] < 0 ? -norm : norm
      let length = dot(vector, vector).squareRoot()
      if length > 0 { for i in k..<rows { vector[i] /= length } }
      reflectors.append(vector)
    }
    var left = [Double](repeating: 0, count: rows * count)
    var right: [Double] = []
    for k in 0..<count {
      var column = [Double](repeating: 0, count: rows)
      column[k] = 1
      for start in (0..<count).reversed() {
        reflect(&column, by: reflectors[start], from: start)
      }
      for i in 0..<rows { left[i * count + k] = column[i] }
      var row = matrix.transposedTimes(column)
      for i in 0..<min(k, columns) { row[i] = 0 }
      right += row
    }
    return LeadingFactors(left: left, values: [], right: right)
  }

  private init(left: [Double], values: [Double], right: [Double]) {
    self.left = left
    self.values = values
    self.right = right
  }

  /// Turns triplets so that the largest component of each right vector is positive.
  private func withPositivePeaks(rows: Int, columns: Int) -> LeadingFactors {
    var (left, right) = (self.left, self.right)
    let count = values.count
    for k in 0..<count {
      let row = right[(k * columns)..<((k + 1) * columns)]
      let peak = row.max { abs($0) < abs($1) } ?? 0
      guard peak < 0 else { continue }
      for i in row.indices { right[i] = -right[i] }
      for i in 0..<rows { left[i * count + k] = -left[i * count + k] }
    }
    return LeadingFactors(left: left, values: values, right: right)
  }
}

// MARK: Vectors

private func dot(_ a: [Double], _ b: [Double]) -> Double {
  a.withUnsafeBytes { a in b.withUnsafeBytes { b in dot(a, b, as: SIMD8<Double>.self) { $0 } } }
}

/// Sum of products of as many elements as `b` has, in eight lanes that are added in order.
private func dot<Lanes: SIMD>(
  _ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer, as lanes: Lanes.Type,
  _ widen: (Lanes) -> SIMD8<Double>
) -> Double {
  let stride = MemoryLayout<Lanes.Scalar>.stride
  let count = b.count / 8
  var sums = SIMD8<Double>.zero
  var i = 0
  while i + 8 <= count {
    sums +=
      widen(a.loadUnaligned(fromByteOffset: i * stride, as: lanes))
      * b.loadUnaligned(fromByteOffset: i * 8, as: SIMD8<Double>.self)
    i += 8
  }
  if i < count {
    var (left, right) = (Lanes(), SIMD8<Double>.zero)
    for j in 0..<(count - i) {
      left[j] = a.loadUnaligned(fromByteOffset: (i + j) * stride, as: Lanes.Scalar.self)
      right[j] = b.loadUnaligned(fromByteOffset: (i + j) * 8, as: Double.self)
    }
    sums += widen(left) * right
  }
  var sum = 0.0
  for j in 0..<8 { sum += sums[j] }
  return sum
}

/// `y -= factor · x`.
private func subtract(_ x: [Double], times factor: Double, from y: inout [Double]) {
  for i in y.indices { y[i] -= factor * x[i] }
}

/// Twice is enough (Kahan): once leaves what cancellation left.
private func orthogonalize(_ x: inout [Double], against basis: [[Double]]) {
  for _ in 0..<2 {
    for vector in basis { subtract(vector, times: dot(vector, x), from: &x) }
  }
}

/// Scales to length 1; returns the length, 0 for what is nothing but rounding.
private func normalize(_ x: inout [Double]) -> Double {
  let length = dot(x, x).squareRoot()
  guard length > 1e-200 else { return 0 }
  for i in x.indices { x[i] /= length }
  return length
}

/// A vector of length 1 that is orthogonal to `basis`, the same on every processor.
private func unit(_ count: Int, seed: Int, against basis: [[Double]]) -> [Double] {
  var attempt = seed
  while true {
    let random = CounterRandom(seed: UInt64(attempt), purpose: "leading factors")
    var x = (0..<count).map { Double(random.integer(UInt64($0), below: 1 << 20)) / 1_048_576 - 0.5 }
    orthogonalize(&x, against: basis)
    let length = dot(x, x).squareRoot()
    if length > 1e-6 {
      for i in x.indices { x[i] /= length }
      orthogonalize(&x, against: basis)
      return x
    }
    attempt += 1 << 20
  }
}

private func orthonormal(_ vectors: [[Double]]) -> [[Double]] {
  var basis: [[Double]] = []
  for (index, vector) in vectors.enumerated() {
    var x = vector
    let before = dot(x, x).squareRoot()
    orthogonalize(&x, against: basis)
    let length = normalize(&x)
    basis.append(
      length > 1e-14 * before ? x : unit(vector.count, seed: index, against: basis))
  }
  return basis
}

/// `x ← (I − 2 v vᵀ) x`, where v is zero before `start`.
private func reflect(_ x: inout [Double], by v: [Double], from start: Int) {
  let factor = 2 * dot(v, x)
  for i in start..<x.count { x[i] -= factor * v[i] }
}

// MARK: Matrices

/// A matrix in f32 whose products are in `Double`.
private struct DoubleMatrix {
  let w: MatrixView

  init(_ w: MatrixView) { self.w = w }

  /// w x, [rows].
  func times(_ x: [Double]) -> [Double] {
    x.withUnsafeBytes { x in
      (0..<w.rows).map { row in
        let values = UnsafeRawBufferPointer(start: w.base + row * w.rowStride, count: 4 * w.columns)
        return dot(values, x, as: SIMD8<Float>.self) { SIMD8<Double>($0) }
      }
    }
  }

  /// wᵀ x, [columns].
  func transposedTimes(_ x: [Double]) -> [Double] {
    var sums = [Double](repeating: 0, count: w.columns)
    sums.withUnsafeMutableBufferPointer { sums in
      for row in 0..<w.rows {
        let (base, factor) = (w.base + row * w.rowStride, x[row])
        for column in 0..<w.columns { sums[column] += Double(base[column]) * factor }
      }
    }
    return sums
  }
}

/// Basis vectors times the first `count` columns of a k × k matrix: [length, count].
private func combine(_ basis: [[Double]], _ small: [Double], _ k: Int, _ count: Int) -> [Double] {
  let length = basis[0].count
  var result = [Double](repeating: 0, count: length * count)
  for column in 0..<count {
    for index in 0..<k {
      let factor = small[index * k + column]
      let vector = basis[index]
      for i in 0..<length { result[i * count + column] += factor * vector[i] }
    }
  }
  return result
}

private func transposed(_ x: [Double], rows: Int, columns: Int) -> [Double] {
  var result = [Double](repeating: 0, count: x.count)
  for i in 0..<rows {
    for j in 0..<columns { result[j * rows + i] = x[i * columns + j] }
  }
  return result
}

/// Singular triplets of an upper bidiagonal matrix, largest first.
private func bidiagonal(_ alpha: [Double], _ beta: [Double], count k: Int) -> (
  left: [Double], values: [Double], right: [Double]
) {
  // Columns of B.
  jacobi(
    (0..<k).map { column in
      var x = [Double](repeating: 0, count: k)
      x[column] = alpha[column]
      if column > 0 { x[column - 1] = beta[column - 1] }
      return x
    })
}

/// Singular triplets of a matrix given by its columns, largest first, by one-sided Jacobi rotations
/// (Hestenes).
///
/// - Returns: U [length, k], the values, and V [k, k], row-major.
private func jacobi(_ columns: [[Double]]) -> (
  left: [Double], values: [Double], right: [Double]
) {
  let k = columns.count
  let length = columns[0].count
  var a = columns
  var v = (0..<k).map { column in (0..<k).map { $0 == column ? 1.0 : 0.0 } }
  for _ in 0..<60 {
    var isDone = true
    for p in 0..<(k - 1) {
      for q in (p + 1)..<k {
        let (pp, qq, pq) = (dot(a[p], a[p]), dot(a[q], a[q]), dot(a[p], a[q]))
        if abs(pq) <= 1e-15 * (pp * qq).squareRoot() || pq == 0 { continue }
        isDone = false
        let zeta = (qq - pp) / (2 * pq)
        let t = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
        let c = 1 / (1 + t * t).squareRoot()
        rotate(&a, p, q, c, c * t)
        rotate(&v, p, q, c, c * t)
      }
    }
    if isDone { break }
  }
  let norms = a.map { dot($0, $0).squareRoot() }
  let order = (0..<k).sorted { (norms[$0], $1) > (norms[$1], $0) }
  var left = [Double](repeating: 0, count: length * k)
  var right = [Double](repeating: 0, count: k * k)
  for (place, column) in order.enumerated() {
    for i in 0..<length where norms[column] > 0 {
      left[i * k + place] = a[column][i] / norms[column]
    }
    for i in 0..<k { right[i * k + place] = v[column][i] }
  }
  return (left, order.map { norms[$0] }, right)
}

private func rotate(_ x: inout [[Double]], _ p: Int, _ q: Int, _ c: Double, _ s: Double) {
  for i in x[p].indices {
    let (xp, xq) = (x[p][i], x[q][i])
    x[p][i] = c * xp - s * xq
    x[q][i] = s * xp + c * xq
  }
}
