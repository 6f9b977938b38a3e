// Tiles of attention: how they lie in scratch memory, packing, and the products between them.
// Included by bodies.h once per instruction set.
//
// A tile is stored in panels of CK_PANEL columns: element (r, c) of a tile of `rows` rows is at
// (c / CK_PANEL) * rows * CK_PANEL + r * CK_PANEL + c % CK_PANEL. Whatever its role in a product,
// left or right operand or result, it is then read and written in whole vectors, and no stride of
// the caller's maps many rows to one set of the cache. Panels are filled up with zeros.

#define CK_PANEL (2 * CK_WIDTH)
enum { strip_rows = 6, tile_rows = ck_attention_rows, tile_keys = ck_attention_keys };

typedef struct {
  ptrdiff_t group, dim, padded;  // N / K, D, D in whole panels
  // The pair of tiles at hand: query rows (position after position, the heads of the group next to
  // each other) and keys. Row r sits at key `position + r / group` of the tile, counted from its
  // first key, and sees `window` keys back (0: all).
  ptrdiff_t rows, keys, position, window;
  float *q, *d_out, *o;          // [rows, D]: scaled queries; d_out; out, or d_query
  float *kt, *vt;                // [D, keys], panels along the keys
  float *k;                      // [keys, D]: keys times scale in backward, values in forward
  float *dk, *dv;                // [keys, D]
  float *kt2, *k2;               // kt and k of a forward within backward
  float *p, *dp;                 // [rows, keys]: scores, then probabilities; their gradients
  // The keys of the tile that a row sees: first ..< end; both grow with the row.
  int32_t first[tile_rows], end[tile_rows];
  float *row_max, *row_sum;      // [rows]
  float *log_sum, *delta;        // [rows]: log-sum-exp; rowsum(d_out * out)
} attention_tile;

static attention_tile make_tile(const ck_attention *a, float *scratch) {
  attention_tile t = {0};
  t.group = a->heads / a->key_value_heads;
  t.dim = a->head_dim;
  t.padded = (t.dim + CK_PANEL - 1) / CK_PANEL * CK_PANEL;
  float **by_rows[] = {&t.q, &t.d_out, &t.o};
  float **by_keys[] = {&t.kt, &t.vt, &t.k, &t.dk, &t.dv, &t.kt2, &t.k2};
  float **by_both[] = {&t.p, &t.dp};
  float **by_row[] = {&t.row_max, &t.row_sum, &t.log_sum, &t.delta};
  for (int i = 0; i < 3; i++) *by_rows[i] = scratch, scratch += tile_rows * t.padded;
  for (int i = 0; i < 7; i++) *by_keys[i] = scratch, scratch += tile_keys * t.padded;
  for (int i = 0; i < 2; i++) *by_both[i] = scratch, scratch += tile_rows * tile_keys;
  for (int i = 0; i < 4; i++) *by_row[i] = scratch, scratch += tile_rows;
  return t;
}

CK_INLINE ptrdiff_t clamp(ptrdiff_t x, ptrdiff_t high) { return x < 0 ? 0 : x > high ? high : x; }

// Which keys each row of the pair sees.
static void find_seen_keys(attention_tile *t) {
  for (ptrdiff_t row = 0, position = t->position; row < t->rows; position++) {
    int32_t end = (int32_t)clamp(position + 1, t->keys);
    int32_t first = t->window == 0 ? 0 : (int32_t)clamp(position + 1 - t->window, t->keys);
    for (ptrdiff_t head = 0; head < t->group; head++, row++) t->first[row] = first, t->end[row] = end;
  }
}

// One row into panels of `panel_rows` rows.
CK_INLINE void pack_row(
    float *tile, ptrdiff_t panel_rows, ptrdiff_t row, const float *source, ptrdiff_t columns,
    float factor) {
  for (ptrdiff_t c = 0; c < columns; c += CK_PANEL) {
    float *to = tile + c * panel_rows + row * CK_PANEL;
    for (int half = 0; half < 2; half++) {
      ptrdiff_t left = columns - c - half * CK_WIDTH;
      vf v = vf_set(0);
      if (left >= CK_WIDTH) {
        v = vf_load(source + c + half * CK_WIDTH);
      } else if (left > 0) {
        v = vf_load_part(source + c + half * CK_WIDTH, left);
      }
      vf_store(to + half * CK_WIDTH, v * vf_set(factor));
    }
  }
}

