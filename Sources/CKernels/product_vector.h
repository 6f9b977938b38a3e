// What products need of a vector beyond vector.h: units of 32 bits, squares transposed in registers,
// and loads and stores of some lanes.

CK_INLINE vu vu_load(const void *p) {
  vu v;
  memcpy(&v, p, sizeof v);
  return v;
}
CK_INLINE void vu_store(void *p, vu v) { memcpy(p, &v, sizeof v); }
CK_INLINE vu vu_set(uint32_t x) { return (vu)(x); }

// Rows of CK_WIDTH units become columns.
CK_INLINE void transpose(vu r[CK_WIDTH]) {
#if CK_WIDTH == 1
  (void)r;
#elif CK_WIDTH == 4
  vu a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
  vu b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  vu c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
  vu d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
  r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
  r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
  r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
#elif CK_WIDTH == 8
  // Within halves of 128 bits first, which is what the shuffles of AVX2 do in one instruction.
  vu pairs[8], quads[8];
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 2) {
    pairs[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    pairs[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 8; i += 4) {
#pragma clang loop unroll(full)
    for (int j = 0; j < 2; j++) {
      vu low = pairs[i + j], high = pairs[i + 2 + j];
      quads[i + 2 * j] = __builtin_shufflevector(low, high, 0, 1, 8, 9, 4, 5, 12, 13);
      quads[i + 2 * j + 1] = __builtin_shufflevector(low, high, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    r[i] = __builtin_shufflevector(quads[i], quads[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
    r[4 + i] = __builtin_shufflevector(quads[i], quads[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#elif CK_WIDTH == 16
  __m512i pairs[16], quads[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32((__m512i)r[i], (__m512i)r[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32((__m512i)r[i], (__m512i)r[i + 1]);
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
    r[i] = (vu)_mm512_shuffle_i32x4(even_low, even_high, 0x88);
    r[8 + i] = (vu)_mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    r[4 + i] = (vu)_mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    r[12 + i] = (vu)_mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
#endif
}

// The first `count` lanes, all where there are more; the others are 0, or not written. Of pairs of 16
// bits, the first `count` numbers, one or more.
#if CK_WIDTH == 16
CK_INLINE __mmask16 lanes(int64_t count) {
  return count >= 16 ? (__mmask16)0xffff : count <= 0 ? 0 : (__mmask16)((1u << count) - 1);
}
CK_INLINE vf load_some(const void *p, int64_t count) {
  return (vf)_mm512_maskz_loadu_ps(lanes(count), p);
}
CK_INLINE void store_some(void *p, vf v, int64_t count) {
  _mm512_mask_storeu_ps(p, lanes(count), (__m512)v);
}
CK_INLINE vu16 load_some_halves(const void *p, int64_t count) {
  return (vu16)_mm256_maskz_loadu_epi16(lanes(count), p);
}
CK_INLINE vu load_some_pairs(const void *p, int64_t count) {
  return (vu)_mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, p);
}
#else
CK_INLINE vf load_some(const void *p, int64_t count) {
  if (count >= CK_WIDTH) return vf_load(p);
  return count > 0 ? vf_load_part(p, count) : vf_set(0);
}
CK_INLINE void store_some(void *p, vf v, int64_t count) {
  if (count >= CK_WIDTH) {
    vf_store(p, v);
  } else {
    vf_store_part(p, v, count);
  }
}
CK_INLINE vu16 load_some_halves(const void *p, int64_t count) {
  if (count >= CK_WIDTH) return vu16_load(p);
  return count > 0 ? vu16_load_part(p, count) : (vu16)(0);
}
CK_INLINE vu load_some_pairs(const void *p, int64_t count) {
  if (count >= 2 * CK_WIDTH) return vu_load(p);
  vu v = vu_set(0);
  memcpy(&v, p, (size_t)count * 2);
  return v;
}
#endif
