import Kernels

/// What the measurements are to reach, at least.
///
/// Two cores, medians; ratios to the peer or to a bound measured in the same run.
enum Aims {
  /// Share of the plain products' speed on the job's own shapes.
  static func usefulShare(_ task: Task) -> Double? {
    guard task.method == "lora" else { return nil }
    return switch (task.job.name, task.precision) {
    case ("A", .f32): 0.75
    case ("A", .bf16): 0.65
    case ("B", .f32): 0.85
    case ("B", .bf16): 0.8
    default: nil
    }
  }

  /// Tokens a second, as a multiple of the peer's.
  ///
  /// Where the processor has AVX2 alone, the peer's products do some 55 % of what registers do in f32,
  /// which leaves less to gain than with wider vectors; in bf16 the peer is many times slower than in
  /// f32.
  static func speedRatio(_ task: Task, on set: InstructionSet) -> Double? {
    guard task.method == "lora" else { return nil }
    if set == .avx2 {
      return switch (task.job.name, task.precision) {
      case ("A", .f32), ("B", .f32): 1.5
      case ("C", .f32): 3
      default: nil
      }
    }
    return switch (task.job.name, task.precision) {
    case ("A", .f32): 2
    case ("A", .bf16): 2.5
    case ("B", .f32): 2.5
    case ("B", .bf16): 1.8
    case ("C", _): 4
    case (_, .f32) where task.job.isFamily: 2
    default: nil
    }
  }

  /// Peak memory of a rank, as a share of the peer's.
  static func memoryRatio(_ task: Task) -> Double? {
    guard task.method == "lora" else { return nil }
    return switch task.job.name {
    case "A": 0.2
    case "B": 0.5
    default: nil
    }
  }

  /// Two ranks of one thread against one.
  static let twoRanks = 1.9
  /// What the exact reduction may cost beyond a plain one, as a share of a step.
  static let reductionShare = 0.02
  /// Seconds from the start to the first step of job B.
  static let firstStepSeconds = 3.0
}
