import CKernels

/// Elementary functions in double precision whose bits are the same on every machine.
///
/// A C library's functions differ in their last bits between versions and between processors. What
/// reaches an adapter (random numbers, rotary angles, learning rates, bias corrections, gates) is
/// therefore computed by these. They use only operations that IEEE 754 defines to the last bit.
///
/// Errors are below 1 unit in the last place, of ``tanh(_:)`` below 4.
public enum PortableMath {
  /// eˣ.
  public static func exp(_ x: Double) -> Double { ck_real_exp(x) }

  /// The natural logarithm; −∞ at 0, NaN below.
  public static func log(_ x: Double) -> Double { ck_real_log(x) }

  /// The sine of an angle in radians, at most 2³⁰ in magnitude.
  public static func sin(_ x: Double) -> Double {
    requireAngle(x)
    return ck_real_sin(x)
  }

  /// The cosine of an angle in radians, at most 2³⁰ in magnitude.
  public static func cos(_ x: Double) -> Double {
    requireAngle(x)
    return ck_real_cos(x)
  }

  /// xʸ for an x that is not negative; NaN for others.
  public static func pow(_ x: Double, _ y: Double) -> Double { ck_real_pow(x, y) }

  /// The hyperbolic tangent.
  public static func tanh(_ x: Double) -> Double { ck_real_tanh(x) }

  /// eˣ − 1, exact near 0.
  public static func expMinusOne(_ x: Double) -> Double { ck_real_expm1(x) }

  private static func requireAngle(_ x: Double) {
    precondition(!(x.magnitude > 0x1p30) || x.isInfinite, "an angle of \(x) radians")
  }
}
