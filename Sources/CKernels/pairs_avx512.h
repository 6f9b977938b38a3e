// Pairs of bf16 numbers in a unit of 32 bits, by AVX512_BF16. What product_units_bf16.h and
// attention_units.h ask of an instruction set.

#define CK_PAIR_BLOCKS 0

// Adds to each lane the products of two neighbouring numbers.
CK_INLINE vf pair_dot(vf sum, vu a, vu b) {
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}

// A row's floats, those of `low` and then those of `high`, as its units.
CK_INLINE vu pairs_of_row(vf low, vf high) {
  return (vu)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

// Two rows' floats as a unit for each column.
CK_INLINE vu pairs_of_columns(vf row, vf next) {
  const __m512i in_turn = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
      3, 18, 2, 17, 1, 16, 0);
  return (vu)_mm512_permutexvar_epi16(in_turn, (__m512i)_mm512_cvtne2ps_pbh(next, row));
}

// The units of two rows as units of their columns: the first half of them, and the second.
CK_INLINE void pairs_in_turn(vu row, vu next, vu *first, vu *second) {
  // The first 16 numbers of the two in turn.
  __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  __m512i in_turn =
      _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
  *first = (vu)_mm512_permutex2var_epi16((__m512i)row, in_turn, (__m512i)next);
  *second = (vu)_mm512_permutex2var_epi16(
      (__m512i)row, _mm512_add_epi16(in_turn, _mm512_set1_epi16(16)), (__m512i)next);
}
