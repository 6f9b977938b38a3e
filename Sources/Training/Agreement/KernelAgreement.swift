import DataParallel
import Diagnostics
import Kernels
import Model

/// Ranks that multiply bf16 numbers by different definitions.
public struct UnlikeBFloat16Products: ClassifiedError {
  /// How each rank multiplies them, rank 0 first.
  public let definitions: [String]

  package init(definitions: [String]) { self.definitions = definitions }

  /// The job's processors do not fit its settings.
  public var errorClass: ErrorClass { .usage }

  /// Who does what, and the ways out.
  public var description: String {
    "With --precision bf16 all ranks must multiply bf16 numbers by the same definition, and they "
      + "have several: \(Communicator.ranks(by: definitions)). Give --precision f32, whose results "
      + "no processor changes, or --instruction-set avx2 to emulate bf16 everywhere (on Arm "
      + "processors with BF16 scalar, which is slow)."
  }
}

extension Communicator {
  /// Throws on all ranks where bf16 products differ between them; called by all.
  ///
  /// Sums of f32 have one order on every instruction set. bf16 instructions have their own, and
  /// every kind of them another, so that a job stays with one.
  public func requireOneBFloat16(_ decoder: Decoder, on compute: Compute) throws {
    guard decoder.arithmetic == .bfloat16 else { return }
    let definitions = try allGather(compute.bfloat16Definition)
    if Set(definitions).count > 1 {
      try together { throw UnlikeBFloat16Products(definitions: definitions) }
    }
  }

  /// The ranks that share a value: "avx2 on ranks 0, 2; scalar on rank 1".
  static func ranks(by values: [String]) -> String {
    var order: [String] = []
    for value in values where !order.contains(value) { order.append(value) }
    return order.map { value in
      let ranks = values.indices.filter { values[$0] == value }
      let list = ranks.prefix(8).map(String.init).joined(separator: ", ")
      let more = ranks.count > 8 ? " and \(ranks.count - 8) more" : ""
      return "\(value) on rank\(ranks.count == 1 ? "" : "s") \(list)\(more)"
    }.joined(separator: "; ")
  }
}
