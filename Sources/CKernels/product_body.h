// The product that ck_product.h defines, once for every instruction set and type of operands.
//
// A page (product_NAME.c) names the vector and the shapes of tiles; product_units_TYPE.h says how
// operands are loaded and what a multiply-add is. All data is seen as *units* of 32 bits along the
// depth: one float, or two neighbouring bf16 numbers, which is what the bf16 instruction multiplies
// and adds in one lane.
//
// C is a grid of tiles, each kept in registers over a part of the depth. For that B's columns are
// packed into panels, in the order in which the tiles read them; A is read where it lies. An
// instruction that multiplies blocks of matrices takes most of the depth, several units at a time, and
// wants panels arranged for it; what it leaves, and everything elsewhere, goes unit by unit. Few rows
// take wider panels, so that as many chains of multiply-adds run side by side. Weights come from
// memory: while one row is packed, the next ones are fetched.
#define CK_JOIN(name, type) name##_##type
#define CK_JOINED(name, type) CK_JOIN(name, type)
#define CK_PRODUCT(name) CK_JOINED(name, CK_UNITS)

// Packs `columns` columns by `units` units of which `depth` elements exist, in panels of at most
// `most` vectors. The panel of the columns from c on starts at c * units; in it lie, for each unit,
// its columns in whole vectors. What is stored in blocks or in another order of rows is decoded first,
// a piece of some rows at a time, and packed from there as f32; `type` is ck_f32 then.
CK_INLINE void CK_PRODUCT(pack_as)(
    uint32_t *panels, const ck_stored *stored, int decodes, int transposed, ck_type type, int rounded,
    int64_t columns, int64_t depth, int64_t most) {
  int64_t size = element_bytes(type), row_bytes = stored->row_bytes;
  const char *b = (const char *)stored->base + stored->row * row_bytes + stored->element * size;
  int64_t per_unit = CK_PRODUCT(per_unit), units = (depth + per_unit - 1) / per_unit;
  if (!transposed) {
    for (int64_t u = 0; u < units; u++) {
      float decoded[2][CK_PACKED_COLUMNS];
      const char *row = b + u * per_unit * row_bytes;
      const char *next = u * per_unit + 1 < depth ? row + row_bytes : NULL;
      for (int64_t ahead = 8; ahead < 8 + per_unit; ahead++) {
        if (decodes) {
          prefetch_stored(
              stored->type, stored_row(stored, u * per_unit + ahead), stored->element, columns);
          continue;
        }
        for (int64_t byte = 0; byte < columns * size; byte += 64) {
          __builtin_prefetch(row + ahead * row_bytes + byte);
        }
      }
      if (decodes) {
        for (int64_t i = 0; i < per_unit && u * per_unit + i < depth; i++) {
          read_stored(decoded[i], stored, u * per_unit + i, columns);
        }
        row = (const char *)decoded[0];
        if (next != NULL) next = (const char *)decoded[1];
      }
      for (int64_t panel = 0; panel < columns;) {
        int64_t width = panel_vectors(columns - panel, most) * CK_WIDTH;
        uint32_t *target = panels + panel * units + u * width;
        for (int64_t end = panel + width; panel < end; panel += CK_WIDTH, target += CK_WIDTH) {
          const char *first = row + panel * size;
          const char *second = next == NULL ? NULL : next + panel * size;
          int64_t count = columns - panel;
          if (panel + 2 * CK_WIDTH <= end && count >= 2 * CK_WIDTH &&
              CK_PRODUCT(pack_two)(target, first, second, type)) {
            panel += CK_WIDTH;
            target += CK_WIDTH;
            continue;
          }
          vu_store(
              target, count >= CK_WIDTH
                          ? CK_PRODUCT(load_columns)(first, second, type, rounded, CK_WIDTH)
                          : CK_PRODUCT(load_columns)(first, second, type, rounded, count));
        }
      }
    }
    return;
  }
  int64_t square = CK_PRODUCT(square_units)(type);
  for (int64_t panel = 0; panel < columns;) {
    int64_t step = panel_vectors(columns - panel, most) * CK_WIDTH;
    uint32_t *target = panels + panel * units;
    for (int64_t end = panel + step; panel < end; panel += CK_WIDTH, target += CK_WIDTH) {
      const char *first = b + panel * row_bytes;
      int64_t unit = per_unit * size, width = columns - panel, u = 0;
      if (decodes) {
        float decoded[CK_WIDTH][decoded_run + 16];
        ck_stored piece = *stored;
        for (int64_t start = 0; start < depth; start += decoded_run) {
          int64_t elements = depth - start < decoded_run ? depth - start : decoded_run;
          int64_t rows = width < CK_WIDTH ? width : CK_WIDTH;
          piece.element = stored->element + start;
          for (int64_t i = 0; i < rows; i++) {
            // The rows of the square below.
            prefetch_stored(
                stored->type, stored_row(stored, panel + CK_WIDTH + i), piece.element, elements);
            read_stored(decoded[i], &piece, panel + i, elements);
          }
          for (int64_t v = 0; v * per_unit < elements; v += square) {
            int64_t left = elements - v * per_unit < square * per_unit ? elements - v * per_unit
                                                                       : square * per_unit;
            uint32_t *to = target + (start / per_unit + v) * step;
            const char *from = (const char *)decoded[0] + v * unit;
            int64_t apart = sizeof decoded[0];
            if (rows == CK_WIDTH && left == square * per_unit) {
              CK_PRODUCT(pack_square)(
                  to, step, from, apart, type, rounded, CK_WIDTH, square * per_unit);
            } else {
              CK_PRODUCT(pack_square)(to, step, from, apart, type, rounded, width, left);
            }
          }
        }
        continue;
      }
      // Rows that all start at the same place in a vector are read by whole ones.
      if (width >= CK_WIDTH && row_bytes % (square * unit) == 0) {
        u = (square - (int64_t)((uintptr_t)first / (uintptr_t)unit % (uintptr_t)square)) % square;
        if (u > units) u = units;
        int64_t count = u * per_unit < depth ? u * per_unit : depth;
        if (u > 0) {
          CK_PRODUCT(pack_square)(target, step, first, row_bytes, type, rounded, CK_WIDTH, count);
        }
      }
      for (; width >= CK_WIDTH && (u + square) * per_unit <= depth; u += square) {
        CK_PRODUCT(pack_square)(
            target + u * step, step, first + u * unit, row_bytes, type, rounded, CK_WIDTH,
            square * per_unit);
      }
      for (; u < units; u += square) {
        int64_t left = depth - u * per_unit < square * per_unit ? depth - u * per_unit
                                                                : square * per_unit;
        CK_PRODUCT(pack_square)(
            target + u * step, step, first + u * unit, row_bytes, type, rounded, width, left);
      }
    }
  }
}

