import CKernels
import Diagnostics

/// An instruction set that kernels are compiled for.
///
/// In f32 all give the same bits; they differ in speed.
public enum InstructionSet: String, Sendable, CaseIterable {
  /// AVX-512 (F, BW, DQ, VL): Intel servers since Skylake-SP, AMD since Zen 4.
  case avx512
  /// AVX2 with FMA and F16C: Intel since Haswell, AMD since Zen.
  case avx2
  /// NEON: every 64-bit Arm processor.
  case neon
  /// One number at a time, on any processor.
  case scalar

  /// Those that this processor has, the best one first.
  public static let available = allCases.filter { ck_kernels_named($0.rawValue) != nil }

  /// The one that is taken where none is asked for.
  public static var best: InstructionSet { available[0] }
}

/// An instruction set was asked for that this processor does not have.
public struct UnavailableInstructionSet: ClassifiedError {
  /// The one that was asked for.
  public let asked: InstructionSet

  /// The command line is wrong.
  public var errorClass: ErrorClass { .usage }

  /// What was asked for, and what there is.
  public var description: String {
    let names = InstructionSet.available.map(\.rawValue).joined(separator: ", ")
    return "This processor has no \(asked.rawValue) instructions: it has \(names). "
      + "Give --instruction-set one of those, or auto for the best of them."
  }
}
