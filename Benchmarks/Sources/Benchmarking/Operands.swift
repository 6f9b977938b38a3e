import Tensors

extension OwnedMatrix {
  /// Random numbers of mean 0.
  convenience init(_ rows: Int, _ columns: Int, seed: UInt64, deviation: Float = 1) {
    self.init(rows: rows, columns: columns)
    FastRandom(seed: seed).fill(view, deviation: deviation)
  }

  /// Rounds every element to a number that bf16 holds, so that rounding it again is exact.
  func roundToBFloat16() { view.roundToBFloat16() }

  /// The elements row by row.
  var doubles: [Double] { view.doubles }
}

extension MatrixView {
  /// Rounds every element to a number that bf16 holds, so that rounding it again is exact.
  func roundToBFloat16() {
    for row in 0..<rows {
      for column in 0..<columns { self[row, column] = rounded(self[row, column]) }
    }
  }

  /// The elements row by row.
  var doubles: [Double] { elements.map(Double.init) }
}

/// Activations as the program keeps them, with gaps between their rows.
struct OperandMatrix {
  private let memory: OwnedMatrix
  /// The matrix without the gaps.
  let view: MatrixView

  /// Zeros.
  init(rows: Int, columns: Int) {
    memory = OwnedMatrix(rows: rows, columns: MatrixView.operandStride(columns: columns))
    view = memory.view.columns(0..<columns)
  }

  /// Random numbers of mean 0.
  init(_ rows: Int, _ columns: Int, seed: UInt64) {
    self.init(rows: rows, columns: columns)
    FastRandom(seed: seed).fill(view)
  }
}

/// A frozen weight as it lies in a file: f32 or bf16, its outputs' rows end to end.
final class StoredWeight {
  /// The weight as kernels take it.
  let matrix: WeightMatrix
  /// What is stored, widened.
  var doubles: [Double] {
    if matrix.format.isQuantized {
      let numbers = OwnedMatrix(rows: matrix.outputSize, columns: matrix.inputSize)
      matrix.copyFloats(into: numbers.view)
      return numbers.doubles
    }
    let count = matrix.inputSize * matrix.outputSize
    if matrix.elementType == .float32 {
      let floats = memory.assumingMemoryBound(to: Float.self)
      return (0..<count).map { Double(floats[$0]) }
    }
    let words = memory.assumingMemoryBound(to: UInt16.self)
    return (0..<count).map { Double(Float(bitPattern: UInt32(words[$0]) << 16)) }
  }
  private let memory: UnsafeMutableRawPointer

  /// Random weights of the size that trained ones have.
  init(inputSize: Int, outputSize: Int, type: ElementType, seed: UInt64) {
    let count = inputSize * outputSize
    memory = .allocate(byteCount: max(count, 1) * type.byteCount, alignment: 64)
    let random = FastRandom(seed: seed)
    let row = OwnedMatrix(rows: 1, columns: inputSize)
    for output in 0..<outputSize {
      random.fill(row.view, from: output * inputSize, deviation: 0.02)
      for input in 0..<inputSize {
        let index = output * inputSize + input
        if type == .float32 {
          memory.storeBytes(of: row.view.base[input], toByteOffset: 4 * index, as: Float.self)
        } else {
          memory.storeBytes(
            of: bfloat16Bits(row.view.base[input]), toByteOffset: 2 * index, as: UInt16.self)
        }
      }
    }
    matrix = WeightMatrix(
      storage: UnsafeRawPointer(memory), elementType: type, inputSize: inputSize,
      outputSize: outputSize)
  }

  /// Random blocks with scales of the size that trained weights have.
  init(inputSize: Int, outputSize: Int, format: BlockFormat, seed: UInt64) {
    let count = format.byteCount(elements: inputSize * outputSize)
    memory = .allocate(byteCount: max(count, 1), alignment: 64)
    let random = FastRandom(seed: seed)
    let row = OwnedMatrix(rows: 1, columns: 4096)
    for start in stride(from: 0, to: count, by: 4096) {
      random.fill(row.view, from: start, deviation: 1)
      for index in start..<min(start + 4096, count) {
        // The low bits of a random number's fraction.
        memory.storeBytes(
          of: UInt8(truncatingIfNeeded: row.view.base[index - start].bitPattern >> 4),
          toByteOffset: index, as: UInt8.self)
      }
    }
    for block in 0..<(count / format.bytes) {
      for offset in format.scales {
        // About a thousandth.
        memory.storeBytes(
          of: UInt16(0x1400), toByteOffset: block * format.bytes + offset, as: UInt16.self)
      }
    }
    matrix = WeightMatrix(
      storage: UnsafeRawPointer(memory), format: .blocks(format), inputSize: inputSize,
      outputSize: outputSize)
  }

  deinit { memory.deallocate() }
}

/// The nearest bf16 number's bits, ties to even; for finite numbers.
func bfloat16Bits(_ value: Float) -> UInt16 {
  let bits = value.bitPattern
  return UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
}

/// The nearest number that bf16 holds.
func rounded(_ value: Float) -> Float { Float(bitPattern: UInt32(bfloat16Bits(value)) << 16) }
