// What the products of an instruction set share, whatever the type of their operands.

#include "product_vector.h"

#include "stored_body.h"

// C (+)= scale * (A panel + left right), where `last` are the columns of the last vector, CK_WIDTH
// or more if it is whole.
typedef struct {
  const uint32_t *a;
  int64_t a_row, a_unit;  // from one row, and from one unit, to the next
  int64_t ahead;  // from the first row to one that a later tile reads; 0 where there is none
  const uint32_t *panel;
  int64_t units;
  const float *left;
  int64_t left_row;
  const float *right;  // as a panel of `rank` units
  int64_t rank;
  float *c;
  int64_t c_stride, last;
  float scale;
  int adding, c_transposed;
} tile_operands;

// Bytes of a number that is stored by itself.
CK_INLINE int64_t element_bytes(ck_type type) { return type == ck_f32 ? 4 : 2; }

// Numbers of a stored row that are decoded at a time, into the first-level cache.
enum { decoded_run = 256 };

// The units of a part of the depth: see ck_product.h.
CK_INLINE int64_t part_units(int64_t units) {
  int64_t parts = (units + ck_product_depth - 1) / ck_product_depth;
  return parts == 0 ? 16 : ((units + parts - 1) / parts + 15) / 16 * 16;
}

// The widest panel for a tile of so many rows.
CK_INLINE int64_t most_vectors(int64_t rows) {
#define CK_SHAPE(vectors, most_rows) \
  if (rows <= most_rows && vectors > CK_TILE_VECTORS) return vectors;
  CK_SHAPES
#undef CK_SHAPE
  return CK_TILE_VECTORS;
}

// The vectors of the next panel where `columns` are left.
CK_INLINE int64_t panel_vectors(int64_t columns, int64_t most) {
  int64_t vectors = (columns + CK_WIDTH - 1) / CK_WIDTH;
  if (vectors >= most) return most;
#define CK_SHAPE(width, rows) \
  if (vectors >= width) return width;
  CK_SHAPES
#undef CK_SHAPE
  return 1;
}

// C (+)= scale * numbers, for `count` (at most CK_WIDTH) neighbours in C.
CK_INLINE void finish_some(float *c, vf sums, int64_t count, const tile_operands *t) {
  vf scale = vf_set(t->scale);
  store_some(c, t->adding ? vf_fma(scale, sums, load_some(c, count)) : scale * sums, count);
}

// The same for a whole tile, whose sums lie row by row; where C is transposed, or narrower.
CK_INLINE void finish_rows(
    int64_t rows, int64_t vectors, const float *numbers, const tile_operands *t) {
  for (int64_t v = 0; v < vectors; v++) {
    int64_t columns = v == vectors - 1 && t->last < CK_WIDTH ? t->last : CK_WIDTH;
    if (!t->c_transposed) {
      for (int64_t row = 0; row < rows; row++) {
        finish_some(
            t->c + row * t->c_stride + v * CK_WIDTH,
            vf_load(numbers + (row * vectors + v) * CK_WIDTH), columns, t);
      }
      continue;
    }
    for (int64_t row = 0; row < rows; row += CK_WIDTH) {
      int64_t count = rows - row < CK_WIDTH ? rows - row : CK_WIDTH;
      vu square[CK_WIDTH];
#pragma clang loop unroll(full)
      for (int i = 0; i < CK_WIDTH; i++) {
        square[i] =
            i < count ? vu_load(numbers + ((row + i) * vectors + v) * CK_WIDTH) : vu_set(0);
      }
      transpose(square);
#pragma clang loop unroll(full)
      for (int i = 0; i < CK_WIDTH; i++) {
        if (i < columns) {
          finish_some(
              t->c + (v * CK_WIDTH + i) * t->c_stride + row, vu_as_float(square[i]), count, t);
        }
      }
    }
  }
}

static __attribute__((noinline)) void finish_tile(
    int64_t rows, int64_t vectors, const float *numbers, const tile_operands *t) {
  // Whole tiles with their rows as a constant.
  if (rows == CK_TILE_ROWS) {
    finish_rows(CK_TILE_ROWS, vectors, numbers, t);
  } else {
    finish_rows(rows, vectors, numbers, t);
  }
}

_Static_assert(CK_PACKED_COLUMNS <= 288, "panels fit the scratch memory");
_Static_assert(
    CK_PACKED_COLUMNS_TRANSPOSED * CK_PACKED_PARTS_TRANSPOSED <= 288,
    "panels of several parts fit the scratch memory");

static void pack_f32(
    uint32_t *panels, const ck_stored *b, int transposed, int rounded, int64_t columns,
    int64_t depth, int64_t most);

// Packs columns of the low-rank term's right factor, times its scale.
CK_INLINE void pack_right(
    float *panels, const ck_product *p, int64_t column, int64_t columns, int64_t most) {
  ck_stored part = {.base = p->right, .row_bytes = 4 * p->right_stride, .type = ck_f32};
  *(p->right_transposed ? &part.row : &part.element) = column;
  pack_f32((uint32_t *)panels, &part, p->right_transposed, 0, columns, p->rank, most);
  int64_t count = (columns + CK_WIDTH - 1) / CK_WIDTH * CK_WIDTH * p->rank;
  for (int64_t i = 0; i < count; i++) panels[i] *= p->right_scale;
}
