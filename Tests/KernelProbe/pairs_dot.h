// Pairs of bf16 numbers in a unit of 32 bits, as Arm's BFDOT defines them, one number at a time on any
// processor: subnormal operands and results of its products and sums are 0, everything else is rounded
// to odd; numbers become bf16 by rounding to nearest, ties to even. Source: Arm Architecture
// Reference Manual for A-profile, functions BFDotAdd, BFMul, BFAdd and BFRound, where FPCR.EBF is 0.

#define CK_PAIR_BLOCKS 0

// `x`, exact or already rounded to odd, as a float rounded to odd.
static float float_to_odd(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return NAN;
  double magnitude = fabs(x);
  if (magnitude < 0x1p-126) return (float)copysign(0.0, x);
  if (magnitude >= 0x1p128) return (float)copysign(INFINITY, x);
  const uint64_t rest = (1ull << 29) - 1;
  if ((bits & rest) != 0) bits = (bits & ~rest) | 1ull << 29;
  memcpy(&x, &bits, sizeof x);
  return (float)x;
}

static double flushed(float x) { return fabsf(x) < 0x1p-126f ? copysign(0.0, (double)x) : (double)x; }

static float add_to_odd(float x, float y) {
  double a = flushed(x), b = flushed(y), sum = a + b;
  // What the sum leaves, exactly.
  double taken = sum - a, rest = (a - (sum - taken)) + (b - taken);
  if (rest != 0 && isfinite(sum)) {
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if ((rest < 0) != (sum < 0)) bits--;
    bits |= 1;
    memcpy(&sum, &bits, sizeof sum);
  }
  return float_to_odd(sum);
}

static float number_of(vu unit, int high) {
  uint32_t bits = high ? unit & 0xffff0000u : unit << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float product_to_odd(vu a, vu b, int high) {
  return float_to_odd(flushed(number_of(a, high)) * flushed(number_of(b, high)));
}

static vf pair_dot(vf sum, vu a, vu b) {
  return add_to_odd(sum, add_to_odd(product_to_odd(a, b, 0), product_to_odd(a, b, 1)));
}

// `x` as bf16 in the upper half. A NaN becomes quiet, since its low bits go.
CK_INLINE uint32_t upper_half(vf x) {
  return (vf_units(vf_round_bf16(x)) | (x != x ? 0x400000u : 0)) & 0xffff0000u;
}

CK_INLINE vu pairs_of_row(vf low, vf high) { return upper_half(low) >> 16 | upper_half(high); }

CK_INLINE vu pairs_of_columns(vf row, vf next) { return pairs_of_row(row, next); }

CK_INLINE void pairs_in_turn(vu row, vu next, vu *first, vu *second) {
  *first = (row & 0xffff) | next << 16;
  *second = row >> 16 | (next & 0xffff0000u);
}
