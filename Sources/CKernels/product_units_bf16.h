// Units of bf16 for an instruction that multiplies them: two neighbouring elements along the depth
// each, in the terms of pairs_NAME.h. What product_body.h asks of a type of operands.

enum { per_unit_bf16 = 2 };

CK_INLINE vf accumulate_bf16(vf sum, vu a, vu b) { return pair_dot(sum, a, b); }

// CK_WIDTH neighbouring columns at one unit of the depth: two stored rows (`next` is NULL behind the
// last).
CK_INLINE vu load_columns_bf16(
    const char *row, const char *next, ck_type type, int rounded, int64_t count) {
  (void)rounded;
  if (type == ck_bf16) {
    vu low = vu16_widen(load_some_halves(row, count));
    return next == NULL ? low : low | vu16_widen(load_some_halves(next, count)) << 16;
  }
  return pairs_of_columns(
      load_floats(row, type, 0, count),
      next == NULL ? vf_set(0) : load_floats(next, type, 0, count));
}

// Two vectors of columns at once, where both rows are there and in bf16; returns whether.
CK_INLINE int pack_two_bf16(uint32_t *target, const char *row, const char *next, ck_type type) {
  if (type != ck_bf16 || next == NULL) return 0;
  vu first, second;
  pairs_in_turn(vu_load(row), vu_load(next), &first, &second);
  vu_store(target, first);
  vu_store(target + CK_WIDTH, second);
  return 1;
}

CK_INLINE int64_t square_units_bf16(ck_type type) {
  (void)type;
  return CK_WIDTH;
}

// CK_WIDTH units of a stored row that carries the depth: `count` elements of it.
CK_INLINE vu load_units_bf16(const char *source, ck_type type, int64_t count) {
  if (type == ck_bf16) return load_some_pairs(source, count);
  return pairs_of_row(
      load_floats(source, type, 0, count),
      load_floats(source + CK_WIDTH * element_bytes(type), type, 0, count - CK_WIDTH));
}

// Packs CK_WIDTH columns, which are stored rows, by as many units, or by as few as `elements` fill;
// columns beyond `columns` become 0. `step` are the units from one to the next.
CK_INLINE void pack_square_bf16(
    uint32_t *target, int64_t step, const char *b, int64_t row_bytes, ck_type type, int rounded,
    int64_t columns, int64_t elements) {
  (void)rounded;
  vu rows[CK_WIDTH];
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) {
    const char *row = b + i * row_bytes;
    __builtin_prefetch(row + CK_WIDTH * row_bytes);
    rows[i] = i < columns ? load_units_bf16(row, type, elements) : vu_set(0);
  }
  transpose(rows);
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) {
    if (2 * i < elements) vu_store(target + i * step, rows[i]);
  }
}

#if CK_PAIR_BLOCKS

// Each two units of each vector of columns, as blocks of two columns: see pair_blocks_dot.
static void arrange_bf16(uint32_t *panels, int64_t units, int64_t columns, int64_t most) {
  for (int64_t panel = 0, width; panel < columns; panel += width) {
    width = panel_vectors(columns - panel, most) * CK_WIDTH;
    uint32_t *unit = panels + panel * units;
    for (int64_t u = 0; u + 2 <= units; u += 2, unit += 2 * width) {
      uint32_t arranged[2 * CK_FEW_ROWS_VECTORS * CK_WIDTH];
      for (int64_t column = 0; column < width; column += CK_WIDTH) {
        vu first, second;
        units_in_turn(vu_load(unit + column), vu_load(unit + width + column), &first, &second);
        vu_store(arranged + 2 * column, first);
        vu_store(arranged + 2 * column + CK_WIDTH, second);
      }
      memcpy(unit, arranged, (size_t)width * 2 * sizeof *unit);
    }
  }
}

// Two units of the depth: two rows of A make a block, and so do two columns.
CK_INLINE void multiply_two_units(
    int ROWS, int VECTORS, vf blocks[CK_NARROW_ROWS / 2][2 * CK_FEW_ROWS_VECTORS],
    const uint32_t *const a[CK_NARROW_ROWS], const uint32_t *panel) {
  // The longer side of the tile is loaded one by one, the other held.
  if (ROWS <= 4 * VECTORS) {
    vu x[CK_NARROW_ROWS / 2];
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row += 2) {
      x[row / 2] = pair_block(a[row], a[row + 1 < ROWS ? row + 1 : row]);
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < 2 * VECTORS; v++) {
      vu b = vu_load(panel + v * CK_WIDTH);
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row += 2) {
        blocks[row / 2][v] = pair_blocks_dot(blocks[row / 2][v], x[row / 2], b);
      }
    }
  } else {
    vu b[2 * CK_FEW_ROWS_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < 2 * VECTORS; v++) b[v] = vu_load(panel + v * CK_WIDTH);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row += 2) {
      vu x = pair_block(a[row], a[row + 1 < ROWS ? row + 1 : row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < 2 * VECTORS; v++) {
        blocks[row / 2][v] = pair_blocks_dot(blocks[row / 2][v], x, b[v]);
      }
    }
  }
}

// Sums of the whole tile over an even number of units. A last odd row is multiplied twice.
CK_INLINE int64_t multiply_blocks_bf16(
    int ROWS, int VECTORS, vf sums[CK_NARROW_ROWS][CK_FEW_ROWS_VECTORS], const tile_operands *t) {
  vf blocks[CK_NARROW_ROWS / 2][2 * CK_FEW_ROWS_VECTORS];
  const uint32_t *a[CK_NARROW_ROWS], *panel = t->panel;
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row++) {
    a[row] = t->a + row * t->a_row;
#pragma clang loop unroll(full)
    for (int v = 0; v < 2 * VECTORS; v++) blocks[row / 2][v] = vf_set(0);
  }
  int64_t ahead = t->ahead, units = t->units;
#pragma clang loop unroll(disable)
  for (; units >= 2; units -= 2) {
    __builtin_prefetch(a[0] + ahead);
    multiply_two_units(ROWS, VECTORS, blocks, a, panel);
    panel += 2 * VECTORS * CK_WIDTH;
    // A pointer a row, each going on by itself: see CK_PRODUCT(tile).
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      a[row] += 2;
      __asm__("" : "+r"(a[row]));
    }
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row += 2) {
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
      vf rows[2];
      block_rows(blocks[row / 2][2 * v], blocks[row / 2][2 * v + 1], &rows[0], &rows[1]);
      sums[row][v] = rows[0];
      if (row + 1 < ROWS) sums[row + 1][v] = rows[1];
    }
  }
  return t->units & ~(int64_t)1;
}

#endif

// destination[i] = source[i] in bf16.
static void narrow_bf16(uint16_t *destination, const float *source, int64_t count) {
  int64_t i = 0;
  for (; i + 2 * CK_WIDTH <= count; i += 2 * CK_WIDTH) {
    vu_store(destination + i, pairs_of_row(vf_load(source + i), vf_load(source + i + CK_WIDTH)));
  }
  if (i < count) {
    vu last = pairs_of_row(
        load_some(source + i, count - i), load_some(source + i + CK_WIDTH, count - i - CK_WIDTH));
    memcpy(destination + i, &last, (size_t)(count - i) * 2);
  }
}
