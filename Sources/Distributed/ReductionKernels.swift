// The element loops of the exact reduction. Plain loops without a check that could leave them, so
// that the compiler turns them into vector code: no conversion from float to integer (which traps
// in Swift), no checked arithmetic. The caller vouches for counts and disjointness.

enum ReductionKernels {
  /// The slices of a tensor's elements, most significant first: four planes of `count` integers.
  @safe
  struct Planes {
    let first: UnsafeMutablePointer<Int32>
    let second: UnsafeMutablePointer<Int32>
    let third: UnsafeMutablePointer<Int32>
    let fourth: UnsafeMutablePointer<Int32>

    /// The planes from element `offset` on, each plane `stride` elements after the one before.
    init(base: UnsafeMutablePointer<Int32>, offset: Int, stride: Int) {
      unsafe first = base + offset
      unsafe second = base + offset + stride
      unsafe third = base + offset + 2 * stride
      unsafe fourth = base + offset + 3 * stride
    }
  }

  /// The largest magnitude among `count` floats, as its bit pattern: larger magnitudes have larger
  /// patterns, infinities and NaNs the largest of all (from 0x7f800000).
  static func largestMagnitude(_ values: UnsafePointer<Float>, count: Int) -> Int32 {
    var largest: Int32 = 0
    for index in 0..<count {
      let magnitude = unsafe Int32(bitPattern: values[index].bitPattern & 0x7fff_ffff)
      largest = magnitude > largest ? magnitude : largest
    }
    return largest
  }

  /// Cuts each value, times `scale`, into four slices of 12 bits and adds them to `planes`.
  ///
  /// The scaled values are under 2¹¹ in magnitude. Adding 1.5·2²³ rounds to the nearest integer,
  /// ties to even, and leaves that integer in the low bits of the sum's pattern; what was rounded
  /// away is exact, at most ½, and becomes the next slice times 2¹².
  static func accumulate(
    _ values: UnsafePointer<Float>, count: Int, scale: Float, into planes: Planes
  ) {
    let magic: Float = 0x1.8p23
    let offset = Int32(bitPattern: magic.bitPattern)
    let (first, second, third, fourth) = unsafe (
      planes.first, planes.second, planes.third, planes.fourth
    )
    for index in 0..<count {
      let scaled = unsafe values[index] * scale
      let one = scaled + magic
      let afterOne = (scaled - (one - magic)) * 4096
      let two = afterOne + magic
      let afterTwo = (afterOne - (two - magic)) * 4096
      let three = afterTwo + magic
      let afterThree = (afterTwo - (three - magic)) * 4096
      let four = afterThree + magic
      unsafe first[index] &+= Int32(bitPattern: one.bitPattern) &- offset
      unsafe second[index] &+= Int32(bitPattern: two.bitPattern) &- offset
      unsafe third[index] &+= Int32(bitPattern: three.bitPattern) &- offset
      unsafe fourth[index] &+= Int32(bitPattern: four.bitPattern) &- offset
    }
  }

  /// Moves every slice `places` planes down; the lowest are dropped, the upper ones become zero.
  static func lower(_ planes: Planes, by places: Int, count: Int) {
    let all = unsafe (planes.first, planes.second, planes.third, planes.fourth)
    switch places {
    case 0: return
    case 1:
      unsafe all.3.update(from: all.2, count: count)
      unsafe all.2.update(from: all.1, count: count)
      unsafe all.1.update(from: all.0, count: count)
    case 2:
      unsafe all.3.update(from: all.1, count: count)
      unsafe all.2.update(from: all.0, count: count)
    case 3: unsafe all.3.update(from: all.0, count: count)
    default: unsafe all.3.update(repeating: 0, count: count)
    }
    unsafe all.0.update(repeating: 0, count: count)
    if places > 1 { unsafe all.1.update(repeating: 0, count: count) }
    if places > 2 { unsafe all.2.update(repeating: 0, count: count) }
  }

  /// Puts the four sums of slices of each element together and sets the planes to zero.
  static func combine(_ planes: Planes, count: Int, into sums: UnsafeMutablePointer<Int64>) {
    let (first, second, third, fourth) = unsafe (
      planes.first, planes.second, planes.third, planes.fourth
    )
    for index in 0..<count {
      let upper = unsafe (Int64(first[index]) &<< 12) &+ Int64(second[index])
      let lower = unsafe (Int64(third[index]) &<< 12) &+ Int64(fourth[index])
      unsafe sums[index] = (upper &<< 24) &+ lower
      unsafe first[index] = 0
      unsafe second[index] = 0
      unsafe third[index] = 0
      unsafe fourth[index] = 0
    }
  }

  /// Rounds each value, times `scale`, to the nearest integer, ties to even, and adds it to `sums`.
  ///
  /// What ``accumulate(_:count:scale:into:)`` and ``combine(_:count:into:)`` do together, where the
  /// grid is known: the scaled values are under 2⁴⁷ in magnitude, so in double precision scaling is
  /// exact, and adding 1.5·2⁵² rounds and leaves the integer in the low bits of the sum's pattern.
  static func add(
    _ values: UnsafePointer<Float>, count: Int, scale: Double,
    to sums: UnsafeMutablePointer<Int64>
  ) {
    let magic = 0x1.8p52
    let offset = Int64(bitPattern: magic.bitPattern)
    for index in 0..<count {
      let rounded = unsafe Double(values[index]) * scale + magic
      unsafe sums[index] &+= Int64(bitPattern: rounded.bitPattern) &- offset
    }
  }

  /// Turns sums back into floats: each times `factor`, in double precision, rounded to a float.
  static func convert(
    _ sums: UnsafePointer<Int64>, count: Int, factor: Double,
    into values: UnsafeMutablePointer<Float>
  ) {
    for index in 0..<count {
      unsafe values[index] = Float(Double(sums[index]) * factor)
    }
  }
}