static void CK_PRODUCT(pack_in_order)(
    uint32_t *panels, const ck_stored *b, int transposed, int rounded, int64_t columns,
    int64_t depth, int64_t most) {
#define CK_PACK(decodes, type, rounded)                                                      \
  CK_PRODUCT(pack_as)(panels, b, decodes, transposed, type, rounded, columns, depth, most); \
  return
  switch (b->head == 0 ? b->type : ck_q4_0) {
    case ck_bf16: CK_PACK(0, ck_bf16, 0);
    case ck_f32:
      if (rounded) { CK_PACK(0, ck_f32, 1); }
      CK_PACK(0, ck_f32, 0);
    case ck_f16:
      if (rounded) { CK_PACK(0, ck_f16, 1); }
      CK_PACK(0, ck_f16, 0);
    default:
      if (rounded) { CK_PACK(1, ck_f32, 1); }
      CK_PACK(1, ck_f32, 0);
  }
#undef CK_PACK
}

static void CK_PRODUCT(pack)(
    uint32_t *panels, const ck_stored *b, int transposed, int rounded, int64_t columns,
    int64_t depth, int64_t most) {
  CK_PRODUCT(pack_in_order)(panels, b, transposed, rounded, columns, depth, most);
#if CK_BLOCKS
  CK_PRODUCT(arrange)(
      panels, (depth + CK_PRODUCT(per_unit) - 1) / CK_PRODUCT(per_unit), columns, most);
#endif
}

