// A vector of CK_WIDTH floats and what kernels do with it, written once for every instruction set:
// Clang lowers its vector types to the set that the including file enables. With CK_WIDTH 1 a
// vector is a plain float and the same kernels are the scalar reference.
//
// Every operation rounds as IEEE 754 says, `vf_fma` is always fused and nothing else ever is, so
// that element-wise kernels give the same bits in every width. Sums over a row go through the same
// lanes and the same tree in every width (`CK_FOR_SUMS`). No kernel calls a function of the C
// library whose last bits are the library's choice.
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Clang would else fuse a * b + c wherever the set has the instruction, and only there.
#pragma STDC FP_CONTRACT OFF

#define CK_INLINE static inline __attribute__((always_inline, unused))

#if CK_WIDTH == 1

typedef float vf;       // floats
typedef int32_t vi;     // 32-bit integers; also masks, all bits set where true
typedef uint32_t vu;
typedef uint16_t vu16;

CK_INLINE vf vf_set(float x) { return x; }
CK_INLINE vi vi_set(int32_t x) { return x; }
CK_INLINE vf vf_fma(vf a, vf b, vf c) { return __builtin_fmaf(a, b, c); }
CK_INLINE vf vf_sqrt(vf x) { return sqrtf(x); }
CK_INLINE vf vf_abs(vf x) { return fabsf(x); }
CK_INLINE vi vf_less(vf a, vf b) { return a < b ? -1 : 0; }
CK_INLINE vf vf_select(vi mask, vf a, vf b) { return mask ? a : b; }
CK_INLINE vf vi_to_float(vi x) { return (float)x; }
CK_INLINE vu vu16_widen(vu16 x) { return x; }
CK_INLINE float vf_lane(vf v, int lane) { (void)lane; return v; }

// IEEE half to single by bits: the reference needs no conversion instruction.
CK_INLINE vf vf_from_half(vu16 half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1f, fraction = half & 0x3ff, bits;
  float result;
  if (exponent == 31) {
    // A signalling NaN becomes quiet, as in hardware.
    bits = sign | 0x7f800000 | (fraction << 13) | (fraction ? 0x00400000 : 0);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23) | (fraction << 13);
  } else {
    float magnitude = (float)fraction * 0x1p-24f;
    memcpy(&bits, &magnitude, sizeof bits);
    bits |= sign;
  }
  memcpy(&result, &bits, sizeof result);
  return result;
}

#else

typedef float vf __attribute__((ext_vector_type(CK_WIDTH)));
typedef int32_t vi __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint32_t vu __attribute__((ext_vector_type(CK_WIDTH)));
typedef uint16_t vu16 __attribute__((ext_vector_type(CK_WIDTH)));
typedef _Float16 vh __attribute__((ext_vector_type(CK_WIDTH)));

