// The product of product_avx512.c for one type of operands. Included once with CK_BF16 0 and once
// with 1, under that type's instructions.
//
// All data is seen as *units* of 32 bits along the depth: one float, or two neighbouring bf16
// numbers, which is what the bf16 instruction multiplies and adds in one lane. C is a grid of tiles
// of 8 by 48, each kept in 24 registers over a part of the depth. For that B's columns are packed
// into panels of 48, in the order in which the tiles read them; A is read where it lies. Weights
// come from memory: while one row is packed, the next ones are fetched.
#if CK_BF16
#define CK_PRODUCT(name) name##_bf16
#define CK_PER_UNIT 2
#else
#define CK_PRODUCT(name) name##_f32
#define CK_PER_UNIT 1
#endif

CK_INLINE __m512 CK_PRODUCT(accumulate)(__m512 sum, __m512i a, __m512i b) {
#if CK_BF16
  return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
  return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
#endif
}

// 16 elements as floats; those beyond `count` are 0 and not read.
CK_INLINE __m512 CK_PRODUCT(load)(const char *source, ck_type type, int64_t count) {
  __mmask16 mask = lanes(count);
  switch (type) {
    case ck_f32: return _mm512_maskz_loadu_ps(mask, source);
    case ck_f16: return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, source));
    case ck_bf16:
      return _mm512_castsi512_ps(_mm512_slli_epi32(
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, source)), 16));
  }
  __builtin_unreachable();
}

// 16 units of a stored row that carries the depth: `count` elements of it.
CK_INLINE __m512i CK_PRODUCT(load_units)(const char *source, ck_type type, int64_t count) {
#if CK_BF16
  if (type == ck_bf16) {
    return _mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, source);
  }
  __m512 low = CK_PRODUCT(load)(source, type, count);
  __m512 high = CK_PRODUCT(load)(source + 16 * element_bytes(type), type, count - 16);
  return (__m512i)_mm512_cvtne2ps_pbh(high, low);
#else
  return _mm512_castps_si512(CK_PRODUCT(load)(source, type, count));
#endif
}

// 16 neighbouring columns at one unit of the depth: one stored row, or two (`next` is NULL behind
// the last).
CK_INLINE __m512i CK_PRODUCT(load_columns)(
    const char *row, const char *next, ck_type type, int64_t count) {
#if CK_BF16
  if (type == ck_bf16) {
    __mmask16 mask = lanes(count);
    __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row));
    if (next == NULL) return low;
    __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, next));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
  }
  __m512i low = _mm512_cvtepu16_epi32(
      (__m256i)_mm512_cvtneps_pbh(CK_PRODUCT(load)(row, type, count)));
  if (next == NULL) return low;
  __m512i high = _mm512_cvtepu16_epi32(
      (__m256i)_mm512_cvtneps_pbh(CK_PRODUCT(load)(next, type, count)));
  return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
#else
  (void)next;
  return _mm512_castps_si512(CK_PRODUCT(load)(row, type, count));
#endif
}

// Packs 16 columns, which are stored rows, by at most 16 units; those beyond `columns` become 0.
// `step` are the numbers from one unit to the next.
CK_INLINE void CK_PRODUCT(pack_square)(
    uint32_t *target, int64_t step, const char *b, int64_t row_bytes, ck_type type,
    int64_t columns, int64_t units, int64_t depth) {
  __m512i rows[16];
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) {
    const char *row = b + i * row_bytes;
    _mm_prefetch(row + 16 * row_bytes, _MM_HINT_T0);
    rows[i] = i < columns ? CK_PRODUCT(load_units)(row, type, depth) : _mm512_setzero_si512();
  }
  transpose16(rows);
#pragma clang loop unroll(full)
  for (int i = 0; i < 16; i++) {
    if (i < units) _mm512_storeu_si512(target + i * step, rows[i]);
  }
}

// Where 16 columns of one unit lie in the panels.
CK_INLINE void CK_PRODUCT(store_column)(
    uint32_t *panels, int64_t units, int64_t u, int64_t column, int64_t columns, __m512i numbers) {
  int64_t panel = column / 48 * 48, vectors = panel_vectors(columns - panel);
  _mm512_storeu_si512(panels + panel * units + u * vectors * 16 + (column - panel), numbers);
}

