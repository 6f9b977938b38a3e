// Numbers of a stored weight as floats, whatever their format. Included once per instruction set, by
// the products and by the other kernels.
//
// Blocks are ggml's (ggml-common.h and dequantize_row_* of ggml-quants.c) and bitsandbytes'
// (dequantize_4bit). Each number is made by the operations that these name, in their order, none fused:
// then its bits are theirs, in any width. What decodes is asked for 32 neighbours at a time, which
// share their scales in every format, or for the two scales of 16 each.

// The lanes that an instruction of the set permutes by; 0 where a table is looked up lane by lane.
#ifndef CK_PERMUTES
#define CK_PERMUTES 0
#endif

// Neighbours that are decoded together.
enum { stored_run = 32 };

#if CK_WIDTH == 1
typedef uint8_t vu8;
typedef int8_t vi8;
CK_INLINE vi bytes_widened(vu8 x) { return x; }
CK_INLINE vi signed_bytes_widened(vi8 x) { return x; }
#else
typedef uint8_t vu8 __attribute__((ext_vector_type(CK_WIDTH)));
typedef int8_t vi8 __attribute__((ext_vector_type(CK_WIDTH)));
CK_INLINE vi bytes_widened(vu8 x) { return __builtin_convertvector(x, vi); }
CK_INLINE vi signed_bytes_widened(vi8 x) { return __builtin_convertvector(x, vi); }
#endif

// An f16 in every lane.
CK_INLINE vf half_at(const uint8_t *p) {
  uint16_t half;
  memcpy(&half, p, sizeof half);
  return vf_from_half((vu16)half);
}

CK_INLINE vi load_bytes(const uint8_t *p) {
  vu8 v;
  memcpy(&v, p, sizeof v);
  return bytes_widened(v);
}
CK_INLINE vi load_signed_bytes(const uint8_t *p) {
  vi8 v;
  memcpy(&v, p, sizeof v);
  return signed_bytes_widened(v);
}

// 0, 1, 2 …
CK_INLINE vi lane_numbers(void) {
  static const int32_t numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  vi v;
  memcpy(&v, numbers, sizeof v);
  return v;
}

// table[index] for indices below 16.
CK_INLINE vf look_up(const float *table, vi index) {
#if CK_PERMUTES == 16
  return (vf)_mm512_permutexvar_ps((__m512i)index, _mm512_loadu_ps(table));
#elif CK_PERMUTES == 8
  __m256i lane = (__m256i)index;
  __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), lane);
  __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(table + 8), lane);
  // The sign of what is shifted there says which.
  return (vf)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(lane, 28)));
#elif CK_WIDTH == 1
  return table[index];
#else
  vf v;
  for (int lane = 0; lane < CK_WIDTH; lane++) v[lane] = table[index[lane]];
  return v;
#endif
}

// Rounded to f16, to nearest and ties to even, and back.
#if CK_WIDTH == 1
CK_INLINE vf vf_round_half(vf x) {
  uint32_t bits = (uint32_t)vf_bits(x), sign = bits & 0x80000000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return x;
  float size = vf_abs(x), rounded;
  if (size >= 65520.0f) {
    rounded = INFINITY;
  } else if (size < 0x1p-14f) {
    // The spacing of subnormal halves is that of floats from 1/2 to 1.
    rounded = (size + 0.5f) - 0.5f;
  } else {
    magnitude = (magnitude + 0xfff + (magnitude >> 13 & 1)) & ~0x1fffu;
    memcpy(&rounded, &magnitude, sizeof rounded);
  }
  return sign ? -rounded : rounded;
}
#else
CK_INLINE vf vf_round_half(vf x) {
  return __builtin_convertvector(__builtin_convertvector(x, vh), vf);
}
#endif

CK_INLINE vf round_as(vf x, ck_type type) {
  return type == ck_bf16 ? vf_round_bf16(x) : type == ck_f16 ? vf_round_half(x) : x;
}

