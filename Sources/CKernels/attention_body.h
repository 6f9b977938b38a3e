// Forward of attention, softmax fused into the products. Included by bodies.h once per instruction
// set, after attention_tile.h.
//
// S = q K^T / sqrt(D) tile by tile with a running maximum m and sum l per row (Milakov, Gimelshein:
// "Online normalizer calculation for softmax", 2018; Dao et al.: "FlashAttention", 2022); no more
// than a strip of S exists at a time.

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

CK_INLINE ptrdiff_t key_tiles_of(const ck_attention *a, ptrdiff_t sequence) {
  return tiles_of(a->key_offsets[sequence + 1] - a->key_offsets[sequence], tile_keys);
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

// The vector of a row's sums that takes the weights of a panel's half: key k goes to lane
// k % weight_lanes. `panel` is the panel's first key; a constant where panels are as wide as that.
CK_INLINE ptrdiff_t weight_vector(ptrdiff_t panel, ptrdiff_t half) {
  ptrdiff_t key = (CK_PANEL < weight_lanes ? panel : 0) + half * CK_WIDTH;
  return key % weight_lanes / CK_WIDTH;
}

CK_INLINE float sum_of_weights(const attention_tile *t, ptrdiff_t row) {
  vf sums[weight_vectors];
  memcpy(sums, t->row_sum + row * weight_lanes, sizeof sums);
  return vf_total(sums, weight_vectors);
}

// A row's weights p = exp(S - m) over `panels` panels of keys, into w. Where m, which comes from
// the keys so far, lies more than 8 below the greatest of these, it moves there, and o shrinks to
// match. To be near the greatest is all that is asked of m, since p and their sum have f32's range,
// and mostly the m of a row's first keys is. With p rounded, m is the greatest: a key that has
// nearly all the weight then has a p of 1, which rounding leaves alone.
CK_INLINE void softmax_row(
    attention_tile *t, const tile_strip *s, ptrdiff_t i, const ptrdiff_t panels) {
  const vf hidden = vf_set(-1e30f);
  ptrdiff_t row = s->row + i, first = t->first[row], end = t->end[row];
  const float *p = t->p + place(tile_rows, s->place + i, s->from);
  vf scores[tile_keys / CK_WIDTH];
  for (ptrdiff_t j = 0; j < panels; j++) {
    scores[2 * j] = vf_load(p + j * tile_rows * CK_PANEL);
    scores[2 * j + 1] = vf_load(p + j * tile_rows * CK_PANEL + CK_WIDTH);
  }
  for (ptrdiff_t j = 0; t->soft_cap != 0 && j < 2 * panels; j++) {
    scores[j] = soft_cap(scores[j], t->soft_cap);
  }
  if (first > s->from || end < s->to) {
    for (ptrdiff_t j = 0; j < 2 * panels; j++) {
      vi seen = between(s->from + j * CK_WIDTH, first, end);
      scores[j] = vf_select(seen, scores[j], hidden);
    }
  }
  vf greatest = vf_max(scores[0], scores[1]);
  for (ptrdiff_t j = 2; j < 2 * panels; j++) greatest = vf_max(greatest, scores[j]);
  // A row that sees nothing here may not have an m yet.
  float m = first < end ? t->row_max[row] : 0, largest = vf_greatest(greatest);
  vf sums[weight_vectors];
  memcpy(sums, t->row_sum + row * weight_lanes, sizeof sums);
  if (largest > m + (t->rounded || CK_PAIRS ? 0 : 8)) {
    vf shrink = vf_exp_weight(vf_set(m - largest));
    t->row_max[row] = m = largest;
    for (int j = 0; j < weight_vectors; j++) sums[j] *= shrink;
    for (ptrdiff_t c = 0; s->adding && c < t->padded; c += CK_WIDTH) {
      float *o = t->o + place(tile_rows, row, c);
      vf_store(o, vf_load(o) * shrink);
    }
  }
  for (ptrdiff_t j = 0; j < panels; j++) {
    vf low = vf_exp_weight(scores[2 * j] - vf_set(m));
    vf high = vf_exp_weight(scores[2 * j + 1] - vf_set(m));
    store_row(
        t->w, tile_rows, s->place + i, s->from + j * CK_PANEL, low, high, t->rounded);
    sums[weight_vector(s->from + j * CK_PANEL, 0)] += low;
    sums[weight_vector(s->from + j * CK_PANEL, 1)] += high;
  }
  memcpy(t->row_sum + row * weight_lanes, sums, sizeof sums);
}

static void softmax_step(attention_tile *t, const tile_strip *s) {
  ptrdiff_t panels = (s->to - s->from) / CK_PANEL;
  for (ptrdiff_t i = 0; i < s->height; i++) {
    if (panels == 1) {
      softmax_row(t, s, i, 1);
    } else if (panels == tile_keys / CK_PANEL) {
      softmax_row(t, s, i, tile_keys / CK_PANEL);
    } else {
      softmax_row(t, s, i, panels);
    }
  }
}

static void load_keys_and_values(attention_tile *t, const key_tile *keys) {
  pack_transposed(t, t->kt, keys->key, keys->count);
  pack_rows(t, t->k, keys->value, keys->count, t->dim);
}

// One pair of tiles: o += exp(S - m) V. A strip of rows goes through all steps while it is in the
// first-level cache.
static void attend(
    attention_tile *t, const ck_attention *a, query_tile q, const key_tile *keys,
    const next_queries *next) {
  pair_up(t, a, q, keys);
  for (ptrdiff_t row = 0; row < t->rows; row += strip_rows) {
    tile_strip s = strip_of(t, row, 0);
    if (s.from >= s.to) continue;
    if (next != NULL && !s.adding) prefetch_strip(t, next, row);
    multiply_scores(t, &s, t->q, t->kt, t->p);
    softmax_step(t, &s);
    multiply_weights(t, &s, t->k);
  }
}

// Those of the query tile behind `tile`: of the same head, or of the next one.
static next_queries queries_after(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile, ptrdiff_t group,
    int backward) {
  next_queries next = {.columns = group * a->head_dim};
  ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
  tile++;
  if (tile >= tiles_of(count, ck_attention_positions(group))) tile = 0, head++;
  if (head == a->key_value_heads) head = 0, sequence++;
  if (sequence == a->sequence_count) return next;
  query_tile q = queries_of(a, sequence, tile, group);
  ptrdiff_t column = head * next.columns;
  next.positions = q.count;
  next.rows[0] = at(a->query, q.row, column);
  if (backward) next.rows[1] = at(a->d_out, q.row, column);
  if (backward && !a->gated) next.rows[2] = at(a->out, q.row, column);
  return next;
}

// o = sum of exp(S - m) V, row_max = m and row_sum = sum of exp(S - m), over all keys; t->q holds
// the scaled queries. The sequence's tiles before `packed` lie in slots of their own already, where
// the caller keeps them; it is NULL where not.
static void attend_all(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, query_tile q,
    ptrdiff_t *packed, const next_queries *next) {
  for (ptrdiff_t row = 0; row < t->rows; row++) t->row_max[row] = -1e30f;
  memset(t->row_sum, 0, sizeof(float) * (size_t)(t->rows * weight_lanes));
  t->started = 0;
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    load_keys_and_values(t, &keys);
    attend(t, a, q, &keys, next);
  }
  for (ptrdiff_t index = q.first_tile; index < q.end_tile; index++) {
    key_tile keys = sequence_keys(a, sequence, head, index);
    if (packed != NULL) use_slot(t, index + 1);
    if (packed == NULL || index >= *packed) load_keys_and_values(t, &keys);
    if (packed != NULL && index >= *packed) *packed = index + 1;
    attend(t, a, q, &keys, next);
  }
  use_slot(t, 0);
}

