// Tiles of attention: how they lie in scratch memory, and packing. Included by bodies.h once per
// instruction set.
//
// A tile is stored in panels of CK_PANEL columns: element (r, c) of a tile of `rows` rows is at
// (c / CK_PANEL) * rows * CK_PANEL + r * CK_PANEL + c % CK_PANEL. Whatever its role in a product,
// left or right operand or result, it is then read and written in whole vectors, and no stride of
// the caller's maps many rows to one set of the cache. Panels are filled up with zeros. The depth
// of an operand is counted in units (attention_units.h): a left operand's columns, a right one's
// rows.

#define CK_PANEL (2 * CK_WIDTH)

// Rows of a result that are summed at a time, two vectors each. A fused multiply-add is 4 cycles
// late and there are two of them in a cycle (a bf16 one is 6 late), up to four on Arm, so that 8 to
// 16 sums hide it; more of them share more loads. AVX-512 and NEON have 32 registers, AVX2 16.
#if CK_WIDTH == 16 || CK_WIDTH == 4
#define CK_IS_TALL 1
enum { strip_rows = 12 };
#else
#define CK_IS_TALL 0
enum { strip_rows = 6 };
#endif

// A row's weights are summed in so many lanes, key by key in turn, in every width.
enum { weight_lanes = 16, weight_vectors = weight_lanes / CK_WIDTH };

enum { tile_rows = ck_attention_rows, tile_keys = ck_attention_keys };

CK_INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
CK_INLINE ptrdiff_t clamp(ptrdiff_t x, ptrdiff_t high) { return x < 0 ? 0 : x > high ? high : x; }
CK_INLINE ptrdiff_t tiles_of(ptrdiff_t count, ptrdiff_t size) { return (count + size - 1) / size; }

#include "attention_units.h"

typedef struct {
  ptrdiff_t group, dim, units, padded;  // N / K, D, D in units, D in whole panels
  int rounded;                          // whether f32 operands are rounded to bf16
  float soft_cap;                       // of the scores; 0: none
  // The pair of tiles at hand: query rows (position after position, the heads of the group next to
  // each other) and keys. Row r sits at key `position + r / group` of the tile, counted from its
  // first key, and sees `window` keys back (0: all).
  ptrdiff_t rows, keys, position, window;
  // Of the query tile.
  float *q, *d_out;              // [rows, D]: scaled queries; d_out; left operands
  float *q_right, *d_out_right;  // the same as right operands
  float *o;                      // [rows, D]: out, or d_query
  uint32_t started;              // for each strip of rows, whether its part of o holds anything yet
  float *row_max, *row_sum;      // [rows]; [rows, weight_lanes]
  float *log_sum, *delta;        // [rows]: log-sum-exp; rowsum(d_out * out)
  // Of the key tile, in the slot at hand.
  float *kt, *vt;                // [D, keys], right operands
  float *k;                      // [keys, D], right operand: keys in backward, values in forward
  float *dk, *dv;                // [keys, D]
  // Of the pair.
  float *p, *dp;                 // [rows, keys]: scores, then probabilities; their gradients
  float *w;                      // [rows, keys], left operand: p in forward, dp in backward
  float *p_right, *dp_right;     // [rows, keys], the rows being the depth
  // The keys of the tile that a row sees: first ..< end; both grow with the row.
  int32_t first[tile_rows], end[tile_rows];
  // Slots for key tiles: number 0 is for whatever is at hand, 1 ... slot_count stay packed.
  float *slots;
  ptrdiff_t slot_floats, slot_count;
} attention_tile;

CK_INLINE void use_slot(attention_tile *t, ptrdiff_t slot) {
  ptrdiff_t operand = tile_keys / unit_elements * t->padded;
  t->kt = t->slots + slot * t->slot_floats;
  t->k = t->kt + operand;
  t->vt = t->k + operand;
  t->dk = t->vt + operand;
  t->dv = t->dk + tile_keys * t->padded;
}