// One unit of the depth: what it loads is loaded in its turn where registers are few, since Clang
// would else fetch the next unit's numbers early and spill sums. Row r of A is `i` units behind
// a[r / 3] + r % 3 * a_row.
CK_INLINE void CK_PRODUCT(tile_unit)(
    int ROWS, int VECTORS, vf sums[CK_NARROW_ROWS][CK_FEW_ROWS_VECTORS], const uint32_t *const *a,
    int64_t a_row, int64_t i, const uint32_t *panel) {
#if CK_REGISTERS == 16
  __asm__ volatile("" ::: "memory");
#endif
  // The longer side of the tile is loaded one by one, the other held.
  if (ROWS <= VECTORS) {
    vu x[CK_NARROW_ROWS];
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) x[row] = vu_set(a[row / 3][row % 3 * a_row + i]);
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
      vu b = vu_load(panel + v * CK_WIDTH);
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row++) {
        sums[row][v] = CK_PRODUCT(accumulate)(sums[row][v], x[row], b);
      }
    }
  } else {
    vu b[CK_FEW_ROWS_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) b[v] = vu_load(panel + v * CK_WIDTH);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      vu x = vu_set(a[row / 3][row % 3 * a_row + i]);
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) {
        sums[row][v] = CK_PRODUCT(accumulate)(sums[row][v], x, b[v]);
      }
    }
  }
}

// One tile: ROWS by VECTORS, which are constants, as is whether A is transposed.
//
// A processor starts few instructions a cycle, and fewer where a neighbour shares the core; so four
// units go by one step of the pointers, and an address holds the rest.
CK_INLINE void CK_PRODUCT(tile)(int ROWS, int VECTORS, int TRANSPOSED, const tile_operands *t) {
  vf sums[CK_NARROW_ROWS][CK_FEW_ROWS_VECTORS];
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) sums[row][v] = vf_set(0);
  }
  // Where the sums go, which is not in the first-level cache.
  if (!t->c_transposed) {
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      __builtin_prefetch(t->c + row * t->c_stride);
      __builtin_prefetch(t->c + row * t->c_stride + VECTORS * CK_WIDTH - 1);
    }
  }
  // As much of the depth as an instruction multiplies by blocks, then the rest unit by unit.
#if CK_BLOCKS
  int64_t done = CK_PRODUCT(multiply_blocks)(ROWS, VECTORS, sums, t);
#else
  const int64_t done = 0;
#endif
  int64_t units = t->units - done;
  const uint32_t *panel = t->panel + done * VECTORS * CK_WIDTH;
  int64_t ahead = t->ahead;
  // A pointer for every three rows, the others by what an address can multiply. Clang must not see
  // how they go on: it would make one chain of additions of all rows, which takes longer than the
  // multiply-adds, or keep more pointers than there are registers.
  const uint32_t *a[(CK_NARROW_ROWS + 2) / 3];
  int64_t a_row = TRANSPOSED ? 1 : t->a_row, a_unit = TRANSPOSED ? t->a_unit : 1;
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row += 3) a[row / 3] = t->a + done * a_unit + row * a_row;
#pragma clang loop unroll(disable)
  for (; units >= 4; units -= 4) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; i++) {
      CK_PRODUCT(tile_unit)(
          ROWS, VECTORS, sums, a, a_row, TRANSPOSED ? 0 : i, panel + i * VECTORS * CK_WIDTH);
      if (TRANSPOSED) {
#if CK_TRANSPOSED_AHEAD > 0
        __builtin_prefetch(a[0] + CK_TRANSPOSED_AHEAD);
#endif
#pragma clang loop unroll(full)
        for (int row = 0; row < ROWS; row += 3) a[row / 3] += a_unit;
      }
    }
    if (!TRANSPOSED) __builtin_prefetch(a[0] + ahead);
    panel += 4 * VECTORS * CK_WIDTH;
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row += 3) {
      if (!TRANSPOSED) a[row / 3] += 4;
      __asm__("" : "+r"(a[row / 3]));
    }
  }