// Generation: one position of `group` heads, each key read once where it lies. A tile's rows are
// plain rows of D floats here, and a row of p is tile_keys long.
static void attend_single(attention_tile *t, const key_tile *keys, ptrdiff_t first) {
  const int rounded = t->rounded || CK_PAIRS;
  for (ptrdiff_t head = 0; head < t->group; head++) {
    const float *query = t->q + head * t->padded;
    float *p = t->p + head * tile_keys, *o = t->o + head * t->padded;
    float m = t->row_max[head];
    for (ptrdiff_t key = first; key < keys->count; key++) {
      const float *k = keys->key.base + key * keys->key.stride;
      vf sums[sum_vectors];
      vf_clear(sums, sum_vectors);
      CK_FOR_SUMS(c, j, lanes, t->dim, {
        vf element = rounded_factor(load_lanes(k + c, lanes), rounded);
        sums[j] = vf_fma(load_lanes(query + c, lanes), element, sums[j]);
      });
      p[key] = vf_total(sums, sum_vectors);
      if (t->soft_cap != 0) p[key] = vf_lane(soft_cap(vf_set(p[key]), t->soft_cap), 0);
      if (p[key] > m) m = p[key];
    }
    float shrink = vf_lane(vf_exp(vf_set(t->row_max[head] - m)), 0), sum = 0;
    for (ptrdiff_t key = first; key < keys->count; key += CK_WIDTH) {
      ptrdiff_t lanes = least(CK_WIDTH, keys->count - key);
      vf weights = vf_exp(load_lanes(p + key, lanes) - vf_set(m));
      store_lanes(p + key, weights, lanes);
      // In the order of keys.
      for (ptrdiff_t lane = 0; lane < lanes; lane++) sum += p[key + lane];
      store_lanes(p + key, rounded_factor(weights, rounded), lanes);
    }
    t->row_max[head] = m;
    t->row_sum[head] = t->row_sum[head] * shrink + sum;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      vf total = load_lanes(o + c, lanes) * vf_set(shrink);
      for (ptrdiff_t key = first; key < keys->count; key++) {
        const float *v = keys->value.base + key * keys->value.stride + c;
        total = vf_fma(vf_set(p[key]), rounded_factor(load_lanes(v, lanes), rounded), total);
      }
      store_lanes(o + c, total, lanes);
    }
  }
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
    t->row_max[g] = -1e30f, t->row_sum[g] = 0;  // a number a row here
    for (ptrdiff_t d = 0; d < t->dim; d++) {
      vf scaled = vf_set(query.base[g * t->dim + d] * a->scale);
      t->q[g * t->padded + d] = vf_lane(rounded_factor(scaled, t->rounded || CK_PAIRS), 0);
      t->o[g * t->padded + d] = 0;
    }
  }
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    attend_single(t, &keys, first_seen(a, q, &keys));
  }
  for (ptrdiff_t tile = q.first_tile; tile < q.end_tile; tile++) {
    key_tile keys = sequence_keys(a, sequence, head, tile);
    attend_single(t, &keys, first_seen(a, q, &keys));
  }
}