static void pack_rows(
    float *tile, ck_matrix source, ptrdiff_t rows, ptrdiff_t columns, float factor) {
  for (ptrdiff_t row = 0; row < rows; row++) {
    pack_row(tile, tile_keys, row, source.base + row * source.stride, columns, factor);
  }
}

// The heads of a group at `rows / group` positions.
static void pack_queries(
    const attention_tile *t, float *tile, ck_matrix source, float factor) {
  for (ptrdiff_t row = 0, position = 0; row < t->rows; position++) {
    for (ptrdiff_t head = 0; head < t->group; head++, row++) {
      pack_row(
          tile, tile_rows, row, source.base + position * source.stride + head * t->dim, t->dim,
          factor);
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

// Rows [keys, columns] into a tile [columns, keys].
static void pack_transposed(float *tile, ck_matrix source, ptrdiff_t keys, ptrdiff_t columns) {
  for (ptrdiff_t key = 0; key < keys; key += CK_WIDTH) {
    float *to = tile + key / CK_PANEL * CK_PANEL * columns + key % CK_PANEL;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf block[CK_WIDTH];
      for (ptrdiff_t i = 0; i < CK_WIDTH; i++) {
        block[i] = key + i < keys
                       ? load_lanes(source.base + (key + i) * source.stride + c, lanes)
                       : vf_set(0);
      }
      transpose(block);
      for (ptrdiff_t i = 0; i < lanes; i++) vf_store(to + (c + i) * CK_PANEL, block[i]);
    }
  }
  // The second half of the last panel, where the keys end in the first.
  if ((keys + CK_WIDTH - 1) / CK_WIDTH % 2 == 1) {
    float *to = tile + keys / CK_PANEL * CK_PANEL * columns + CK_WIDTH;
    for (ptrdiff_t c = 0; c < columns; c++) vf_store(to + c * CK_PANEL, vf_set(0));
  }
}

// c [rows, panel] (+)= a [rows, from ..< to] b [from ..< to, panel], up to 6 rows. `from` is the
// start of a panel of a, whose panels are a_panel floats apart. Twelve sums of a vector each hide
// the latency of the fused multiply-add.
CK_INLINE void multiply_rows(
    const int rows, const float *a, ptrdiff_t a_panel, const float *b, float *c, ptrdiff_t from,
    ptrdiff_t to, int adding) {
  vf sums[strip_rows][2];
  for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = vf_set(0);
  for (ptrdiff_t start = from; start < to; start += CK_PANEL) {
    const float *ap = a + start / CK_PANEL * a_panel, *bp = b + start * CK_PANEL;
    ptrdiff_t count = to - start < CK_PANEL ? to - start : CK_PANEL;
    for (ptrdiff_t i = 0; i < count; i++) {
      vf b0 = vf_load(bp + i * CK_PANEL), b1 = vf_load(bp + i * CK_PANEL + CK_WIDTH);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        vf element = vf_set(ap[r * CK_PANEL + i]);
        sums[r][0] = vf_fma(element, b0, sums[r][0]);
        sums[r][1] = vf_fma(element, b1, sums[r][1]);
      }
    }
  }
  for (int r = 0; r < rows; r++) {
    float *to0 = c + r * CK_PANEL, *to1 = to0 + CK_WIDTH;
    vf_store(to0, adding ? vf_load(to0) + sums[r][0] : sums[r][0]);
    vf_store(to1, adding ? vf_load(to1) + sums[r][1] : sums[r][1]);
  }
}

// c [columns, panel] += a[from ..< to, columns]^T b [from ..< to, panel], up to 6 columns of one
// panel of a.
CK_INLINE void multiply_columns(
    const int columns, const float *a, const float *b, float *c, ptrdiff_t from, ptrdiff_t to) {
  vf sums[strip_rows][2];
  for (int r = 0; r < columns; r++) sums[r][0] = sums[r][1] = vf_set(0);
  for (ptrdiff_t i = from; i < to; i++) {
    vf b0 = vf_load(b + i * CK_PANEL), b1 = vf_load(b + i * CK_PANEL + CK_WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < columns; r++) {
      vf element = vf_set(a[i * CK_PANEL + r]);
      sums[r][0] = vf_fma(element, b0, sums[r][0]);
      sums[r][1] = vf_fma(element, b1, sums[r][1]);
    }
  }
  for (int r = 0; r < columns; r++) {
    float *to0 = c + r * CK_PANEL, *to1 = to0 + CK_WIDTH;
    vf_store(to0, vf_load(to0) + sums[r][0]);
    vf_store(to1, vf_load(to1) + sums[r][1]);
  }
}

// A strip of whatever height; each height is its own code.
#define CK_PER_HEIGHT(height, function, ...)      \
  switch (height) {                               \
    case 6: function(6, __VA_ARGS__); break;      \
    case 5: function(5, __VA_ARGS__); break;      \
    case 4: function(4, __VA_ARGS__); break;      \
    case 3: function(3, __VA_ARGS__); break;      \
    case 2: function(2, __VA_ARGS__); break;      \
    default: function(1, __VA_ARGS__); break;     \
  }

CK_INLINE ptrdiff_t least(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

// scores [rows, keys] = x [rows, D] transposed_keys [D, keys], where somebody sees them.
static void multiply_scores(
    const attention_tile *t, const float *x, const float *transposed_keys, float *scores) {
  for (ptrdiff_t key = 0; key < t->keys; key += CK_PANEL) {
    const float *panel = transposed_keys + key * t->dim;
    for (ptrdiff_t row = 0; row < t->rows; row += strip_rows) {
      ptrdiff_t height = least(strip_rows, t->rows - row);
      if (key >= t->end[row + height - 1] || key + CK_PANEL <= t->first[row]) continue;
      float *to = scores + key * tile_rows + row * CK_PANEL;
      CK_PER_HEIGHT(
          height, multiply_rows, x + row * CK_PANEL, tile_rows * CK_PANEL, panel, to, 0, t->dim, 0)
    }
  }
}

// result [rows, D] (+)= weights [rows, keys] x [keys, D]; weights are 0 where a row does not see.
static void multiply_weights(
    const attention_tile *t, const float *weights, const float *x, float *result, int adding) {
  for (ptrdiff_t column = 0; column < t->padded; column += CK_PANEL) {
    const float *panel = x + column * tile_keys;
    for (ptrdiff_t row = 0; row < t->rows; row += strip_rows) {
      ptrdiff_t height = least(strip_rows, t->rows - row);
      ptrdiff_t from = t->first[row] / CK_PANEL * CK_PANEL, to = t->end[row + height - 1];
      CK_PER_HEIGHT(
          height, multiply_rows, weights + row * CK_PANEL, tile_rows * CK_PANEL, panel,
          result + column * tile_rows + row * CK_PANEL, from, to, adding)
    }
  }
}

// result [keys, D] += weights [rows, keys]^T x [rows, D].
static void multiply_weights_transposed(
    const attention_tile *t, const float *weights, const float *x, float *result) {
  for (ptrdiff_t column = 0; column < t->padded; column += CK_PANEL) {
    const float *panel = x + column * tile_rows;
    for (ptrdiff_t key = 0, height; key < t->keys; key += height) {
      height = least(strip_rows, CK_PANEL - key % CK_PANEL);
      height = least(height, t->keys - key);
      // The rows that see one of these keys.
      ptrdiff_t from = clamp(key - t->position, t->rows) * t->group, to = t->rows;
      if (t->window != 0) {
        to = least(to, clamp(key + height - 1 + t->window - t->position, t->rows) * t->group);
      }
      if (from >= to) continue;
      const float *w = weights + key / CK_PANEL * CK_PANEL * tile_rows + key % CK_PANEL;
      float *r = result + column * tile_keys + key * CK_PANEL;
      CK_PER_HEIGHT(height, multiply_columns, w, panel, r, from, to)
    }
  }
}
