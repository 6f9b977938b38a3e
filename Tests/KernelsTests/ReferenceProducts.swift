import Kernels
import Tensors
import TestSupport

/// A row-major matrix product in `Double`: op(a)·op(b), with a [m, k] and b [k, n] after the
/// transpositions.
func referenceProduct(
  _ a: [Double], _ b: [Double], m: Int, k: Int, n: Int, aTransposed: Bool = false,
  bTransposed: Bool = false
) -> [Double] {
  var c = [Double](repeating: 0, count: m * n)
  for i in 0..<m {
    for j in 0..<n {
      var sum = 0.0
      for l in 0..<k {
        sum += a[aTransposed ? l * m + i : i * k + l] * b[bTransposed ? j * k + l : l * n + j]
      }
      c[i * n + j] = sum
    }
  }
  return c
}

/// A number rounded to bf16, to nearest and ties to even, written independently of the kernels.
func roundedToBFloat16(_ value: Float) -> Float {
  let below = Float(bitPattern: value.bitPattern & 0xffff_0000)
  let above = Float(bitPattern: (value.bitPattern & 0xffff_0000) &+ 0x1_0000)
  let (down, up) = (abs(value - below), abs(above - value))
  if down != up { return down < up ? below : above }
  return (below.bitPattern >> 16) & 1 == 0 ? below : above
}

/// A weight in storage of its own, at an odd byte address unless told otherwise.
final class TestWeight {
  let matrix: WeightMatrix
  /// The stored numbers, in the order of the storage.
  let values: [Double]
  private let memory: UnsafeMutableRawPointer

  init(
    _ random: SeededRandom, input: Int, output: Int, type: ElementType = .float32,
    layout: WeightMatrix.Layout = .outputMajor, byteOffset: Int = 1, holdsBFloat16: Bool = false
  ) {
    let source = random.matrix(1, input * output)
    memory = .allocate(byteCount: input * output * 4 + 64, alignment: 64)
    let storage = memory + byteOffset
    var values: [Double] = []
    for (index, drawn) in source.view.elements.enumerated() {
      let value = holdsBFloat16 ? roundedToBFloat16(drawn) : drawn
      switch type {
      case .float32:
        storage.storeBytes(of: value, toByteOffset: 4 * index, as: Float.self)
        values.append(Double(value))
      case .float16:
        let half = Float16(value)
        storage.storeBytes(of: half, toByteOffset: 2 * index, as: Float16.self)
        values.append(Double(half))
      case .bfloat16:
        let rounded = roundedToBFloat16(value)
        storage.storeBytes(
          of: UInt16(rounded.bitPattern >> 16), toByteOffset: 2 * index, as: UInt16.self)
        values.append(Double(rounded))
      }
    }
    self.values = values
    matrix = WeightMatrix(
      storage: storage, elementType: type, inputSize: input, outputSize: output, layout: layout)
  }

  deinit { memory.deallocate() }
}