static const float iq4_numbers[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

// Numbers and bytes of a block; of what is no block, of one number.
CK_INLINE int64_t block_numbers(ck_type type) {
  switch (type) {
    case ck_q2_k: case ck_q3_k: case ck_q4_k: case ck_q5_k: case ck_q6_k: case ck_iq4_xs: return 256;
    case ck_q4_0: case ck_q4_1: case ck_q5_0: case ck_q5_1: case ck_q8_0: case ck_iq4_nl: return 32;
    case ck_codes4: return 2;
    default: return 1;
  }
}
CK_INLINE int64_t block_bytes(ck_type type) {
  switch (type) {
    case ck_f32: return 4;
    case ck_f16: case ck_bf16: return 2;
    case ck_q4_0: case ck_iq4_nl: return 18;
    case ck_q4_1: return 20;
    case ck_q5_0: return 22;
    case ck_q5_1: return 24;
    case ck_q8_0: return 34;
    case ck_q2_k: return 84;
    case ck_q3_k: return 110;
    case ck_q4_k: return 144;
    case ck_q5_k: return 176;
    case ck_q6_k: return 210;
    case ck_iq4_xs: return 136;
    case ck_codes4: case ck_int8: return 1;
  }
  __builtin_unreachable();
}

// Bytes from a row's start to where the block of a number begins.
CK_INLINE int64_t stored_offset(ck_type type, int64_t element) {
  return element / block_numbers(type) * block_bytes(type);
}

// Fetches what a run of numbers of a row is decoded from: whole blocks, where it begins and ends inside.
CK_INLINE void prefetch_stored(ck_type type, const uint8_t *row, int64_t element, int64_t count) {
  const uint8_t *last = row + stored_offset(type, element + count - 1) + block_bytes(type) - 1;
  for (const uint8_t *p = row + stored_offset(type, element); p < last; p += 64) __builtin_prefetch(p);
  __builtin_prefetch(last);
}

// The number of the stored row that is a part's row `row`.
CK_INLINE int64_t stored_index(const ck_stored *s, int64_t row) {
  row += s->row;
  if (s->head == 0) return row;
  int64_t first = row / s->head * s->head, i = row - first, half = s->head / 2;
  return first + (i < half ? 2 * i : 2 * (i - half) + 1);
}

CK_INLINE const uint8_t *stored_row(const ck_stored *s, int64_t row) {
  return (const uint8_t *)s->base + stored_index(s, row) * s->row_bytes;
}

// 16 bytes of two codes each: the low ones are numbers 0 to 15, the high ones 16 to 31. Both come from
// bytes that are widened once.
#define CK_NIBBLES(y, bytes, q, ...)            \
  for (int i = 0; i < 16; i += CK_WIDTH) {      \
    vi both = load_bytes((bytes) + i), q;       \
    q = both & 15;                              \
    vf_store((y) + i, __VA_ARGS__);             \
    q = both >> 4;                              \
    vf_store((y) + i + 16, __VA_ARGS__);        \
  }

// The codes of a run, a byte each, where they are put together from bits in several places: an
// instruction has many of them.
#pragma clang diagnostic push
// How calls hand them over does not matter: all are inlined.
#pragma clang diagnostic ignored "-Wpsabi"
typedef uint8_t run_codes __attribute__((ext_vector_type(stored_run)));
typedef uint16_t run_pairs __attribute__((ext_vector_type(stored_run / 2)));
typedef uint8_t half_codes __attribute__((ext_vector_type(stored_run / 2)));

CK_INLINE run_codes codes_at(const uint8_t *p) {
  run_codes v;
  memcpy(&v, p, sizeof v);
  return v;
}

// The bits of `mask` from bit `first` of each byte on. No set shifts bytes; what comes down from a
// neighbour lies above the mask.
CK_INLINE run_codes code_bits(run_codes x, uint32_t first, uint8_t mask) {
  return (run_codes)((run_pairs)x >> (run_pairs)(uint16_t)first) & (run_codes)mask;
}

// 16 bytes of two codes each: the low ones are numbers 0 to 15, the high ones 16 to 31.
CK_INLINE run_codes nibbles_at(const uint8_t *p) {
  half_codes both;
  memcpy(&both, p, sizeof both);
  half_codes low = both & (half_codes)15, high = both >> (half_codes)4;
  return __builtin_shufflevector(
      low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
      24, 25, 26, 27, 28, 29, 30, 31);
}

// The fifth bits of a run's codes, from 4 bytes.
CK_INLINE run_codes fifth_bits_at(const uint8_t *p) {
  typedef uint8_t four_bytes __attribute__((ext_vector_type(4)));
  static const uint8_t places[stored_run] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128,
                                             1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  four_bytes bits;
  memcpy(&bits, p, sizeof bits);
  run_codes spread = __builtin_shufflevector(
      bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3,
      3, 3, 3);
  run_codes place = codes_at(places);
  return (run_codes)((spread & place) == place) & (run_codes)16;
}

// Stores what the last argument makes of each code `q` of a run, as signed integers; `i` is the
// number of the first of them.
#define CK_CODES(y, codes, q, ...)                        \
  do {                                                    \
    run_codes all = (codes);                              \
    uint8_t bytes[stored_run];                            \
    memcpy(bytes, &all, sizeof bytes);                    \
    for (int i = 0; i < stored_run; i += CK_WIDTH) {      \
      vi q = load_signed_bytes(bytes + i);                \
      vf_store((y) + i, __VA_ARGS__);                     \
    }                                                     \
  } while (0)

// The 6-bit scale and minimum of sub-block `j` of Q4_K and Q5_K.
CK_INLINE void scale_and_minimum(const uint8_t *s, uint32_t j, float *scale, float *minimum) {
  uint32_t k = j - 4;
  *scale = (float)(j < 4 ? s[j] & 63 : (s[8 + k] & 15) | (s[k] >> 6) << 4);
  *minimum = (float)(j < 4 ? s[j + 4] & 63 : s[8 + k] >> 4 | (s[4 + k] >> 6) << 4);
}

// Numbers 32 j to 32 j + 31 of the block at `b`.
CK_INLINE void decode_block(ck_type type, float *y, const uint8_t *b, uint32_t j) {
  switch (type) {
    case ck_q4_0: {
      vf d = half_at(b);
      CK_NIBBLES(y, b + 2, q, d * vi_to_float(q - 8));
      return;
    }
    case ck_q4_1: {
      vf d = half_at(b), m = half_at(b + 2);
      CK_NIBBLES(y, b + 4, q, d * vi_to_float(q) + m);
      return;
    }
    case ck_q5_0: {
      vf d = half_at(b);
      run_codes codes = nibbles_at(b + 6) | fifth_bits_at(b + 2);
      CK_CODES(y, codes - (run_codes)16, q, d * vi_to_float(q));
      return;
    }
    case ck_q5_1: {
      vf d = half_at(b), m = half_at(b + 2);
      CK_CODES(y, nibbles_at(b + 8) | fifth_bits_at(b + 4), q, d * vi_to_float(q) + m);
      return;
    }
    case ck_q8_0: {
      vf d = half_at(b);
      for (int i = 0; i < stored_run; i += CK_WIDTH) {
        vf_store(y + i, d * vi_to_float(load_signed_bytes(b + 2 + i)));
      }
      return;
    }
    case ck_iq4_nl: {
      vf d = half_at(b);
      CK_NIBBLES(y, b + 2, q, d * look_up(iq4_numbers, q));
      return;
    }
    case ck_iq4_xs: {
      int high = (b[2] | b[3] << 8) >> 2 * j & 3;
      int scale = (b[4 + j / 2] >> 4 * (j % 2) & 15) | high << 4;
      vf d = half_at(b) * vf_set((float)(scale - 32));
      CK_NIBBLES(y, b + 8 + 16 * j, q, d * look_up(iq4_numbers, q));
      return;
    }
    case ck_q4_k:
    case ck_q5_k: {
      float scale, minimum;
      scale_and_minimum(b + 4, j, &scale, &minimum);
      vf d = half_at(b) * vf_set(scale), m = half_at(b + 2) * vf_set(minimum);
      int shift = j % 2 ? 4 : 0;
      if (type == ck_q4_k) {
        for (int i = 0; i < stored_run; i += CK_WIDTH) {
          vi q = load_bytes(b + 16 + 32 * (j / 2) + i) >> shift & 15;
          vf_store(y + i, d * vi_to_float(q) - m);
        }
        return;
      }
      run_codes codes = code_bits(codes_at(b + 48 + 32 * (j / 2)), (uint32_t)shift, 15)
                        | code_bits(codes_at(b + 16), j, 1) << (run_codes)4;
      CK_CODES(y, codes, q, d * vi_to_float(q) - m);
      return;
    }
    case ck_q6_k: {
      uint32_t n = j / 4, k = j % 4;
      const uint8_t *low = b + 64 * n + 32 * (k & 1), *high = b + 128 + 32 * n;
      const int8_t *scales = (const int8_t *)b + 192 + 8 * n + 2 * k;
      vf scale = half_at(b + 208);
      vf d[2] = {scale * vf_set((float)scales[0]), scale * vf_set((float)scales[1])};
      run_codes codes = code_bits(codes_at(low), k < 2 ? 0 : 4, 15)
                        | code_bits(codes_at(high), 2 * k, 3) << (run_codes)4;
      CK_CODES(y, codes - (run_codes)32, q, d[i / 16] * vi_to_float(q));
      return;
    }
    case ck_q2_k: {
      vf d[2], m[2];
      for (uint32_t half = 0; half < 2; half++) {
        uint8_t scales = b[2 * j + half];
        d[half] = half_at(b + 80) * vf_set((float)(scales & 15));
        m[half] = half_at(b + 82) * vf_set((float)(scales >> 4));
      }
      int shift = 2 * (int)(j % 4);
      for (int i = 0; i < stored_run; i += CK_WIDTH) {
        vi q = load_bytes(b + 16 + 32 * (j / 4) + i) >> shift & 3;
        vf_store(y + i, d[i / 16] * vi_to_float(q) - m[i / 16]);
      }
      return;
    }
    case ck_q3_k: {
      const uint8_t *s = b + 96;
      vf d[2];
      for (uint32_t half = 0; half < 2; half++) {
        uint32_t group = 2 * j + half;
        int low = group < 8 ? s[group] & 15 : s[group - 8] >> 4;
        int scale = (low | (s[8 + group % 4] >> 2 * (group / 4) & 3) << 4) - 32;
        d[half] = half_at(b + 108) * vf_set((float)scale);
      }
      run_codes codes = code_bits(codes_at(b + 32 + 32 * (j / 4)), 2 * (j % 4), 3)
                        | code_bits(codes_at(b), j, 1) << (run_codes)2;
      CK_CODES(y, codes - (run_codes)4, q, d[i / 16] * vi_to_float(q));
      return;
    }
    default: __builtin_unreachable();
  }
}

#pragma clang diagnostic pop

// A run of numbers of a row of blocks; it may begin and end inside of one.
CK_INLINE void decode_run(
    ck_type type, float *y, const uint8_t *row, int64_t element, int64_t count) {
  // Unsigned: dividing is shifting then.
  uint64_t numbers = (uint64_t)block_numbers(type), bytes = (uint64_t)block_bytes(type);
  while (count > 0) {
    uint32_t inside = (uint32_t)((uint64_t)element % numbers), skipped = inside % stored_run;
    const uint8_t *block = row + (uint64_t)element / numbers * bytes;
    int64_t taken = stored_run - skipped < count ? stored_run - skipped : count;
    if (taken == stored_run) {
      decode_block(type, y, block, inside / stored_run);
    } else {
      float part[stored_run];
      decode_block(type, part, block, inside / stored_run);
      memcpy(y, part + skipped, (size_t)taken * 4);
    }
    y += taken, element += taken, count -= taken;
  }
}

CK_INLINE float float_at(const void *floats, int64_t index) {
  float value;
  memcpy(&value, (const char *)floats + 4 * index, sizeof value);
  return value;
}

CK_INLINE float code_scale(const ck_codes *c, int64_t block) {
  if (c->nested == NULL) return float_at(c->scales, block);
  uint32_t group = (uint32_t)block / (uint32_t)c->nested_block;
  return c->nested_map[c->nested[block]] * float_at(c->nested_scales, group) + c->nested_offset;
}

// Codes of 4 bits, the first of a byte in its high half; blocks of scales are counted over the
// flattened matrix, and go on from row to row.
CK_INLINE void decode_codes(
    ck_type rounding, float *y, const ck_codes *c, const uint8_t *codes, int64_t first,
    int64_t count) {
  int64_t i = 0, block = first / c->block;
  int64_t next = (block + 1) * c->block - first;
  for (; i < count; block++, next += c->block) {
    int64_t end = next < count ? next : count;
    // Of a block's numbers at most 16 differ.
    float scale = code_scale(c, block), numbers[16];
    for (int k = 0; k < 16; k += CK_WIDTH) {
      vf_store(numbers + k, round_as(vf_load(c->map + k) * vf_set(scale), rounding));
    }
#if CK_WIDTH > 1
    // The codes of a vector are half as many bytes; each lane shifts its own down.
    vi shifts = (vi)(((vu)lane_numbers() & 7u) * 4u ^ 4u);
    if ((first + i) % 2 == 0) {
      for (; i + CK_WIDTH <= end; i += CK_WIDTH) {
        uint32_t words[2] = {0, 0};
        memcpy(words, codes + (first + i) / 2, CK_WIDTH / 2);
        vi word = vi_set((int32_t)words[0]);
#if CK_WIDTH == 16
        vi lower = lane_numbers() < 8;
        word = (lower & word) | (~lower & vi_set((int32_t)words[1]));
#endif
        vf_store(y + i, look_up(numbers, (vi)((vu)word >> (vu)shifts & 15u)));
      }
    }
#endif
    for (; i < end; i++) {
      uint8_t both = codes[(first + i) / 2];
      y[i] = numbers[(first + i) % 2 ? both & 15 : both >> 4];
    }
  }
}

static void read_codes(
    float *y, const ck_codes *c, const uint8_t *codes, int64_t first, int64_t count) {
  switch (c->rounding) {
    case ck_bf16: decode_codes(ck_bf16, y, c, codes, first, count); return;
    case ck_f16: decode_codes(ck_f16, y, c, codes, first, count); return;
    default: decode_codes(ck_f32, y, c, codes, first, count); return;
  }
}

// Bytes with a scale a row.
static void read_int8(
    float *y, const ck_codes *c, const uint8_t *bytes, float scale, int64_t count) {
  // bitsandbytes multiplies by the f32 nearest to 1 / 127.
  const float unit = 0.007874015718698502f;
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vf value = vi_to_float(load_signed_bytes(bytes + i)) * vf_set(scale) * vf_set(unit);
    vf_store(y + i, round_as(value, c->rounding));
  }
  for (; i < count; i++) {
    y[i] = (float)(int8_t)bytes[i] * scale * unit;
    vf_store_part(y + i, round_as(vf_load_part(y + i, 1), c->rounding), 1);
  }
}

