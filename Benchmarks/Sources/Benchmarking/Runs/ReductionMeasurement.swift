import DataParallel
import Foundation
import JSON
import Tensors

/// One step's reduction, exact and plain, as the ranks of a job see it.
package struct ReductionMeasurement: Sendable {
  /// The rounding of the rank's micro-batch, of which job A gives each one, and the sum over the ranks.
  package let exactSeconds: Double
  /// `MPI_Allreduce` of the same gradients in f32; a plain trainer has summed its micro-batches in
  /// backward, at no cost of its own.
  package let plainSeconds: Double

  /// Measures on every rank of `communicator`, by turns, with a job's adapter; slowest rank,
  /// medians.
  ///
  /// - Parameters:
  ///   - job: whose adapter, LoRA's.
  ///   - repeats: how often each is measured.
  /// - Throws: where MPI fails.
  package init(communicator: Communicator, job: Job, repeats: Int) throws {
    let arena = ReductionMeasurement.adapterArena(job.shape, r: 16)
    let reducer = GradientReducer(arena: arena, communicator: communicator, microBatches: 1)
    let gradients = OwnedMatrix(
      1, arena.floatCount, seed: UInt64(communicator.rank + 1), deviation: 1e-3)
    var plain = [Float](repeating: 0, count: arena.floatCount)
    var (exactTimes, plainTimes): ([Double], [Double]) = ([], [])
    // The first is not counted: pages and connections are made then.
    for number in 0...repeats {
      arena.allGradients.copy(from: gradients.view)
      let exact = try ReductionMeasurement.slowest(communicator) {
        reducer.accumulate(arena)
        _ = try reducer.finish(into: arena, scale: 1)
      }
      plain.withUnsafeMutableBufferPointer { target in
        _ = target.update(
          fromContentsOf: UnsafeBufferPointer(
            start: gradients.view.base, count: target.count))
      }
      let simple = try ReductionMeasurement.slowest(communicator) {
        try communicator.allReduce(&plain, .sum)
      }
      if number > 0 {
        exactTimes.append(exact)
        plainTimes.append(simple)
      }
    }
    exactSeconds = Sample(exactTimes).median
    plainSeconds = Sample(plainTimes).median
  }

  /// Reads what ``json`` wrote.
  init(parsing text: String) throws {
    let value = try JSONValue(parsing: Data(text.utf8))
    guard let exact = value["exact_seconds"]?.double, let plain = value["plain_seconds"]?.double
    else {
      throw BenchmarkError.unreadable(what: "the reduction's times", reason: text)
    }
    (exactSeconds, plainSeconds) = (exact, plain)
  }

  /// For the program that started the ranks.
  package var json: JSONValue {
    ["exact_seconds": .double(exactSeconds), "plain_seconds": .double(plainSeconds)]
  }

  /// The tensors of LoRA on all linear layers, last block first.
  private static func adapterArena(_ shape: ModelShape, r: Int) -> ParameterArena {
    var plan = ParameterArenaPlan()
    for block in (0..<shape.blockCount).reversed() {
      for projection in shape.projections {
        let name = "layers.\(block).\(projection.name)"
        _ = plan.declare("\(name).lora_A", shape: [r, projection.inputSize])
        _ = plan.declare("\(name).lora_B", shape: [projection.outputSize, r])
      }
    }
    return ParameterArena(plan)
  }

  /// Seconds of the slowest rank, from when all are there.
  private static func slowest(
    _ communicator: Communicator, _ body: () throws -> Void
  ) throws -> Double {
    try communicator.barrier()
    let seconds = try Stopwatch.seconds(body)
    return try communicator.allReduce(seconds, .maximum)
  }
}