#pragma clang loop unroll(disable)
  for (; units > 0; units--) {
    CK_PRODUCT(tile_unit)(ROWS, VECTORS, sums, a, a_row, 0, panel);
    panel += VECTORS * CK_WIDTH;
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row += 3) {
      a[row / 3] += a_unit;
      __asm__("" : "+r"(a[row / 3]));
    }
  }
  const float *left = t->left, *right = t->right;
  int64_t left_row = t->left_row;
#pragma clang loop unroll(disable)
  for (int64_t u = t->rank; u > 0; u--) {
    vf b[CK_FEW_ROWS_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) b[v] = vf_load(right + v * CK_WIDTH);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      vf x = vf_set(left[row * left_row]);
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) sums[row][v] = vf_fma(x, b[v], sums[row][v]);
    }
    right += VECTORS * CK_WIDTH;
    left++;
  }
  if (t->c_transposed || t->last < CK_WIDTH) {
    float numbers[CK_NARROW_ROWS * CK_FEW_ROWS_VECTORS * CK_WIDTH];
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) {
        vf_store(numbers + (row * VECTORS + v) * CK_WIDTH, sums[row][v]);
      }
    }
    finish_tile(ROWS, VECTORS, numbers, t);
    return;
  }
  vf scale = vf_set(t->scale);
  if (t->adding) {
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
      for (int v = 0; v < VECTORS; v++) {
        float *c = t->c + row * t->c_stride + v * CK_WIDTH;
        vf_store(c, vf_fma(scale, sums[row][v], vf_load(c)));
      }
    }
    return;
  }
#pragma clang loop unroll(full)
  for (int row = 0; row < ROWS; row++) {
#pragma clang loop unroll(full)
    for (int v = 0; v < VECTORS; v++) {
      vf_store(t->c + row * t->c_stride + v * CK_WIDTH, scale * sums[row][v]);
    }
  }
}

// A function for each width of a panel, with a case for each number of rows. Pairs are not transposed.
#define CK_TILE(rows, vectors)                             \
  case rows:                                               \
    if (t->a_unit == 1 || CK_PRODUCT(per_unit) > 1) {      \
      CK_PRODUCT(tile)(rows, vectors, 0, t);               \
    } else {                                               \
      CK_PRODUCT(tile)(rows, vectors, 1, t);               \
    }                                                      \
    return;