CK_INLINE void widen_halves(ck_type type, float *y, const uint8_t *x, int64_t count) {
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vu16 v = vu16_load(x + 2 * i);
    vf_store(y + i, type == ck_f16 ? vf_from_half(v) : vf_from_bf16(v));
  }
  if (i < count) {
    vu16 v = vu16_load_part(x + 2 * i, count - i);
    vf_store_part(y + i, type == ck_f16 ? vf_from_half(v) : vf_from_bf16(v), count - i);
  }
}

// `count` numbers of a part's row, from its first on.
static void read_stored(float *y, const ck_stored *s, int64_t row, int64_t count) {
  const uint8_t *x = stored_row(s, row);
  int64_t element = s->element;
#define CK_BLOCKS(type) \
  case type: decode_run(type, y, x, element, count); return;
  switch (s->type) {
    case ck_f32: memcpy(y, x + 4 * element, (size_t)count * 4); return;
    case ck_f16: widen_halves(ck_f16, y, x + 2 * element, count); return;
    case ck_bf16: widen_halves(ck_bf16, y, x + 2 * element, count); return;
    CK_BLOCKS(ck_q4_0)
    CK_BLOCKS(ck_q4_1)
    CK_BLOCKS(ck_q5_0)
    CK_BLOCKS(ck_q5_1)
    CK_BLOCKS(ck_q8_0)
    CK_BLOCKS(ck_q2_k)
    CK_BLOCKS(ck_q3_k)
    CK_BLOCKS(ck_q4_k)
    CK_BLOCKS(ck_q5_k)
    CK_BLOCKS(ck_q6_k)
    CK_BLOCKS(ck_iq4_nl)
    CK_BLOCKS(ck_iq4_xs)
    case ck_codes4:
      read_codes(
          y, s->codes, s->base, stored_index(s, row) * s->codes->columns + element, count);
      return;
    case ck_int8:
      read_int8(y, s->codes, x + element, float_at(s->codes->scales, stored_index(s, row)), count);
      return;
  }
#undef CK_BLOCKS
}
