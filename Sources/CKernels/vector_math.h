// Functions of a vector beyond the exponential of vector.h, and loads that end with the row.

// Only AVX-512 has it.
#ifndef CK_HAS_SCALEF
#define CK_HAS_SCALEF 0
#endif

// `lanes` is how many of the columns from c on exist, at most CK_WIDTH.
#define CK_FOR_COLUMNS(c, lanes, columns)                                                      \
  for (ptrdiff_t c = 0, lanes = (columns) < CK_WIDTH ? (columns) : CK_WIDTH; c < (columns);    \
       c += CK_WIDTH, lanes = (columns) - c < CK_WIDTH ? (columns) - c : CK_WIDTH)

CK_INLINE vf load_lanes(const float *p, ptrdiff_t lanes) {
  return lanes == CK_WIDTH ? vf_load(p) : vf_load_part(p, lanes);
}
CK_INLINE void store_lanes(float *p, vf v, ptrdiff_t lanes) {
  if (lanes == CK_WIDTH) {
    vf_store(p, v);
  } else {
    vf_store_part(p, v, lanes);
  }
}

// Its first `lanes` lanes; the others are zero.
CK_INLINE vf first_lanes(vf v, ptrdiff_t lanes) {
  float part[CK_WIDTH];
  vf_store(part, v);
  return vf_load_part(part, lanes);
}

// The lower halves of two vectors, lane by lane in turn; the upper halves.
#if CK_WIDTH == 4
#define CK_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define CK_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#elif CK_WIDTH == 8
#define CK_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define CK_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif CK_WIDTH == 16
#define CK_LOW(a, b) \
  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define CK_HIGH(a, b) \
  __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#endif

CK_INLINE vf vf_copysign(vf magnitude, vf sign) {
  return vi_as_float(
      (vf_bits(magnitude) & vi_set(0x7fffffff)) | (vf_bits(sign) & vi_set(INT32_MIN)));
}

// exp for arguments that are not positive, within 2 units in the last place; 0 below -87.3, where
// results would be subnormal. Half the instructions of vf_exp, for softmax. NaN stays NaN.
CK_INLINE vf vf_exp_negative(vf x) {
  vi vanishes = vf_less(x, vf_set(-87.3f));
  vf shifted = vf_fma(x, vf_set(1.44269504088896341f), vf_set(12582912.0f));
  vf n = shifted - vf_set(12582912.0f);
  vf r = vf_fma(n, vf_set(-0.693359375f), x);
  r = vf_fma(n, vf_set(2.12194440e-4f), r);
  vf p = vf_set(1.9875691500e-4f);
  p = vf_fma(p, r, vf_set(1.3981999507e-3f));
  p = vf_fma(p, r, vf_set(8.3334519073e-3f));
  p = vf_fma(p, r, vf_set(4.1665795894e-2f));
  p = vf_fma(p, r, vf_set(1.6666665459e-1f));
  p = vf_fma(p, r, vf_set(5.0000001201e-1f));
  p = vf_fma(p, r * r, r) + vf_set(1.0f);
  // The low bits of `shifted` hold n; what lies above them leaves on the left.
  vf power = vu_as_float((vu)(vf_bits(shifted) + vi_set(127)) << 23);
  return vf_select(vanishes, vf_set(0), p * power);
}

