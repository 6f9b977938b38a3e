import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

private func reference(_ kind: ActivationFunction, _ x: Double) -> Double {
  switch kind {
  case .silu: x / (1 + exp(-x))
  case .gelu: x * 0.5 * erfc(-x / 2.0.squareRoot())
  case .geluTanh: 0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
  case .relu: max(x, 0)
  case .tanh: tanh(x)
  case .quickGELU: x / (1 + exp(-1.702 * x))
  case .reluSquared: max(x, 0) * max(x, 0)
  }
}

private func slope(_ kind: ActivationFunction, _ x: Double) -> Double {
  kind == .relu
    ? (x > 0 ? 1 : 0) : (reference(kind, x + 1e-5) - reference(kind, x - 1e-5)) / 2e-5
}

/// Numbers from the middle to where functions are flat, both signs, and 0.
private func inputs(_ rows: Int, _ columns: Int) -> TestMatrix {
  let x = SeededRandom(5).matrix(rows, columns, rowStride: columns + 1, standardDeviation: 3)
  for (i, value) in [0, 1e-6, -0.3, 0.62, 0.63, -8, 15, -40, 90, -100].enumerated() {
    x.view[i % rows, i / rows] = Float(value)
  }
  return x
}

@Suite("Activations")
struct ActivationTests {
  @Test(
    "Values and slopes match the reference", arguments: ActivationFunction.allCases,
    InstructionSet.available)
  func matches(kind: ActivationFunction, instructionSet: InstructionSet) throws {
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    let (rows, columns) = (70, 301)
    let x = inputs(rows, columns)
    let dy = SeededRandom(6).matrix(rows, columns, rowStride: columns + 2)
    let y = TestMatrix(rows, columns, rowStride: columns + 3)
    let dx = TestMatrix(rows, columns)
    Activation.forward(kind, x.view, into: y.view, on: compute)
    Activation.backward(kind, dy.view, input: .exact(x.view), into: dx.view, on: compute)
    let results = y.doubles
    // Φ and tanh are within a few units in the last place of 1.
    let allowed = 16 * Tolerance.unitRoundoff
    for (i, value) in x.doubles.enumerated()
    where abs(results[i] - reference(kind, value))
      > allowed * max(1, abs(value), abs(reference(kind, value)))
    {
      Issue.record("\(kind)(\(value)) is \(results[i])")
    }
    let gradients = dx.doubles
    for (i, (value, d)) in zip(x.doubles, dy.doubles).enumerated() {
      let expected = d * slope(kind, value)
      if abs(gradients[i] - expected) > 4e-6 * max(1, abs(d), abs(expected)) {
        Issue.record("the slope of \(kind) at \(value) is \(gradients[i] / d)")
      }
    }
    // In place.
    let again = TestMatrix(copying: x.view)
    Activation.forward(kind, again.view, into: again.view, on: compute)
    #expect(again.bits == y.bits)
    Activation.backward(kind, dy.view, input: .exact(x.view), into: dy.view, on: compute)
    #expect(dy.bits == dx.bits)
    #expect(dy.gapsAreUntouched && y.gapsAreUntouched)
  }

  @Test("A gated unit is the product, forward and backward", arguments: InstructionSet.available)
  func gated(instructionSet: InstructionSet) throws {
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    for kind in ActivationFunction.allCases {
      let (rows, columns) = (30, 33)
      let gate = inputs(rows, columns)
      let random = SeededRandom(8)
      let (up, dy) = (random.matrix(rows, columns), random.matrix(rows, columns))
      let y = TestMatrix(rows, columns)
      let (dGate, dUp) = (TestMatrix(rows, columns), TestMatrix(rows, columns))
      SwiGLU.forward(gate.view, up: up.view, into: y.view, kind: kind, on: compute)
      SwiGLU.backward(
        dy.view, .exact(gate: gate.view, up: up.view), into: dGate.view, dUp.view, kind: kind,
        on: compute)
      let (g, u, d) = (gate.doubles, up.doubles, dy.doubles)
      func expect(_ matrix: TestMatrix, _ expected: (Int) -> Double, _ name: String) {
        for (i, result) in matrix.doubles.enumerated() {
          let size = max(1, abs(g[i])) * max(1, abs(u[i]), abs(d[i])) * max(1, abs(d[i]))
          if abs(result - expected(i)) > 4e-6 * size {
            Issue.record("\(name) of \(kind) at \(g[i]) is \(result), not \(expected(i))")
          }
        }
      }
      expect(y, { reference(kind, g[$0]) * u[$0] }, "y")
      expect(dGate, { d[$0] * u[$0] * slope(kind, g[$0]) }, "dGate")
      expect(dUp, { d[$0] * reference(kind, g[$0]) }, "dUp")
      // Gradients in the operands' places.
      SwiGLU.backward(
        dy.view, .exact(gate: gate.view, up: up.view), into: gate.view, up.view, kind: kind,
        on: compute)
      #expect(gate.bits == dGate.bits && up.bits == dUp.bits)
    }
  }