// Packs `columns` columns, `depth` elements deep. Panel p starts at 48 * p * units; in it lie, for
// each unit, the panel's columns in whole vectors.
CK_INLINE void CK_PRODUCT(pack_as)(
    uint32_t *panels, const char *b, int64_t stride, int transposed, ck_type type, int64_t columns,
    int64_t depth) {
  int64_t size = element_bytes(type), units = (depth + CK_PER_UNIT - 1) / CK_PER_UNIT;
  if (!transposed) {
    int64_t row_bytes = stride * size;
#if CK_BF16
    // The first 16 numbers of two rows in turn.
    __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512i pairs =
        _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
#endif
    for (int64_t u = 0; u < units; u++) {
      const char *row = b + u * CK_PER_UNIT * row_bytes;
      const char *next = u * CK_PER_UNIT + 1 < depth ? row + row_bytes : NULL;
      for (int64_t ahead = 8; ahead < 8 + CK_PER_UNIT; ahead++) {
        for (int64_t byte = 0; byte < columns * size; byte += 64) {
          _mm_prefetch(row + ahead * row_bytes + byte, _MM_HINT_T0);
        }
      }
      int64_t column = 0;
#if CK_BF16
      if (type == ck_bf16 && next != NULL) {
        for (; column + 32 <= columns; column += 32) {
          __m512i low = _mm512_loadu_si512(row + column * size);
          __m512i high = _mm512_loadu_si512(next + column * size);
          CK_PRODUCT(store_column)(
              panels, units, u, column, columns, _mm512_permutex2var_epi16(low, pairs, high));
          CK_PRODUCT(store_column)(
              panels, units, u, column + 16, columns,
              _mm512_permutex2var_epi16(
                  low, _mm512_add_epi16(pairs, _mm512_set1_epi16(16)), high));
        }
      }
#endif
      for (; column + 16 <= columns; column += 16) {
        CK_PRODUCT(store_column)(
            panels, units, u, column, columns,
            CK_PRODUCT(load_columns)(
                row + column * size, next == NULL ? NULL : next + column * size, type, 16));
      }
      if (column < columns) {
        CK_PRODUCT(store_column)(
            panels, units, u, column, columns,
            CK_PRODUCT(load_columns)(
                row + column * size, next == NULL ? NULL : next + column * size, type,
                columns - column));
      }
    }
    return;
  }
  for (int64_t column = 0; column < columns; column += 16) {
    int64_t panel = column / 48 * 48, step = panel_vectors(columns - panel) * 16;
    uint32_t *target = panels + panel * units + (column - panel);
    const char *first = b + column * stride * size;
    int64_t unit = CK_PER_UNIT * size, width = columns - column, u = 0;
    // Rows that all start at the same place in a line of the cache are read by whole vectors of it.
    if (width >= 16 && stride * size % 64 == 0) {
      u = 15 - (int64_t)(((uintptr_t)first / (uintptr_t)unit + 15) % 16);
      if (u > units) u = units;
      if (u > 0) {
        CK_PRODUCT(pack_square)(target, step, first, stride * size, type, 16, u, depth);
      }
    }
    for (; width >= 16 && (u + 16) * CK_PER_UNIT <= depth; u += 16) {
      CK_PRODUCT(pack_square)(
          target + u * step, step, first + u * unit, stride * size, type, 16, 16,
          16 * CK_PER_UNIT);
    }
    for (; u < units; u += 16) {
      int64_t left = units - u < 16 ? units - u : 16;
      CK_PRODUCT(pack_square)(
          target + u * step, step, first + u * unit, stride * size, type, width, left,
          depth - u * CK_PER_UNIT);
    }
  }
}

static void CK_PRODUCT(pack)(
    uint32_t *panels, const char *b, int64_t stride, int transposed, ck_type type, int64_t columns,
    int64_t depth) {
  switch (type) {
    case ck_f32:
      CK_PRODUCT(pack_as)(panels, b, stride, transposed, ck_f32, columns, depth);
      break;
    case ck_f16:
      CK_PRODUCT(pack_as)(panels, b, stride, transposed, ck_f16, columns, depth);
      break;
    case ck_bf16:
      CK_PRODUCT(pack_as)(panels, b, stride, transposed, ck_bf16, columns, depth);
      break;
  }
}