#define CK_TILES_1(v) CK_TILE(1, v)
#define CK_TILES_2(v) CK_TILES_1(v) CK_TILE(2, v)
#define CK_TILES_3(v) CK_TILES_2(v) CK_TILE(3, v)
#define CK_TILES_4(v) CK_TILES_3(v) CK_TILE(4, v)
#define CK_TILES_6(v) CK_TILES_4(v) CK_TILE(5, v) CK_TILE(6, v)
#define CK_TILES_8(v) CK_TILES_6(v) CK_TILE(7, v) CK_TILE(8, v)
#define CK_TILES_12(v) CK_TILES_8(v) CK_TILE(9, v) CK_TILE(10, v) CK_TILE(11, v) CK_TILE(12, v)
#define CK_TILES_16(v) CK_TILES_12(v) CK_TILE(13, v) CK_TILE(14, v) CK_TILE(15, v) CK_TILE(16, v)
#define CK_SHAPE(vectors, rows)                                                                 \
  static __attribute__((noinline)) void CK_PRODUCT(tiles_##vectors)(                            \
      int64_t count, const tile_operands *t) {                                                  \
    switch (count) { CK_TILES_##rows(vectors) }                                                 \
  }
CK_SHAPES
#undef CK_SHAPE

CK_INLINE void CK_PRODUCT(run_tile)(int64_t count, int64_t width, const tile_operands *t) {
#define CK_SHAPE(vectors, rows) \
  case vectors: CK_PRODUCT(tiles_##vectors)(count, t); return;
  switch (width) { CK_SHAPES }
#undef CK_SHAPE
}

static void CK_PRODUCT(multiply)(const ck_product *p) {
  const int64_t per_unit = CK_PRODUCT(per_unit);
  int64_t units = (p->depth + per_unit - 1) / per_unit, step = part_units(units);
  // What is packed together fits the second-level cache. Rows of B that carry the depth may be read
  // in longer pieces, several parts of it at a time: the longer, the fewer pages.
  int64_t width = p->b_transposed ? CK_PACKED_COLUMNS_TRANSPOSED : CK_PACKED_COLUMNS;
  int64_t packed_step = p->b_transposed ? step * CK_PACKED_PARTS_TRANSPOSED : step;
  uint32_t *panels = p->scratch;
  float *right = (float *)(panels + ck_product_panel_units);
  // In units.
  int64_t a_stride = p->a_stride / per_unit;
  tile_operands t = {
      .a_row = p->a_transposed ? 1 : a_stride, .a_unit = p->a_transposed ? a_stride : 1,
      .left_row = p->left_stride, .c_stride = p->c_stride, .scale = p->scale,
      .c_transposed = p->c_transposed};
  int64_t most = most_vectors(p->rows);
  // What A's rows hold of a part stays in the second-level cache for all columns, or near it. A depth of
  // 0 has one part, which is empty.
  for (int64_t start = 0; start == 0 || start < units; start += packed_step) {
    int64_t packed = units - start < packed_step ? units - start : packed_step;
    int64_t element = start * per_unit;
    int64_t depth = p->depth - element < packed * per_unit ? p->depth - element
                                                           : packed * per_unit;
    for (int64_t column = 0; column < p->columns; column += width) {
      int64_t columns = p->columns - column < width ? p->columns - column : width;
      int64_t height = columns <= CK_WIDTH ? CK_NARROW_ROWS : CK_TILE_ROWS;
      if (p->rank > 0 && start + packed >= units) pack_right(right, p, column, columns, most);
      ck_stored part = p->b;
      part.row += p->b_transposed ? column : element;
      part.element += p->b_transposed ? element : column;
      CK_PRODUCT(pack)(panels, &part, p->b_transposed, p->rounds_b, columns, depth, most);
      for (int64_t first = 0; first == 0 || first < packed; first += step) {
        t.units = packed - first < step ? packed - first : step;
        t.rank = start + first + step >= units ? p->rank : 0;
        t.adding = p->adding || start + first > 0;
        for (int64_t row = 0; row < p->rows; row += height) {
          int64_t rows = p->rows - row < height ? p->rows - row : height;
          t.a = (const uint32_t *)p->a + row * t.a_row + (start + first) * t.a_unit;
          t.left = p->left + row * p->left_stride;
          int64_t next_rows = p->rows - row - rows < height ? p->rows - row - rows : height;
          int64_t fetched = p->a_transposed ? next_rows : 0;
          for (int64_t panel = 0, vectors; panel < columns; panel += vectors * CK_WIDTH) {
            vectors = panel_vectors(columns - panel, most);
            t.panel = panels + panel * packed + first * vectors * CK_WIDTH;
            t.right = right + panel * p->rank;
            t.c = p->c + (p->c_transposed ? (column + panel) * p->c_stride + row
                                          : row * p->c_stride + column + panel);
            t.last = columns - panel - CK_WIDTH * (vectors - 1);
            // The rows of the next tiles: each of these fetches one of them while it multiplies, and
            // the last what is left.
            t.ahead = fetched < next_rows ? (rows + fetched++) * t.a_row : 0;
            if (panel + vectors * CK_WIDTH >= columns) {
              for (; fetched < next_rows; fetched++) {
                for (int64_t u = 0; u < t.units; u += 16) {
                  __builtin_prefetch(t.a + (rows + fetched) * t.a_row + u);
                }
              }
            }
            // A narrow last panel gets as many rows as the wide ones, though it has room for more.
            CK_PRODUCT(run_tile)(rows, vectors, &t);
          }
        }
      }
    }
  }
}

#undef CK_TILE
#undef CK_PRODUCT
#undef CK_JOIN
#undef CK_JOINED