  /// Memory for numbers in bf16 with a gap behind each row, and a view of it.
  private func rounded(_ rows: Int, _ columns: Int) -> (owner: TestMatrix, view: RoundedView) {
    let floats = RoundedView.floatColumns(columns)
    let owner = TestMatrix(rows, floats, rowStride: floats + 1)
    return (owner, RoundedView(owner.view, columns: columns))
  }

  /// Each element rounded to bf16 by another function than the kernels'.
  private func rounding(_ x: TestMatrix) -> TestMatrix {
    let result = TestMatrix(copying: x.view)
    for row in 0..<x.view.rows {
      for column in 0..<x.view.columns {
        result.view[row, column] = HalfPrecision.float(
          bfloat16: HalfPrecision.bfloat16(x.view[row, column]))
      }
    }
    return result
  }

  @Test(
    "Kept rounded, an activation is what it was and its gradient that of the rounded input",
    arguments: InstructionSet.available, [1, 33, 48])
  func kept(instructionSet: InstructionSet, columns: Int) throws {
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    let rows = 700  // several blocks of rows
    for kind in ActivationFunction.allCases {
      let x = inputs(rows, columns)
      let dy = SeededRandom(9).matrix(rows, columns)
      let near = rounding(x)
      let (owner, kept) = rounded(rows, columns)
      let (y, expected) = (TestMatrix(rows, columns), TestMatrix(rows, columns))
      Activation.forward(kind, x.view, into: expected.view, on: compute)
      Activation.forward(kind, x.view, into: y.view, keeping: .rounded(kept), on: compute)
      #expect(y.bits == expected.bits)
      for row in stride(from: 0, to: rows, by: 13) {
        for column in 0..<columns { #expect(kept[row, column] == near.view[row, column]) }
      }
      Activation.forward(kind, near.view, into: expected.view, on: compute)
      Activation.forward(kind, .rounded(kept), into: y.view, on: compute)
      #expect(y.bits == expected.bits)
      Activation.backward(kind, dy.view, input: .exact(near.view), into: expected.view, on: compute)
      Activation.backward(kind, dy.view, input: .rounded(kept), into: dy.view, on: compute)
      #expect(dy.bits == expected.bits)
      #expect(owner.gapsAreUntouched)
      // In place, as where the input is not kept.
      Activation.forward(kind, x.view, into: expected.view, on: compute)
      Activation.forward(kind, x.view, into: x.view, keeping: .rounded(kept), on: compute)
      #expect(x.bits == expected.bits)
    }
  }

  @Test(
    "Kept rounded, a gated unit is what it was and its gradients those of rounded operands",
    arguments: InstructionSet.available, [1, 33, 48])
  func gatedKept(instructionSet: InstructionSet, columns: Int) throws {
    let compute = try Compute(threads: 2, instructionSet: instructionSet)
    let rows = 700
    for kind in ActivationFunction.allCases {
      let gate = inputs(rows, columns)
      let random = SeededRandom(10)
      let (up, dy) = (random.matrix(rows, columns), random.matrix(rows, columns))
      let (nearGate, nearUp) = (rounding(gate), rounding(up))
      let (keptGate, keptUp) = (rounded(rows, columns), rounded(rows, columns))
      let kept = SwiGLU.Kept.rounded(gate: keptGate.view, up: keptUp.view)
      let (y, expected) = (TestMatrix(rows, columns), TestMatrix(rows, columns))
      SwiGLU.forward(gate.view, up: up.view, into: expected.view, kind: kind, on: compute)
      // The result in an operand's place, as blocks do.
      SwiGLU.forward(
        gate.view, up: up.view, into: up.view, keeping: kept, kind: kind, on: compute)
      #expect(up.bits == expected.bits)
      SwiGLU.forward(
        nearGate.view, up: nearUp.view, into: expected.view, kind: kind, on: compute)
      SwiGLU.forward(kept, into: y.view, kind: kind, on: compute)
      #expect(y.bits == expected.bits)
      let (dGate, dUp) = (TestMatrix(rows, columns), TestMatrix(rows, columns))
      SwiGLU.backward(
        dy.view, .exact(gate: nearGate.view, up: nearUp.view), into: dGate.view, dUp.view,
        kind: kind, on: compute)
      SwiGLU.backward(dy.view, kept, into: dy.view, y.view, kind: kind, on: compute)
      #expect(dy.bits == dGate.bits && y.bits == dUp.bits)
      #expect(keptGate.owner.gapsAreUntouched && keptUp.owner.gapsAreUntouched)
    }
  }

  @Test("A vector of any width gives the scalar reference's bits")
  func bits() throws {
    let x = inputs(40, 37)
    for kind in ActivationFunction.allCases {
      let results = try InstructionSet.available.map { name in
        let y = TestMatrix(40, 37)
        Activation.forward(
          kind, x.view, into: y.view, on: try Compute(threads: 1, instructionSet: name))
        return y.bits
      }
      #expect(results.allSatisfy { $0 == results[0] }, "\(kind)")
    }
  }

  @Test("What is not a number stays so", arguments: ActivationFunction.allCases)
  func notANumber(kind: ActivationFunction) {
    let x = TestMatrix(1, 20, filled: .nan)
    Activation.forward(kind, x.view, into: x.view, on: Compute(threads: 1))
    #expect(x.view.elements.filter(\.isNaN).count == 20)
  }
}