// One tile: ROWS rows (at most 8; 16 with one vector) by VECTORS vectors, which are constants, as is
// whether A is transposed.
CK_INLINE void CK_PRODUCT(tile)(int ROWS, int VECTORS, int a_transposed, const tile_operands *t) {
  const uint32_t *a = t->a;
  int64_t a_stride = t->a_stride;
  __m512 sums[16][3];
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) sums[row][v] = _mm512_setzero_ps();
  }
  for (int64_t u = 0; u < t->units; u++) {
    __m512i b[3];
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) b[v] = _mm512_loadu_si512(t->panel + (u * VECTORS + v) * 16);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      const uint32_t *unit = a_transposed ? a + u * a_stride + row : a + row * a_stride + u;
      __m512i x = _mm512_set1_epi32((int)*unit);
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) {
        sums[row][v] = CK_PRODUCT(accumulate)(sums[row][v], x, b[v]);
      }
    }
  }
  for (int64_t u = 0; u < t->rank; u++) {
    __m512 b[3];
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) b[v] = _mm512_loadu_ps(t->right + (u * VECTORS + v) * 16);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      __m512 x = _mm512_set1_ps(t->left[row * t->left_stride + u]);
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) sums[row][v] = _mm512_fmadd_ps(x, b[v], sums[row][v]);
    }
  }
  __m512 factor = _mm512_set1_ps(t->scale);
  if (t->c_transposed) {
    store_transposed(ROWS, VECTORS, sums, t->c, t->c_stride, t->last, factor, t->adding);
    return;
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
      float *target = t->c + row * t->c_stride + 16 * v;
      __mmask16 mask = v == VECTORS - 1 ? lanes(t->last) : (__mmask16)0xffff;
      _mm512_mask_storeu_ps(
          target, mask,
          t->adding ? _mm512_fmadd_ps(factor, sums[row][v], _mm512_maskz_loadu_ps(mask, target))
                    : _mm512_mul_ps(factor, sums[row][v]));
    }
  }
}

#define CK_TILE(transposed, vectors, rows)                                                 \
  static void CK_PRODUCT(tile_##transposed##_##vectors##_##rows)(const tile_operands *t) { \
    CK_PRODUCT(tile)(rows, vectors, transposed, t);                                        \
  }
#define CK_TILES8(t, v)                                                                           \
  CK_TILE(t, v, 1) CK_TILE(t, v, 2) CK_TILE(t, v, 3) CK_TILE(t, v, 4)                             \
  CK_TILE(t, v, 5) CK_TILE(t, v, 6) CK_TILE(t, v, 7) CK_TILE(t, v, 8)
#define CK_TILES16(t, v)                                                                          \
  CK_TILES8(t, v)                                                                                 \
  CK_TILE(t, v, 9) CK_TILE(t, v, 10) CK_TILE(t, v, 11) CK_TILE(t, v, 12)                          \
  CK_TILE(t, v, 13) CK_TILE(t, v, 14) CK_TILE(t, v, 15) CK_TILE(t, v, 16)
CK_TILES16(0, 1)
CK_TILES8(0, 2)
CK_TILES8(0, 3)
#if !CK_BF16
CK_TILES16(1, 1)
CK_TILES8(1, 2)
CK_TILES8(1, 3)
#endif

