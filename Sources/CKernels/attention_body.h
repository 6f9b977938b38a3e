// Forward of attention, softmax fused into the products. Included by bodies.h once per instruction
// set, after attention_tile.h.
//
// S = q K^T / sqrt(D) tile by tile with a running maximum m and sum l per row (Milakov, Gimelshein:
// "Online normalizer calculation for softmax", 2018; Dao et al.: "FlashAttention", 2022); no more
// than one tile of S exists at a time.

// A tile of keys and values: `index` counts the prefix's tiles, then the sequence's.
typedef struct {
  ck_matrix key, value;
  ptrdiff_t count;
  ptrdiff_t first;   // key position of its first key; the prefix ends before 0
  int is_prefix;
} key_tile;

CK_INLINE ck_matrix at(ck_matrix m, ptrdiff_t row, ptrdiff_t column) {
  return (ck_matrix){m.base + row * m.stride + column, m.stride};
}

CK_INLINE ptrdiff_t tiles_of(ptrdiff_t count, ptrdiff_t size) { return (count + size - 1) / size; }

CK_INLINE key_tile prefix_keys(
    const ck_attention *a, ptrdiff_t head, ptrdiff_t first, ptrdiff_t size) {
  key_tile tile = {
      .key = at(a->prefix_key, first, head * a->head_dim),
      .value = at(a->prefix_value, first, head * a->head_dim),
      .count = least(size, a->prefix_count - first),
      .first = first - a->prefix_count,
      .is_prefix = 1};
  return tile;
}

CK_INLINE key_tile sequence_keys(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t index) {
  ptrdiff_t start = a->key_offsets[sequence], end = a->key_offsets[sequence + 1];
  ptrdiff_t first = index * tile_keys;
  key_tile tile = {
      .key = at(a->key, start + first, head * a->head_dim),
      .value = at(a->value, start + first, head * a->head_dim),
      .count = least(tile_keys, end - start - first),
      .first = first};
  return tile;
}

// Where the rows of a query tile lie.
typedef struct {
  ptrdiff_t row, count;  // first row of the query matrix, number of positions
  ptrdiff_t position;    // key position of the first
  ptrdiff_t first_tile, end_tile;  // tiles of the sequence's keys that some row sees
} query_tile;

CK_INLINE query_tile queries_of(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t tile, ptrdiff_t group) {
  ptrdiff_t start = a->query_offsets[sequence], end = a->query_offsets[sequence + 1];
  ptrdiff_t keys = a->key_offsets[sequence + 1] - a->key_offsets[sequence];
  ptrdiff_t positions = ck_attention_positions(group);
  query_tile q = {.row = start + tile * positions};
  q.count = least(positions, end - q.row);
  q.position = keys - (end - q.row);
  if (keys > 0) {
    q.first_tile = a->window == 0 ? 0 : clamp(q.position + 1 - a->window, keys) / tile_keys;
    q.end_tile = (q.position + q.count - 1) / tile_keys + 1;
  }
  return q;
}

// The pair of a query tile and a key tile. Gated rows are seen from everywhere.
CK_INLINE void pair_up(
    attention_tile *t, const ck_attention *a, query_tile q, const key_tile *keys) {
  t->rows = q.count * t->group;
  t->keys = keys->count;
  t->position = a->gated ? tile_keys + t->rows : q.position - keys->first;
  t->window = a->gated ? 0 : a->window;
  find_seen_keys(t);
}

// -1 in the lanes whose column, counted from `column` on, is in first ..< end.
CK_INLINE vi between(ptrdiff_t column, ptrdiff_t first, ptrdiff_t end) {
  int32_t lanes[CK_WIDTH];
  for (int i = 0; i < CK_WIDTH; i++) {
    lanes[i] = column + i >= first && column + i < end ? -1 : 0;
  }
  vi mask;
  memcpy(&mask, lanes, sizeof mask);
  return mask;
}

