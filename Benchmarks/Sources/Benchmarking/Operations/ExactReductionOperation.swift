import DataParallel
import Kernels
import Tensors

/// The order-free sum of some micro-batches' gradients, in a world of one: what every rank does
/// besides what MPI does.
final class ExactReductionOperation: Operation {
  let name = "exact reduction"
  let bound: Bound
  private let arena: ParameterArena
  private let reducer: GradientReducer
  private let microBatches: [OwnedMatrix]
  private let slot: ParameterSlot

  init(count: Int, microBatches: Int) {
    var plan = ParameterArenaPlan()
    slot = plan.declare("gradient", shape: [1, count])
    arena = ParameterArena(plan)
    reducer = GradientReducer(arena: arena, communicator: Communicator(alone: ()))
    self.microBatches = (0..<microBatches).map {
      OwnedMatrix(1, count, seed: UInt64(91 + $0), deviation: 1e-3)
    }
    // Each micro-batch: a copy into the arena, its largest magnitude, and the slices that are added
    // to four planes of integers. In the end: planes to sums, sums to floats.
    bound = .memory(
      bytes: Double(count * (microBatches * (8 + 4 + 4 + 32) + 16 + 8 + 8 + 4)),
      workingSet: Double(count * (4 * microBatches + 4 + 16 + 8)))
  }

  var size: String { "\(slot.count) gradients, \(microBatches.count) micro-batches" }

  func run(on compute: Compute) {
    for microBatch in microBatches {
      arena.gradients(slot).copy(from: microBatch.view)
      reducer.accumulate(arena)
    }
    do { _ = try reducer.finish(into: arena, scale: 0.5) } catch {
      // A world of one sends nothing, and two micro-batches are not too many.
      preconditionFailure("\(error)")
    }
  }

  func results() -> [CheckedResult] {
    var sum = [Double](repeating: 0, count: slot.count)
    for microBatch in microBatches {
      for (index, value) in microBatch.view.elements.enumerated() {
        sum[index] += Double(value) * 0.5
      }
    }
    var result = CheckedResult("sum", arena.gradients(slot), sum)
    // Nothing is lost but in the last rounding to f32, which is at most 2⁻²⁴ of each sum.
    result.tolerance = 0x1p-24
    return [result]
  }
}