#define CK_NAMES8(t, v)                                                                           \
  CK_PRODUCT(tile_##t##_##v##_1), CK_PRODUCT(tile_##t##_##v##_2), CK_PRODUCT(tile_##t##_##v##_3), \
      CK_PRODUCT(tile_##t##_##v##_4), CK_PRODUCT(tile_##t##_##v##_5),                             \
      CK_PRODUCT(tile_##t##_##v##_6), CK_PRODUCT(tile_##t##_##v##_7),                             \
      CK_PRODUCT(tile_##t##_##v##_8)
#define CK_NAMES16(t, v)                                                                          \
  CK_NAMES8(t, v), CK_PRODUCT(tile_##t##_##v##_9), CK_PRODUCT(tile_##t##_##v##_10),               \
      CK_PRODUCT(tile_##t##_##v##_11), CK_PRODUCT(tile_##t##_##v##_12),                           \
      CK_PRODUCT(tile_##t##_##v##_13), CK_PRODUCT(tile_##t##_##v##_14),                           \
      CK_PRODUCT(tile_##t##_##v##_15), CK_PRODUCT(tile_##t##_##v##_16)

// By whether A is transposed, vectors - 1, and rows - 1.
static const tile_function CK_PRODUCT(tiles)[2][3][16] = {
    {{CK_NAMES16(0, 1)}, {CK_NAMES8(0, 2)}, {CK_NAMES8(0, 3)}},
#if !CK_BF16
    {{CK_NAMES16(1, 1)}, {CK_NAMES8(1, 2)}, {CK_NAMES8(1, 3)}},
#endif
};

#if !CK_BF16
// Packs columns of the low-rank term's right factor, times its scale.
static void pack_right(float *panels, const ck_product *p, int64_t column, int64_t columns) {
  const float *first = p->right + (p->right_transposed ? column * p->right_stride : column);
  pack_f32(
      (uint32_t *)panels, (const char *)first, p->right_stride, p->right_transposed, ck_f32,
      columns, p->rank);
  int64_t count = (columns + 15) / 16 * 16 * p->rank;
  for (int64_t i = 0; i < count; i++) panels[i] *= p->right_scale;
}
#endif

static void CK_PRODUCT(multiply)(const ck_product *p) {
  // What is packed together fits the second-level cache. Rows of B that carry the columns are read
  // in pieces of a row: the wider, the fewer pages at a time.
  int64_t width = p->b_transposed ? narrow_columns : wide_columns;
  int64_t limit = p->b_transposed ? narrow_units : wide_units;
  int64_t units = (p->depth + CK_PER_UNIT - 1) / CK_PER_UNIT;
  // Parts of about the same depth: a function of the depth and of how B lies alone.
  int64_t parts = (units + limit - 1) / limit;
  int64_t step = ((units + parts - 1) / parts + 15) / 16 * 16;
  int64_t size = element_bytes(p->b_type);
  uint32_t *panels = p->scratch;
  float *right = (float *)(panels + panel_units);
  // In units.
  tile_operands t = {
      .a_stride = p->a_stride / CK_PER_UNIT, .left_stride = p->left_stride,
      .c_stride = p->c_stride, .scale = p->scale, .c_transposed = p->c_transposed};
  for (int64_t column = 0; column < p->columns; column += width) {
    int64_t columns = p->columns - column < width ? p->columns - column : width;
    if (p->rank > 0) pack_right(right, p, column, columns);
    for (int64_t first = 0; first < units; first += step) {
      t.units = units - first < step ? units - first : step;
      t.rank = first + step >= units ? p->rank : 0;
      t.adding = p->adding || first > 0;
      int64_t element = first * CK_PER_UNIT;
      int64_t depth = p->depth - element < t.units * CK_PER_UNIT ? p->depth - element
                                                                 : t.units * CK_PER_UNIT;
      int64_t stored = p->b_transposed ? column * p->b_stride + element
                                       : element * p->b_stride + column;
      CK_PRODUCT(pack)(
          panels, (const char *)p->b + stored * size, p->b_stride, p->b_transposed, p->b_type,
          columns, depth);
      int64_t height = columns <= 16 ? 16 : 8;
      for (int64_t row = 0; row < p->rows; row += height) {
        int64_t rows = p->rows - row < height ? p->rows - row : height;
        t.a = (const uint32_t *)p->a + (p->a_transposed ? first * t.a_stride + row
                                                        : row * t.a_stride + first);
        t.left = p->left + row * p->left_stride;
        for (int64_t panel = 0; panel < columns; panel += 48) {
          int64_t vectors = panel_vectors(columns - panel);
          t.panel = panels + panel * t.units;
          t.right = right + panel * p->rank;
          t.c = p->c + (p->c_transposed ? (column + panel) * p->c_stride + row
                                        : row * p->c_stride + column + panel);
          t.last = (columns - panel < 48 ? columns - panel : 48) - 16 * (vectors - 1);
          // A last panel of one vector beside a whole one takes as few rows as that.
          CK_PRODUCT(tiles)[p->a_transposed != 0][vectors - 1][rows - 1](&t);
        }
      }
    }
  }
}

#undef CK_TILE
#undef CK_TILES8
#undef CK_TILES16
#undef CK_NAMES8
#undef CK_NAMES16
#undef CK_PRODUCT
#undef CK_PER_UNIT