// p = exp(S - m) with the rows' maxima moved on, and the rows of o shrunk to match.
static void softmax_step(attention_tile *t) {
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    ptrdiff_t strip = row / strip_rows * strip_rows;
    ptrdiff_t strip_end = least(strip + strip_rows, t->rows) - 1;
    // Panels of this strip, and the row's own keys.
    ptrdiff_t from = t->first[strip] / CK_PANEL * CK_PANEL;
    ptrdiff_t to = tiles_of(t->end[strip_end], CK_PANEL) * CK_PANEL;
    ptrdiff_t first = t->first[row], end = t->end[row];
    float *p = t->p + row * CK_PANEL;
    if (first >= end) {
      for (ptrdiff_t c = from; c < to; c += CK_WIDTH) {
        vf_store(p + c / CK_PANEL * CK_PANEL * tile_rows + c % CK_PANEL, vf_set(0));
      }
      continue;
    }
    const vf hidden = vf_set(-1e30f);
    vf greatest = hidden;
    for (ptrdiff_t c = from; c < to; c += CK_WIDTH) {
      float *at = p + c / CK_PANEL * CK_PANEL * tile_rows + c % CK_PANEL;
      vf s = vf_load(at);
      if (c < first || c + CK_WIDTH > end) {
        s = vf_select(between(c, first, end), s, hidden);
        vf_store(at, s);
      }
      greatest = vf_max(greatest, s);
    }
    float old = t->row_max[row], m = vf_greatest(greatest);
    if (m < old) m = old;
    vf sum = vf_set(0);
    for (ptrdiff_t c = from; c < to; c += CK_WIDTH) {
      float *at = p + c / CK_PANEL * CK_PANEL * tile_rows + c % CK_PANEL;
      vf v = vf_exp_negative(vf_load(at) - vf_set(m));
      vf_store(at, v);
      sum += v;
    }
    float shrink = 1;
    if (old != m) {
      shrink = expf(old - m);
      t->row_max[row] = m;
      if (shrink != 0) {
        for (ptrdiff_t c = 0; c < t->padded; c += CK_WIDTH) {
          float *o = t->o + c / CK_PANEL * CK_PANEL * tile_rows + row * CK_PANEL + c % CK_PANEL;
          vf_store(o, vf_load(o) * vf_set(shrink));
        }
      }
    }
    t->row_sum[row] = t->row_sum[row] * shrink + vf_sum(sum);
  }
}

// One pair of tiles: o += exp(S - m) V.
static void attend(
    attention_tile *t, const ck_attention *a, query_tile q, const key_tile *keys) {
  pair_up(t, a, q, keys);
  pack_transposed(t->kt, keys->key, keys->count, t->dim);
  pack_rows(t->k, keys->value, keys->count, t->dim, 1);
  multiply_scores(t, t->q, t->kt, t->p);
  softmax_step(t);
  multiply_weights(t, t->p, t->k, t->o, 1);
}

// o = sum of exp(S - m) V, row_max = m and row_sum = sum of exp(S - m), over all keys; t->q holds
// the scaled queries.
static void attend_all(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, query_tile q) {
  for (ptrdiff_t row = 0; row < tile_rows; row++) t->row_max[row] = -1e30f, t->row_sum[row] = 0;
  memset(t->o, 0, sizeof(float) * (size_t)(tile_rows * t->padded));
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    attend(t, a, q, &keys);
  }
  for (ptrdiff_t tile = q.first_tile; tile < q.end_tile; tile++) {
    key_tile keys = sequence_keys(a, sequence, head, tile);
    attend(t, a, q, &keys);
  }
}

