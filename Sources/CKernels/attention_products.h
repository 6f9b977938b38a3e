// The products between tiles of attention, a strip of rows at a time. Included by bodies.h once per
// instruction set, after attention_tile.h.
//
// Sums stay in registers over the whole depth of a tile: each element is one chain of fused
// multiply-adds along it, in ascending order, and then added to what other tiles gave. Rows and keys
// that do not see each other are left out, in whole panels of keys where scores are computed and to
// the strip elsewhere; where they are not, they add zero. So tiles, whose shape is the same in every
// width, decide the order of sums, and panels and strips do not.

// c [rows, panel] (+)= a [rows, from ..< to] b [from ..< to, panel], up to strip_rows rows. The
// panels of a are a_panel floats apart.
CK_INLINE void multiply_rows(
    const int rows, const float *a, ptrdiff_t a_panel, const float *b, float *c, ptrdiff_t from,
    ptrdiff_t to, int adding) {
  vf sums[strip_rows][2];
  for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = vf_set(0);
  for (ptrdiff_t u = from, end; u < to; u = end) {
    const float *ap = a + u / CK_PANEL * a_panel - u / CK_PANEL * CK_PANEL;
    end = least(to, (u / CK_PANEL + 1) * CK_PANEL);
    for (; u < end; u++) {
      vf b0 = vf_load(b + u * CK_PANEL), b1 = vf_load(b + u * CK_PANEL + CK_WIDTH);
#pragma clang loop unroll(full)
      for (int r = 0; r < rows; r++) {
        vf unit = vf_set(ap[r * CK_PANEL + u]);
        sums[r][0] = multiply_add(unit, b0, sums[r][0]);
        sums[r][1] = multiply_add(unit, b1, sums[r][1]);
      }
    }
  }
  for (int r = 0; r < rows; r++) {
    float *to0 = c + r * CK_PANEL, *to1 = to0 + CK_WIDTH;
    vf_store(to0, adding ? vf_load(to0) + sums[r][0] : sums[r][0]);
    vf_store(to1, adding ? vf_load(to1) + sums[r][1] : sums[r][1]);
  }
}

// c [columns, panel] += a[from ..< to, columns]^T b [from ..< to, panel], up to strip_rows columns
// of one panel of a.
CK_INLINE void multiply_columns(
    const int columns, const float *a, const float *b, float *c, ptrdiff_t from, ptrdiff_t to) {
  vf sums[strip_rows][2];
  for (int r = 0; r < columns; r++) sums[r][0] = sums[r][1] = vf_set(0);
  for (ptrdiff_t u = from; u < to; u++) {
    vf b0 = vf_load(b + u * CK_PANEL), b1 = vf_load(b + u * CK_PANEL + CK_WIDTH);
#pragma clang loop unroll(full)
    for (int r = 0; r < columns; r++) {
      vf unit = vf_set(a[u * CK_PANEL + r]);
      sums[r][0] = multiply_add(unit, b0, sums[r][0]);
      sums[r][1] = multiply_add(unit, b1, sums[r][1]);
    }
  }
  for (int r = 0; r < columns; r++) {
    float *to0 = c + r * CK_PANEL, *to1 = to0 + CK_WIDTH;
    vf_store(to0, vf_load(to0) + sums[r][0]);
    vf_store(to1, vf_load(to1) + sums[r][1]);
  }
}

// A strip of whatever height; each height is its own code.
#if CK_IS_TALL
#define CK_TALL(function, ...)                      \
  case 12: function(12, __VA_ARGS__); break;        \
  case 11: function(11, __VA_ARGS__); break;        \
  case 10: function(10, __VA_ARGS__); break;        \
  case 9: function(9, __VA_ARGS__); break;          \
  case 8: function(8, __VA_ARGS__); break;          \
  case 7: function(7, __VA_ARGS__); break;
#else
#define CK_TALL(function, ...)
#endif
#define CK_PER_HEIGHT(height, function, ...)        \
  switch (height) {                                 \
    CK_TALL(function, __VA_ARGS__)                  \
    case 6: function(6, __VA_ARGS__); break;        \
    case 5: function(5, __VA_ARGS__); break;        \
    case 4: function(4, __VA_ARGS__); break;        \
    case 3: function(3, __VA_ARGS__); break;        \
    case 2: function(2, __VA_ARGS__); break;        \
    default: function(1, __VA_ARGS__); break;       \
  }

// scores [height, keys] = x [height, D] transposed_keys [D, keys], where somebody sees them.
static void multiply_scores(
    const attention_tile *t, const tile_strip *s, const float *x, const float *transposed_keys,
    float *scores) {
  for (ptrdiff_t key = s->from; key < s->to; key += CK_PANEL) {
    const float *panel = transposed_keys + key * t->units;
    float *to = scores + place(tile_rows, s->place, key);
    CK_PER_HEIGHT(
        s->height, multiply_rows, x + s->row * CK_PANEL, tile_rows * CK_PANEL, panel, to, 0,
        t->units, 0)
  }
}

// o [height, D] (+)= w [height, keys] x [keys, D]; weights are 0 where a row does not see.
static void multiply_weights(attention_tile *t, const tile_strip *s, const float *x) {
  t->started |= 1u << s->row / strip_rows;
  ptrdiff_t from = s->from / unit_elements, to = units_of(s->end);
  for (ptrdiff_t column = 0; column < t->padded; column += CK_PANEL) {
    const float *panel = x + column * (tile_keys / unit_elements);
    float *to_panel = t->o + place(tile_rows, s->row, column);
    CK_PER_HEIGHT(
        s->height, multiply_rows, t->w + s->place * CK_PANEL, tile_rows * CK_PANEL, panel, to_panel,
        from, to, s->adding)
  }
}

// result [keys, D] += weights [rows, keys]^T x [rows, D].
static void multiply_weights_transposed(
    const attention_tile *t, const float *weights, const float *x, float *result) {
  for (ptrdiff_t column = 0; column < t->padded; column += CK_PANEL) {
    const float *panel = x + column * (tile_rows / unit_elements);
    for (ptrdiff_t key = 0, height; key < t->keys; key += height) {
      height = least(strip_rows, CK_PANEL - key % CK_PANEL);
      height = least(height, t->keys - key);
      // The rows that see one of these keys.
      ptrdiff_t from = clamp(key - t->position, t->rows) * t->group, to = t->rows;
      if (t->window != 0) {
        to = least(to, clamp(key + height - 1 + t->window - t->position, t->rows) * t->group);
      }
      if (from >= to) continue;
      const float *w = weights + place(tile_rows / unit_elements, 0, key);
      float *r = result + place(tile_keys, key, column);
      CK_PER_HEIGHT(
          height, multiply_columns, w, panel, r, from / unit_elements, units_of(to))
    }
  }
}