static attention_tile make_tile(const ck_attention *a, int backward, float *scratch) {
  attention_tile t = {0};
  float *start = scratch;
  t.group = a->heads / a->key_value_heads;
  t.dim = a->head_dim;
  t.units = units_of(t.dim);
  t.padded = tiles_of(t.dim, CK_PANEL) * CK_PANEL;
  t.rounded = a->rounded;
  t.soft_cap = a->soft_cap;
  float **by_rows[] = {&t.q, &t.d_out, &t.o};
  float **by_both[] = {&t.p, &t.dp};
  float **by_row[] = {&t.row_max, &t.log_sum, &t.delta};
  for (int i = 0; i < 3; i++) *by_rows[i] = scratch, scratch += tile_rows * t.padded;
  for (int i = 0; i < 2; i++) *by_both[i] = scratch, scratch += tile_rows * tile_keys;
  for (int i = 0; i < 3; i++) *by_row[i] = scratch, scratch += tile_rows;
  t.row_sum = scratch, scratch += tile_rows * weight_lanes;
#if CK_PAIRS
  float **right[] = {&t.q_right, &t.d_out_right};
  float **weights[] = {&t.w, &t.p_right, &t.dp_right};
  for (int i = 0; i < 2; i++) *right[i] = scratch, scratch += tile_rows / 2 * t.padded;
  for (int i = 0; i < 3; i++) *weights[i] = scratch, scratch += tile_rows * tile_keys / 2;
#else
  t.q_right = t.q, t.d_out_right = t.d_out;
  t.w = backward ? t.dp : t.p;
  t.p_right = t.p, t.dp_right = t.dp;
#endif
  ptrdiff_t operands = (backward ? 3 : 2) * tile_keys / unit_elements;
  t.slots = scratch;
  t.slot_floats = (operands + (backward ? 2 * tile_keys : 0)) * t.padded;
  t.slot_count = (a->scratch_floats - (scratch - start)) / t.slot_floats - 1;
  use_slot(&t, 0);
  return t;
}

// Which keys each row of the pair sees; the one behind an odd last row none.
static void find_seen_keys(attention_tile *t) {
  for (ptrdiff_t row = 0, position = t->position; row < t->rows; position++) {
    int32_t end = (int32_t)clamp(position + 1, t->keys);
    int32_t first = t->window == 0 ? 0 : (int32_t)clamp(position + 1 - t->window, t->keys);
    for (ptrdiff_t head = 0; head < t->group; head++, row++) {
      t->first[row] = first, t->end[row] = end;
    }
  }
  if (t->rows < tile_rows) t->first[t->rows] = t->end[t->rows] = 0;
}

// Rows that are multiplied at a time, and the keys that one of them sees.
typedef struct {
  ptrdiff_t row, height;
  ptrdiff_t first, end;  // the keys
  ptrdiff_t from, to;    // the same in whole panels
  ptrdiff_t place;       // their row in p and dp
  int adding;            // whether o holds a sum for them already
} tile_strip;

CK_INLINE tile_strip strip_of(const attention_tile *t, ptrdiff_t row, int kept) {
  tile_strip s = {.row = row, .height = least(strip_rows, t->rows - row), .place = kept ? row : 0};
  s.adding = t->started >> row / strip_rows & 1;
  s.first = t->first[row];
  s.end = t->end[row + s.height - 1];
  s.from = s.first / CK_PANEL * CK_PANEL;
  s.to = tiles_of(s.end, CK_PANEL) * CK_PANEL;
  return s;
}

// Query rows that come next, [positions, columns] in each matrix: fetched to the second-level
// cache, strip by strip, while others are multiplied.
typedef struct {
  ck_matrix rows[3];
  ptrdiff_t positions, columns;
} next_queries;

CK_INLINE void prefetch_strip(const attention_tile *t, const next_queries *next, ptrdiff_t row) {
  ptrdiff_t end = least(tiles_of(row + strip_rows, t->group), next->positions);
  for (ptrdiff_t position = tiles_of(row, t->group); position < end; position++) {
    for (int i = 0; i < 3 && next->rows[i].base != NULL; i++) {
      const float *from = next->rows[i].base + position * next->rows[i].stride;
      for (ptrdiff_t c = 0; c < next->columns; c += 16) __builtin_prefetch(from + c, 0, 2);
    }
  }
}