// Generation: one position of `group` heads, each key read once where it lies. A tile's rows are
// plain rows of D floats here, and a row of p is tile_keys long.
static void attend_single(attention_tile *t, ck_matrix q, const key_tile *keys, ptrdiff_t first) {
  for (ptrdiff_t head = 0; head < t->group; head++) {
    const float *query = t->q + head * t->padded;
    float *p = t->p + head * tile_keys, *o = t->o + head * t->padded;
    float m = t->row_max[head];
    for (ptrdiff_t key = first; key < keys->count; key++) {
      const float *k = keys->key.base + key * keys->key.stride;
      vf sum = vf_set(0);
      CK_FOR_COLUMNS(c, lanes, t->dim) {
        sum = vf_fma(load_lanes(query + c, lanes), load_lanes(k + c, lanes), sum);
      }
      p[key] = vf_sum(sum);
      if (p[key] > m) m = p[key];
    }
    float shrink = expf(t->row_max[head] - m), sum = 0;
    for (ptrdiff_t key = first; key < keys->count; key++) sum += p[key] = expf(p[key] - m);
    t->row_max[head] = m;
    t->row_sum[head] = t->row_sum[head] * shrink + sum;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      vf total = load_lanes(o + c, lanes) * vf_set(shrink);
      for (ptrdiff_t key = first; key < keys->count; key++) {
        const float *v = keys->value.base + key * keys->value.stride + c;
        total = vf_fma(vf_set(p[key]), load_lanes(v, lanes), total);
      }
      store_lanes(o + c, total, lanes);
    }
  }
  (void)q;
}

// The first key of a tile that a single query sees.
CK_INLINE ptrdiff_t first_seen(const ck_attention *a, query_tile q, const key_tile *keys) {
  if (a->window == 0 || a->gated) return 0;
  return clamp(q.position + 1 - a->window - keys->first, keys->count);
}

static void attend_all_single(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, query_tile q) {
  ck_matrix query = at(a->query, q.row, head * t->group * t->dim);
  for (ptrdiff_t g = 0; g < t->group; g++) {
    t->row_max[g] = -1e30f, t->row_sum[g] = 0;
    for (ptrdiff_t d = 0; d < t->dim; d++) {
      t->q[g * t->padded + d] = query.base[g * t->dim + d] * a->scale;
      t->o[g * t->padded + d] = 0;
    }
  }
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    attend_single(t, query, &keys, first_seen(a, q, &keys));
  }
  for (ptrdiff_t tile = q.first_tile; tile < q.end_tile; tile++) {
    key_tile keys = sequence_keys(a, sequence, head, tile);
    attend_single(t, query, &keys, first_seen(a, q, &keys));
  }
}

static void attention_forward(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, scratch);
  query_tile q = queries_of(a, sequence, tile, t.group);
  int single = a->query_offsets[sequence + 1] - a->query_offsets[sequence] == 1;
  t.rows = q.count * t.group;
  if (single) {
    attend_all_single(&t, a, sequence, head, q);
  } else {
    pack_queries(&t, t.q, at(a->query, q.row, head * t.group * t.dim), a->scale);
    attend_all(&t, a, sequence, head, q);
  }
  for (ptrdiff_t row = 0; row < t.rows; row++) {
    ptrdiff_t position = q.row + row / t.group, h = head * t.group + row % t.group;
    float *out = a->out.base + position * a->out.stride + h * t.dim;
    float factor = (a->gated ? a->gate : 1) / t.row_sum[row];
    CK_FOR_COLUMNS(c, lanes, t.dim) {
      const float *o = single ? t.o + row * t.padded + c
                              : t.o + c / CK_PANEL * CK_PANEL * tile_rows + row * CK_PANEL +
                                    c % CK_PANEL;
      vf v = load_lanes(o, lanes) * vf_set(factor);
      if (a->gated) v += load_lanes(out + c, lanes);
      store_lanes(out + c, v, lanes);
    }
    if (!a->gated) {
      a->log_sum_exp.base[position * a->log_sum_exp.stride + h] =
          t.row_max[row] + logf(t.row_sum[row]);
    }
  }
}
