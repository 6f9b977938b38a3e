// Units of bf16 for the AVX512_BF16 instruction: two neighbouring elements along the depth each. What
// product_body.h asks of a type of operands.

enum { per_unit_bf16 = 2 };

CK_INLINE vf accumulate_bf16(vf sum, vu a, vu b) {
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

// 16 floats as bf16, widened to 32 bits by zeros.
CK_INLINE __m512i narrowed(vf x) {
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
}

// 16 neighbouring columns at one unit of the depth: two stored rows (`next` is NULL behind the last).
CK_INLINE vu load_columns_bf16(
    const char *row, const char *next, ck_type type, int rounded, int64_t count) {
  (void)rounded;
  __m512i low, high;
  if (type == ck_bf16) {
    __mmask16 mask = lanes(count);
    low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row));
    if (next == NULL) return (vu)low;
    high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, next));
  } else {
    low = narrowed(load_floats(row, type, 0, count));
    if (next == NULL) return (vu)low;
    high = narrowed(load_floats(next, type, 0, count));
  }
  return (vu)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

// Two vectors of columns at once, where both rows are there and in bf16; returns whether.
CK_INLINE int pack_two_bf16(uint32_t *target, const char *row, const char *next, ck_type type) {
  if (type != ck_bf16 || next == NULL) return 0;
  // The first 16 numbers of two rows in turn.
  __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i pairs =
      _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
  __m512i low = _mm512_loadu_si512(row), high = _mm512_loadu_si512(next);
  _mm512_storeu_si512(target, _mm512_permutex2var_epi16(low, pairs, high));
  _mm512_storeu_si512(
      target + 16,
      _mm512_permutex2var_epi16(low, _mm512_add_epi16(pairs, _mm512_set1_epi16(16)), high));
  return 1;
}

CK_INLINE int64_t square_units_bf16(ck_type type) {
  (void)type;
  return 16;
}

// 16 units of a stored row that carries the depth: `count` elements of it.
CK_INLINE vu load_units_bf16(const char *source, ck_type type, int64_t count) {
  if (type == ck_bf16) {
    return (vu)_mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, source);
  }
  vf low = load_floats(source, type, 0, count);
  vf high = load_floats(source + 16 * element_bytes(type), type, 0, count - 16);
  return (vu)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

// Packs 16 columns, which are stored rows, by 16 units, or by as few as `elements` fill; columns
// beyond `columns` become 0. `step` are the units from one to the next.
CK_INLINE void pack_square_bf16(
    uint32_t *target, int64_t step, const char *b, int64_t row_bytes, ck_type type, int rounded,
    int64_t columns, int64_t elements) {
  (void)rounded;
  vu rows[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) {
    const char *row = b + i * row_bytes;
    __builtin_prefetch(row + 16 * row_bytes);
    rows[i] = i < columns ? load_units_bf16(row, type, elements) : vu_set(0);
  }
  transpose(rows);
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) {
    if (2 * i < elements) vu_store(target + i * step, rows[i]);
  }
}