// Rows [rows, columns] into a tile as a right operand whose depth they are.
static void pack_rows(
    const attention_tile *t, float *tile, ck_matrix source, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t unit = 0; unit < units_of(rows); unit++) {
    const float *row[unit_elements];
    for (int i = 0; i < unit_elements; i++) {
      ptrdiff_t index = unit * unit_elements + i;
      row[i] = index < rows ? source.base + index * source.stride : NULL;
    }
    for (ptrdiff_t c = 0; c < t->padded; c += CK_PANEL) {
      vf low[unit_elements], high[unit_elements];
      for (int i = 0; i < unit_elements; i++) load_panel(row[i], c, columns, &low[i], &high[i]);
      store_columns(tile, tile_keys / unit_elements, unit, c, low, t->rounded);
      store_columns(tile, tile_keys / unit_elements, unit, c + CK_WIDTH, high, t->rounded);
    }
  }
}

// The heads of a group at `rows / group` positions, as left operand, and as right operand where
// `right` is another tile.
static void pack_queries(
    const attention_tile *t, float *left, float *right, ck_matrix source, float factor) {
  ptrdiff_t head = 0;
  const float *position = source.base;
  for (ptrdiff_t unit = 0; unit < units_of(t->rows); unit++) {
    const float *row[unit_elements];
    for (int i = 0; i < unit_elements; i++) {
      row[i] = unit * unit_elements + i < t->rows ? position + head * t->dim : NULL;
      if (++head == t->group) head = 0, position += source.stride;
    }
    for (ptrdiff_t c = 0; c < t->padded; c += CK_PANEL) {
      vf low[unit_elements], high[unit_elements];
      for (int i = 0; i < unit_elements; i++) {
        load_panel(row[i], c, t->dim, &low[i], &high[i]);
        low[i] *= vf_set(factor);
        high[i] *= vf_set(factor);
        store_row(left, tile_rows, unit * unit_elements + i, c, low[i], high[i], t->rounded);
      }
      if (right != left && right != NULL) {
        store_columns(right, tile_rows / unit_elements, unit, c, low, t->rounded);
        store_columns(right, tile_rows / unit_elements, unit, c + CK_WIDTH, high, t->rounded);
      }
    }
  }
}

// CK_WIDTH by CK_WIDTH floats, rows and columns exchanged: log2(CK_WIDTH) perfect shuffles.
CK_INLINE void transpose(vf rows[CK_WIDTH]) {
#if CK_WIDTH > 1
#pragma clang loop unroll(full)
  for (int step = 1; step < CK_WIDTH; step *= 2) {
    vf shuffled[CK_WIDTH];
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_WIDTH / 2; i++) {
      shuffled[2 * i] = CK_LOW(rows[i], rows[i + CK_WIDTH / 2]);
      shuffled[2 * i + 1] = CK_HIGH(rows[i], rows[i + CK_WIDTH / 2]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < CK_WIDTH; i++) rows[i] = shuffled[i];
  }
#else
  (void)rows;
#endif
}

// Rows [keys, D] into a tile [D, keys], a right operand.
static void pack_transposed(
    const attention_tile *t, float *tile, ck_matrix source, ptrdiff_t keys) {
  for (ptrdiff_t key = 0; key < keys; key += CK_WIDTH) {
    float *to = tile + key / CK_PANEL * CK_PANEL * t->units + key % CK_PANEL;
    CK_FOR_COLUMNS(unit, lanes, t->units) {
      vf block[CK_WIDTH];
      for (ptrdiff_t i = 0; i < CK_WIDTH; i++) {
        const float *row = key + i < keys ? source.base + (key + i) * source.stride : NULL;
        block[i] = load_units(row, unit, t->dim, t->rounded);
      }
      transpose(block);
      for (ptrdiff_t i = 0; i < lanes; i++) vf_store(to + (unit + i) * CK_PANEL, block[i]);
    }
  }
  // The second half of the last panel, where the keys end in the first.
  if ((keys + CK_WIDTH - 1) / CK_WIDTH % 2 == 1) {
    float *to = tile + keys / CK_PANEL * CK_PANEL * t->units + CK_WIDTH;
    for (ptrdiff_t unit = 0; unit < t->units; unit++) vf_store(to + unit * CK_PANEL, vf_set(0));
  }
}
