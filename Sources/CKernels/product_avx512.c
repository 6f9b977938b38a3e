// Products of matrices on AVX-512, in f32 and, where the processor has the instruction (AVX512_BF16:
// AMD since Zen 4, Intel since Cooper Lake), with bf16 operands.
//
// Why not a library's: what is multiplied here is a frozen weight that comes from memory once in
// each direction, by activations from the cache. A library packs both operands in every call, and
// Debian's picks kernels by the processor's name, which for younger ones is a guess. Panels of the
// weight, packed once for all rows while the next are being fetched, leave 90 to 95 % of the
// processor's peak (Zen 5, weights not in the cache, 512 rows: 500 to 530 of 560 GFLOP/s in bf16,
// 250 to 265 of 280 in f32; oneDNN 2.6's packing product: 450 to 487 and 220 to 250).
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#include "isa.h"

#define CK_INLINE static inline __attribute__((always_inline, unused))

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

// What is packed together: columns by units, by whether B is transposed; and the room for it.
enum {
  narrow_columns = 96,
  narrow_units = 1024,
  wide_columns = 288,
  wide_units = 352,
  panel_units = wide_columns * wide_units,
};
_Static_assert(narrow_columns * narrow_units <= panel_units, "panels of either shape fit");
_Static_assert(
    (panel_units + wide_columns * ck_product_rank) * 4 == ck_product_scratch_bytes,
    "ck_product.h says how much is needed");

// C (+)= scale * (A panel + left right), where `last` are the columns of the last vector.
typedef struct {
  const uint32_t *a;
  int64_t a_stride;
  const uint32_t *panel;
  int64_t units;
  const float *left;
  int64_t left_stride;
  const float *right;  // as a panel of `rank` units
  int64_t rank;
  float *c;
  int64_t c_stride, last;
  float scale;
  int adding, c_transposed;
} tile_operands;

typedef void (*tile_function)(const tile_operands *);

CK_INLINE int64_t element_bytes(ck_type type) { return type == ck_f32 ? 4 : 2; }

// Vectors of a panel that `columns` columns are left for.
CK_INLINE int64_t panel_vectors(int64_t columns) { return columns >= 48 ? 3 : (columns + 15) / 16; }

// The first `count` of 16 lanes; all where there are more, none where `count` is negative.
CK_INLINE __mmask16 lanes(int64_t count) {
  return count >= 16 ? (__mmask16)0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}

// Rows become columns.
CK_INLINE void transpose16(__m512i r[16]) {
  __m512i pairs[16], quads[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 4) {
    quads[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    quads[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    quads[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    quads[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    __m512i even_low = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0x88);
    __m512i odd_low = _mm512_shuffle_i32x4(quads[i], quads[4 + i], 0xdd);
    __m512i even_high = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0x88);
    __m512i odd_high = _mm512_shuffle_i32x4(quads[8 + i], quads[12 + i], 0xdd);
    r[i] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    r[8 + i] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    r[4 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    r[12 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
}

// A tile's sums into C, whose rows are the tile's columns: C (+)= factor * sums.
CK_INLINE void store_transposed(
    int ROWS, int VECTORS, __m512 sums[16][3], float *c, int64_t c_stride, int64_t last,
    __m512 factor, int adding) {
  __mmask16 mask = lanes(ROWS);
#pragma clang loop unroll(full)
  for (int v = 0; v < VECTORS; v++) {
    __m512i columns[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) {
      columns[i] = i < ROWS ? _mm512_castps_si512(sums[i][v]) : _mm512_setzero_si512();
    }
    transpose16(columns);
    int count = v == VECTORS - 1 ? (int)last : 16;
    for (int i = 0; i < count; i++) {
      float *target = c + (16 * v + i) * c_stride;
      __m512 sum = _mm512_castsi512_ps(columns[i]);
      _mm512_mask_storeu_ps(
          target, mask,
          adding ? _mm512_fmadd_ps(factor, sum, _mm512_maskz_loadu_ps(mask, target))
                 : _mm512_mul_ps(factor, sum));
    }
  }
}

#define CK_BF16 0
#include "product_body.h"
#undef CK_BF16

#pragma clang attribute pop

#pragma clang attribute push(                                                             \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)

#define CK_BF16 1
#include "product_body.h"
#undef CK_BF16

static void narrow_bf16(uint16_t *destination, const float *source, int64_t count) {
  int64_t i = 0;
  for (; i + 32 <= count; i += 32) {
    __m512bh both = _mm512_cvtne2ps_pbh(
        _mm512_loadu_ps(source + i + 16), _mm512_loadu_ps(source + i));
    _mm512_storeu_si512(destination + i, (__m512i)both);
  }
  for (; i < count; i += 16) {
    __mmask16 mask = lanes(count - i);
    __m256bh half = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, source + i));
    _mm256_mask_storeu_epi16(destination + i, mask, (__m256i)half);
  }
}

#pragma clang attribute pop

const ck_product_kernels ck_product_avx512 = {.multiply = multiply_f32};
const ck_product_kernels ck_product_avx512_bf16 = {
    .multiply = multiply_f32, .narrow = narrow_bf16, .multiply_bf16 = multiply_bf16};

#endif