CK_INLINE vf vf_set(float x) { return (vf)(x); }
CK_INLINE vi vi_set(int32_t x) { return (vi)(x); }
CK_INLINE vf vf_fma(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
CK_INLINE vf vf_sqrt(vf x) { return __builtin_elementwise_sqrt(x); }
CK_INLINE vf vf_abs(vf x) { return __builtin_elementwise_abs(x); }
CK_INLINE vi vf_less(vf a, vf b) { return a < b; }
CK_INLINE vf vf_select(vi mask, vf a, vf b) { return mask ? a : b; }
CK_INLINE vf vi_to_float(vi x) { return __builtin_convertvector(x, vf); }
CK_INLINE vu vu16_widen(vu16 x) { return __builtin_convertvector(x, vu); }
CK_INLINE float vf_lane(vf v, int lane) { return v[lane]; }

CK_INLINE vf vf_from_half(vu16 half) {
  vh h;
  memcpy(&h, &half, sizeof h);
  return __builtin_convertvector(h, vf);
}

#endif

// Loads and stores from and to any byte address.
CK_INLINE vf vf_load(const void *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
CK_INLINE void vf_store(void *p, vf v) { memcpy(p, &v, sizeof v); }
CK_INLINE vu16 vu16_load(const void *p) {
  vu16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

// The first `count` (< CK_WIDTH) lanes; the others are zero, or not written.
CK_INLINE vf vf_load_part(const void *p, int64_t count) {
  vf v = vf_set(0);
  memcpy(&v, p, (size_t)count * 4);
  return v;
}
CK_INLINE void vf_store_part(void *p, vf v, int64_t count) { memcpy(p, &v, (size_t)count * 4); }
CK_INLINE vu16 vu16_load_part(const void *p, int64_t count) {
  vu16 v = (vu16)(0);
  memcpy(&v, p, (size_t)count * 2);
  return v;
}

CK_INLINE vi vf_bits(vf x) {
  vi i;
  memcpy(&i, &x, sizeof i);
  return i;
}
CK_INLINE vf vi_as_float(vi x) {
  vf f;
  memcpy(&f, &x, sizeof f);
  return f;
}
CK_INLINE vu vi_as_unsigned(vi x) {
  vu u;
  memcpy(&u, &x, sizeof u);
  return u;
}
CK_INLINE vu vf_units(vf x) {
  vu u;
  memcpy(&u, &x, sizeof u);
  return u;
}
CK_INLINE vf vu_as_float(vu x) {
  vf f;
  memcpy(&f, &x, sizeof f);
  return f;
}

// Where either is NaN the result is b.
CK_INLINE vf vf_max(vf a, vf b) { return vf_select(vf_less(b, a), a, b); }
CK_INLINE vf vf_min(vf a, vf b) { return vf_select(vf_less(a, b), a, b); }

CK_INLINE vf vf_from_bf16(vu16 x) { return vu_as_float(vu16_widen(x) << 16); }

// Rounded to bf16, to nearest and ties to even, and back. A NaN stays a NaN.
CK_INLINE vf vf_round_bf16(vf x) {
  vu bits;
  memcpy(&bits, &x, sizeof bits);
  vu rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
  vi isNumber = vf_less(vf_abs(x), vf_set(INFINITY));
  return vf_select(isNumber, vu_as_float(rounded), x);
}

// The upper half of each float; exact where the float is a bf16 number.
#if CK_WIDTH == 1
CK_INLINE vu16 vf_to_bf16(vf x) { return (vu16)((uint32_t)vf_bits(x) >> 16); }
#else
CK_INLINE vu16 vf_to_bf16(vf x) {
  return __builtin_convertvector(vi_as_unsigned(vf_bits(x)) >> 16, vu16);
}
#endif

// Sums over a row go to `sum_lanes` lanes, column c to lane c % sum_lanes in the order of c, and the
// lanes are added pairwise from the halves down: one order, whatever the width. That many lanes are
// two chains of additions on AVX-512, four on AVX2, eight on NEON, which hides their latency.
enum { sum_lanes = 32, sum_vectors = sum_lanes / CK_WIDTH };

// A plain loop keeps 32 numbers in memory, and its text short.
#if CK_WIDTH == 1
#define CK_UNROLL
#else
#define CK_UNROLL _Pragma("clang loop unroll(full)")
#endif

// The statement for a row's columns, a vector at a time: `lanes` columns from `c` on, which vector
// number `j` (a constant once unrolled) of the sums takes. Lanes past the row's end must add zero.
#define CK_FOR_SUMS(c, j, lanes, columns, ...)                                            \
  do {                                                                                    \
    ptrdiff_t c = 0;                                                                      \
    while (c + sum_lanes <= (columns)) {                                                  \
      CK_UNROLL                                                                           \
      for (int j = 0; j < sum_vectors; j++, c += CK_WIDTH) {                              \
        const ptrdiff_t lanes = CK_WIDTH;                                                 \
        __VA_ARGS__                                                                       \
      }                                                                                   \
    }                                                                                     \
    CK_UNROLL                                                                             \
    for (int j = 0; j < sum_vectors; j++, c += CK_WIDTH) {                                \
      if (c < (columns)) {                                                                \
        const ptrdiff_t lanes = (columns) - c < CK_WIDTH ? (columns) - c : CK_WIDTH;      \
        __VA_ARGS__                                                                       \
      }                                                                                   \
    }                                                                                     \
  } while (0)

CK_INLINE void vf_clear(vf *sums, int count) {
  CK_UNROLL
  for (int j = 0; j < count; j++) sums[j] = vf_set(0);
}

// Sum of the lanes, pairwise from the halves down.
CK_INLINE float vf_sum(vf v) {
  float lanes[CK_WIDTH];
  memcpy(lanes, &v, sizeof lanes);
  for (int half = CK_WIDTH / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

// Sum of the lanes of `count` vectors, a power of 2, pairwise from the halves down.
CK_INLINE float vf_total(const vf *sums, int count) {
  vf halves[sum_vectors];
  CK_UNROLL
  for (int j = 0; j < count; j++) halves[j] = sums[j];
  CK_UNROLL
  for (int half = count / 2; half > 0; half /= 2) {
    CK_UNROLL
    for (int j = 0; j < half; j++) halves[j] += halves[j + half];
  }
  return vf_sum(halves[0]);
}

// Greatest of the lanes; no NaN among them.
CK_INLINE float vf_greatest(vf v) {
  float lanes[CK_WIDTH];
  memcpy(lanes, &v, sizeof lanes);
  for (int half = CK_WIDTH / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; lane++) {
      lanes[lane] = lanes[lane] < lanes[lane + half] ? lanes[lane + half] : lanes[lane];
    }
  }
  return lanes[0];
}

// The exponential, within 2 units in the last place over the whole range, subnormal results
// included; overflow gives infinity, NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2; exp r by the polynomial of Cephes' expf (S. Moshier), whose
// coefficients are below; 2^n in two factors, so that neither leaves the normal range.
CK_INLINE vf vf_exp(vf x) {
  // Past these the result is 0 or infinity anyway, and n stays small. NaN passes through as `x`.
  vf clamped = vf_select(vf_less(x, vf_set(-104.0f)), vf_set(-104.0f), x);
  clamped = vf_select(vf_less(vf_set(89.0f), clamped), vf_set(89.0f), clamped);
  // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
  vf shifted = vf_fma(clamped, vf_set(1.44269504088896341f), vf_set(12582912.0f));
  vf n = shifted - vf_set(12582912.0f);
  vf r = vf_fma(n, vf_set(-0.693359375f), clamped);
  r = vf_fma(n, vf_set(2.12194440e-4f), r);
  vf p = vf_set(1.9875691500e-4f);
  p = vf_fma(p, r, vf_set(1.3981999507e-3f));
  p = vf_fma(p, r, vf_set(8.3334519073e-3f));
  p = vf_fma(p, r, vf_set(4.1665795894e-2f));
  p = vf_fma(p, r, vf_set(1.6666665459e-1f));
  p = vf_fma(p, r, vf_set(5.0000001201e-1f));
  vf y = vf_fma(p, r * r, r) + vf_set(1.0f);
  vi whole = vf_bits(shifted) - vi_set(0x4b400000);
  vi half = whole >> 1;
  vf scaled = y * vu_as_float((vu)(half + vi_set(127)) << 23);
  return scaled * vu_as_float((vu)(whole - half + vi_set(127)) << 23);
}
