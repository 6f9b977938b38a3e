import DataParallel
import Kernels
import Model

/// Opens a base on every rank, and settles with which arithmetic.
public enum BaseModel {
  /// Reads a model directory on all ranks together.
  ///
  /// The ranks of a node share the search for damaged weights. `auto` becomes bf16 where the base is
  /// stored so and every rank multiplies bf16 natively. In bf16 all must do so by one definition.
  ///
  /// - Parameter compute: who will compute with it.
  /// - Throws: `MPIError.rankFailed` on all ranks where any cannot read it.
  public static func open(
    _ directory: String, precision: PrecisionChoice, for compute: Compute,
    communicator: Communicator
  ) throws -> Decoder {
    let decoder = try read(directory, precision, compute, communicator)
    try communicator.requireOneBFloat16(decoder, on: compute)
    return decoder
  }

  private static func read(
    _ directory: String, _ precision: PrecisionChoice, _ compute: Compute,
    _ communicator: Communicator
  ) throws -> Decoder {
    let decoder = try communicator.together {
      try Decoder(
        directory: directory, arithmetic: precision == .bfloat16 ? .bfloat16 : .float32,
        finiteCheck: (part: communicator.localRank, of: communicator.localSize))
    }
    guard precision == .auto else { return decoder }
    let isStored = decoder.parameters.contains {
      $0.shape.count == 2 && $0.weight.elementType == .bfloat16
    }
    let wanted: Int32 = isStored && compute.hasNativeBFloat16 ? 1 : 0
    guard try communicator.allReduce(wanted, .minimum) == 1 else { return decoder }
    // Files are mapped, so reading them again costs nothing but the headers.
    return try communicator.together {
      try Decoder(directory: directory, arithmetic: .bfloat16, finiteCheck: (part: 0, of: 0))
    }
  }
}

/// The ranks of a node, as the model knows them.
extension Communicator: NodeMembers {}

extension Decoder {
  /// The arithmetic as `--precision` names it.
  public var precisionName: String {
    (arithmetic == .bfloat16 ? PrecisionChoice.bfloat16 : .float32).rawValue
  }
}