// exp for the weights of a softmax, whose arguments are at most a little above 0. Its error is
// about 2 units in the last place, and 1 more for each 1 or 2 that x lies below 0, from rounding
// x log2 e: the less a weight counts, the less exact it is. Where the result would be subnormal it
// is 0. NaN stays NaN.
//
// x log2 e = n + r with |r| <= 1/2; 2^r by a polynomial that is 1 at 0 (minimax, within 1.1e-7).
// With CK_HAS_SCALEF the set has an instruction each for rounding to n and multiplying by 2^n; the
// results are the same.
CK_INLINE vf vf_exp_weight(vf x) {
  vf t = x * vf_set(1.44269504088896341f);
#if CK_HAS_SCALEF
  vf n = (vf)_mm512_roundscale_ps((__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  vf shifted = t + vf_set(12582912.0f);
  vf n = shifted - vf_set(12582912.0f);
#endif
  vf r = t - n;
  vf p = vf_fma(vf_set(0x1.5bba14p-10f), r, vf_set(0x1.3cea88p-7f));
  p = vf_fma(p, r, vf_set(0x1.c6b752p-5f));
  p = vf_fma(p, r, vf_set(0x1.ebf9bcp-3f));
  p = vf_fma(p, r, vf_set(0x1.62e42ap-1f));
  p = vf_fma(p, r, vf_set(1.0f));
#if CK_HAS_SCALEF
  // All that is not below -125.5, NaN among it.
  __mmask16 counts = _mm512_cmp_ps_mask((__m512)t, _mm512_set1_ps(-125.5f), _CMP_NLT_UQ);
  return (vf)_mm512_maskz_scalef_ps(counts, (__m512)p, (__m512)n);
#else
  // What lies above n's bits leaves on the left.
  vf power = vu_as_float((vu)(vf_bits(shifted) + vi_set(127)) << 23);
  return vf_select(vf_less(t, vf_set(-125.5f)), vf_set(0), p * power);
#endif
}

// Logistic function 1 / (1 + exp(-x)).
CK_INLINE vf vf_sigmoid(vf x) { return vf_set(1) / (vf_set(1) + vf_exp(-x)); }

// Hyperbolic tangent, within 2 units in the last place: Cephes' polynomial near 0, elsewhere
// 1 - 2 / (exp(2|x|) + 1).
CK_INLINE vf vf_tanh(vf x) {
  vf magnitude = vf_abs(x);
  vf z = x * x;
  vf p = vf_set(-5.70498872745e-3f);
  p = vf_fma(p, z, vf_set(2.06390887954e-2f));
  p = vf_fma(p, z, vf_set(-5.37397155531e-2f));
  p = vf_fma(p, z, vf_set(1.33314422036e-1f));
  p = vf_fma(p, z, vf_set(-3.33332819422e-1f));
  vf near = vf_fma(p * z, x, x);
  vf far = vf_set(1) - vf_set(2) / (vf_exp(magnitude + magnitude) + vf_set(1));
  return vf_select(vf_less(magnitude, vf_set(0.625f)), near, vf_copysign(far, x));
}

// cap tanh(x / cap): x where it is small, never beyond +-cap. Its slope, from the result.
CK_INLINE vf soft_cap(vf x, float cap) { return vf_set(cap) * vf_tanh(x / vf_set(cap)); }
CK_INLINE vf soft_cap_slope(vf y, float cap) {
  vf ratio = y / vf_set(cap);
  return vf_fma(-ratio, ratio, vf_set(1));
}

// Error function, within 2 units in the last place. Two polynomials, fitted by N. Juffa
// (https://stackoverflow.com/a/35148199); beyond 0.9277 it is 1 - exp(-q(|x|)).
CK_INLINE vf vf_erf(vf x) {
  vf t = vf_abs(x);
  vf s = x * x;
  vf far = vf_fma(vf_set(-1.72853470e-5f), t, vf_set(3.83197126e-4f));
  vf u = vf_fma(vf_set(-3.88396438e-3f), t, vf_set(2.42546219e-2f));
  far = vf_fma(far, s, u);
  far = vf_fma(far, t, vf_set(-1.06777877e-1f));
  far = vf_fma(far, t, vf_set(-6.34846687e-1f));
  far = vf_fma(far, t, vf_set(-1.28717512e-1f));
  far = vf_fma(far, t, -t);
  // The fit ends near 9.2, long after the result is 1.
  far = vf_select(vf_less(vf_set(4.0f), t), vf_set(-20.0f), far);
  far = vf_set(1) - vf_exp_negative(far);
  vf near = vf_set(-5.96761703e-4f);
  near = vf_fma(near, s, vf_set(4.99119423e-3f));
  near = vf_fma(near, s, vf_set(-2.67681349e-2f));
  near = vf_fma(near, s, vf_set(1.12819925e-1f));
  near = vf_fma(near, s, vf_set(-3.76125336e-1f));
  near = vf_fma(near, s, vf_set(1.28379166e-1f));
  near = vf_fma(near, x, x);
  vf result = vf_select(vf_less(vf_set(0.927734375f), t), vf_copysign(far, x), near);
  // A NaN takes the near branch and stays one.
  return result;
}