static void store_queries(
    const attention_tile *t, const ck_attention *a, ptrdiff_t head, query_tile q, int single) {
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    ptrdiff_t position = q.row + row / t->group, h = head * t->group + row % t->group;
    float *out = a->out.base + position * a->out.stride + h * t->dim;
    float sum = single ? t->row_sum[row] : sum_of_weights(t, row);
    float factor = (a->gated ? a->gate : 1) / sum;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      const float *o = t->o + (single ? row * t->padded + c : place(tile_rows, row, c));
      vf v = load_lanes(o, lanes) * vf_set(factor);
      if (a->gated) v += load_lanes(out + c, lanes);
      store_lanes(out + c, v, lanes);
    }
    if (!a->gated) {
      a->log_sum_exp.base[position * a->log_sum_exp.stride + h] =
          t->row_max[row] + (float)ck_real_log(sum);
    }
  }
}

// Query tiles first_tile ..< end_tile. Where there is more than one, and room, the sequence's keys
// are packed once for all.
static void attention_forward(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t first_tile,
    ptrdiff_t end_tile, float *scratch) {
  attention_tile t = make_tile(a, 0, scratch);
  int single = a->query_offsets[sequence + 1] - a->query_offsets[sequence] == 1;
  ptrdiff_t packed = queries_of(a, sequence, first_tile, t.group).first_tile;
  int is_kept = end_tile - first_tile > 1 && key_tiles_of(a, sequence) <= t.slot_count;
  for (ptrdiff_t tile = first_tile; tile < end_tile; tile++) {
    query_tile q = queries_of(a, sequence, tile, t.group);
    t.rows = q.count * t.group;
    if (single) {
      attend_all_single(&t, a, sequence, head, q);
    } else {
      pack_queries(&t, t.q, NULL, at(a->query, q.row, head * t.group * t.dim), a->scale);
      next_queries next = queries_after(a, sequence, head, tile, t.group, 0);
      attend_all(&t, a, sequence, head, q, is_kept ? &packed : NULL, &next);
    }
    store_queries(&t, a, head, q, single);
  }
}
