// Backward of attention. Included by bodies.h once per instruction set, after attention_body.h.
//
// Probabilities come back from the saved log-sum-exp: P = exp(S - lse). With dP = dO V^T and
// delta = rowsum(dO * O), dS = P * (dP - delta); then dV = P^T dO, dK = dS^T q / sqrt(D),
// dQ = dS K / sqrt(D). delta takes dO as rounded as dP does: where one key has all the weight, the
// two are the same number and dS is their difference. dQ sums over key tiles, dK and dV over query
// tiles, both in ascending order, whether one loop makes all three or two loops make them apart.

// Queries, d_out, log_sum and delta of a query tile. Gated attention computes its forward again,
// here; returns its sum of d_out * attention.
static double load_queries(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, query_tile q) {
  t->rows = q.count * t->group;
  ptrdiff_t column = head * t->group * t->dim;
  pack_queries(t, t->q, t->q_right, at(a->query, q.row, column), a->scale);
  pack_queries(
      t, t->d_out, t->d_out_right, at(a->d_out, q.row, column), a->gated ? a->gate : 1);
  if (a->gated) {
    // In a slot of its own, since slot 0 may hold keys.
    attention_tile again = *t;
    again.slots += t->slot_floats;
    again.w = t->p;
    use_slot(&again, 0);
    attend_all(&again, a, sequence, head, q, NULL, NULL);
  }
  double gate_sum = 0;
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    ptrdiff_t position = q.row + row / t->group, h = head * t->group + row % t->group;
    const float *d_out = a->d_out.base + position * a->d_out.stride + h * t->dim;
    vf products[sum_vectors];
    vf_clear(products, sum_vectors);
    if (a->gated) {
      CK_FOR_SUMS(c, j, lanes, t->dim, {
        const float *o = t->o + place(tile_rows, row, c);
        products[j] = vf_fma(load_lanes(d_out + c, lanes), load_lanes(o, lanes), products[j]);
      });
      float row_sum = sum_of_weights(t, row);
      float sum = vf_total(products, sum_vectors) / row_sum;
      gate_sum += (double)sum;
      t->delta[row] = sum * a->gate;
      t->log_sum[row] = t->row_max[row] + (float)ck_real_log(row_sum);
    } else {
      const float *out = a->out.base + position * a->out.stride + h * t->dim;
      CK_FOR_SUMS(c, j, lanes, t->dim, {
        vf rounded = rounded_factor(load_lanes(d_out + c, lanes), t->rounded || CK_PAIRS);
        products[j] = vf_fma(rounded, load_lanes(out + c, lanes), products[j]);
      });
      t->delta[row] = vf_total(products, sum_vectors);
      t->log_sum[row] = a->log_sum_exp.base[position * a->log_sum_exp.stride + h];
    }
  }
  return gate_sum;
}

// `for_queries`: the keys are needed as the right operand of dQ, too.
static void load_keys(attention_tile *t, const key_tile *keys, int for_queries) {
  pack_transposed(t, t->kt, keys->key, keys->count);
  pack_transposed(t, t->vt, keys->value, keys->count);
  if (for_queries) pack_rows(t, t->k, keys->key, keys->count, t->dim);
}

// p and dp of a vector of keys: P and dS from S and dP.
CK_INLINE void probabilities(
    const attention_tile *t, ptrdiff_t row, ptrdiff_t key, vf *p, vf *dp) {
  vf score = t->soft_cap == 0 ? *p : soft_cap(*p, t->soft_cap);
  *p = vf_exp_weight(score - vf_set(t->log_sum[row]));
  *dp = *p * (*dp - vf_set(t->delta[row]));
  if (t->soft_cap != 0) *dp *= soft_cap_slope(score, t->soft_cap);
  ptrdiff_t first = t->first[row], end = t->end[row];
  if (key < first || key + CK_WIDTH > end) {
    vi seen = between(key, first, end);
    *p = vf_select(seen, *p, vf_set(0));
    *dp = vf_select(seen, *dp, vf_set(0));
  }
}

// P and dS of a strip in every form that a product wants.
static void probabilities_backward(attention_tile *t, const tile_strip *s) {
  multiply_scores(t, s, t->q, t->kt, t->p);
  multiply_scores(t, s, t->d_out, t->vt, t->dp);
  const float *scores = t->p, *d_scores = t->dp;
  float *w = t->w, *p_right = t->p_right, *dp_right = t->dp_right;
  const ptrdiff_t units = tile_rows / unit_elements;
  const int rounded = t->rounded;
  for (ptrdiff_t i = 0; i < s->height; i += unit_elements) {
    ptrdiff_t row = s->row + i, unit = row / unit_elements;
    for (ptrdiff_t key = s->from; key < s->to; key += CK_PANEL) {
      vf p[2][unit_elements], dp[2][unit_elements];
#pragma clang loop unroll(full)
      for (int j = 0; j < unit_elements; j++) {
        ptrdiff_t from = place(tile_rows, s->place + i + j, key);
#pragma clang loop unroll(full)
        for (int half = 0; half < 2; half++) {
          p[half][j] = vf_load(scores + from + half * CK_WIDTH);
          dp[half][j] = vf_load(d_scores + from + half * CK_WIDTH);
          probabilities(t, row + j, key + half * CK_WIDTH, &p[half][j], &dp[half][j]);
        }
        // With units of one float, this is dS as right operand as well.
        store_row(w, tile_rows, s->place + i + j, key, dp[0][j], dp[1][j], rounded);
      }
#pragma clang loop unroll(full)
      for (int half = 0; half < 2; half++) {
        ptrdiff_t column = key + half * CK_WIDTH;
        store_columns(p_right, units, unit, column, p[half], rounded);
        if (CK_PAIRS) store_columns(dp_right, units, unit, column, dp[half], rounded);
      }
    }
  }
}

// P and dS of the pair at hand, and o += dS K where `for_queries`.
static void multiply_queries_backward(
    attention_tile *t, int for_queries, const next_queries *next) {
  for (ptrdiff_t row = 0; row < t->rows; row += strip_rows) {
    tile_strip s = strip_of(t, row, !CK_PAIRS);
    if (s.from >= s.to) continue;
    if (next != NULL && !s.adding) prefetch_strip(t, next, row);
    probabilities_backward(t, &s);
    if (for_queries) multiply_weights(t, &s, t->k);
  }
}

static void multiply_keys_backward(attention_tile *t) {
  multiply_weights_transposed(t, t->p_right, t->d_out_right, t->dv);
  multiply_weights_transposed(t, t->dp_right, t->q_right, t->dk);
}

// matrix (+)= scale * tile, a row of the tile for each head of a position.
static void unpack_queries(
    const attention_tile *t, const float *tile, ck_matrix matrix, float scale, int adding) {
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    float *to = matrix.base + row / t->group * matrix.stride + row % t->group * t->dim;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      vf v = load_lanes(tile + place(tile_rows, row, c), lanes) * vf_set(scale);
      if (adding) v = load_lanes(to + c, lanes) + v;
      store_lanes(to + c, v, lanes);
    }
  }
}

static void unpack_keys(
    const attention_tile *t, const float *tile, ck_matrix matrix, ptrdiff_t keys, int adding) {
  for (ptrdiff_t row = 0; row < keys; row++) {
    float *to = matrix.base + row * matrix.stride;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      vf v = load_lanes(tile + place(tile_keys, row, c), lanes);
      if (adding) v = load_lanes(to + c, lanes) + v;
      store_lanes(to + c, v, lanes);
    }
  }
}

static void clear_keys(attention_tile *t) {
  memset(t->dk, 0, sizeof(float) * (size_t)(tile_keys * t->padded));
  memset(t->dv, 0, sizeof(float) * (size_t)(tile_keys * t->padded));
}

CK_INLINE void query_pair(
    attention_tile *t, const ck_attention *a, query_tile q, const key_tile *keys,
    const next_queries *next) {
  pair_up(t, a, q, keys);
  multiply_queries_backward(t, 1, next);
}

// dQ of the prefix's keys, with which it begins.
static void prefix_queries(
    attention_tile *t, const ck_attention *a, ptrdiff_t head, query_tile q,
    const next_queries *next) {
  t->started = 0;
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    load_keys(t, &keys, 1);
    query_pair(t, a, q, &keys, next);
  }
}

static void attention_backward_queries(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, 1, scratch);
  query_tile q = queries_of(a, sequence, tile, t.group);
  load_queries(&t, a, sequence, head, q);
  next_queries next = {0};
  prefix_queries(&t, a, head, q, &next);
  for (ptrdiff_t index = q.first_tile; index < q.end_tile; index++) {
    key_tile keys = sequence_keys(a, sequence, head, index);
    load_keys(&t, &keys, 1);
    query_pair(&t, a, q, &keys, &next);
  }
  unpack_queries(&t, t.o, at(a->d_query, q.row, head * t.group * t.dim), a->scale, a->gated);
}

// dk and dv of a key tile, which load_keys has packed: the sum over the query tiles that see it.
static void key_loop(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head,
    const key_tile *keys, ptrdiff_t index) {
  ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
  ptrdiff_t tiles = tiles_of(count, ck_attention_positions(t->group));
  for (ptrdiff_t tile = 0; tile < tiles; tile++) {
    query_tile q = queries_of(a, sequence, tile, t->group);
    if (index < q.first_tile || index >= q.end_tile) continue;
    load_queries(t, a, sequence, head, q);
    pair_up(t, a, q, keys);
    multiply_queries_backward(t, 0, NULL);
    multiply_keys_backward(t);
  }
}

static void store_keys(
    const attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head,
    const key_tile *keys, int adding) {
  ptrdiff_t row = a->key_offsets[sequence] + keys->first, column = head * t->dim;
  unpack_keys(t, t->dk, at(a->d_key, row, column), keys->count, adding);
  unpack_keys(t, t->dv, at(a->d_value, row, column), keys->count, adding);
}

static void attention_backward_keys(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, 1, scratch);
  key_tile keys = sequence_keys(a, sequence, head, tile);
  load_keys(&t, &keys, 0);
  clear_keys(&t);
  key_loop(&t, a, sequence, head, &keys, tile);
  store_keys(&t, a, sequence, head, &keys, 0);
}

// Queries outside, keys inside: keys, values and their gradients of a head are a group's times
// smaller than queries and theirs. Where all of them have room they are packed once, and their
// gradients summed where they lie; else in the caller's matrices.
static void attention_backward_sequence(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, float *scratch) {
  attention_tile t = make_tile(a, 1, scratch);
  int is_kept = key_tiles_of(a, sequence) <= t.slot_count;
  ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
  ptrdiff_t first = queries_of(a, sequence, 0, t.group).first_tile, packed = first;
  // What no query sees has a gradient of 0.
  ptrdiff_t row = a->key_offsets[sequence];
  ptrdiff_t cleared = is_kept && count > 0 ? row + first * tile_keys : a->key_offsets[sequence + 1];
  for (; row < cleared; row++) {
    memset(at(a->d_key, row, head * t.dim).base, 0, sizeof(float) * (size_t)t.dim);
    memset(at(a->d_value, row, head * t.dim).base, 0, sizeof(float) * (size_t)t.dim);
  }
  for (ptrdiff_t i = 0; i < tiles_of(count, ck_attention_positions(t.group)); i++) {
    query_tile q = queries_of(a, sequence, i, t.group);
    load_queries(&t, a, sequence, head, q);
    next_queries next = queries_after(a, sequence, head, i, t.group, 1);
    prefix_queries(&t, a, head, q, &next);
    for (ptrdiff_t index = q.first_tile; index < q.end_tile; index++) {
      key_tile keys = sequence_keys(a, sequence, head, index);
      if (is_kept) use_slot(&t, index + 1);
      if (!is_kept || index >= packed) {
        load_keys(&t, &keys, 1);
        clear_keys(&t);
        packed = index + 1;
      }
      query_pair(&t, a, q, &keys, &next);
      multiply_keys_backward(&t);
      if (!is_kept) store_keys(&t, a, sequence, head, &keys, 1);
    }
    use_slot(&t, 0);
    unpack_queries(&t, t.o, at(a->d_query, q.row, head * t.group * t.dim), a->scale, 0);
  }
  if (!is_kept || count == 0) return;
  for (ptrdiff_t index = first; index < packed; index++) {
    key_tile keys = sequence_keys(a, sequence, head, index);
    use_slot(&t, index + 1);
    store_keys(&t, a, sequence, head, &keys, 0);
  }
}

static void attention_backward_prefix(
    const ck_attention *a, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, 1, scratch);
  key_tile keys = prefix_keys(a, head, tile * CK_PANEL, CK_PANEL);
  load_keys(&t, &keys, 0);
  clear_keys(&t);
  double gate_sum = 0;
  for (ptrdiff_t sequence = 0; sequence < a->sequence_count; sequence++) {
    ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
    for (ptrdiff_t i = 0; i < tiles_of(count, ck_attention_positions(t.group)); i++) {
      query_tile q = queries_of(a, sequence, i, t.group);
      gate_sum += load_queries(&t, a, sequence, head, q);
      pair_up(&t, a, q, &keys);
      multiply_queries_backward(&t, 0, NULL);
      multiply_keys_backward(&t);
    }
  }
  if (a->gated && tile == 0) a->gate_sums[head] = gate_sum;
  if (a->d_prefix_key.base == NULL) return;
  ptrdiff_t row = tile * CK_PANEL, column = head * t.dim;
  unpack_keys(&t, t.dk, at(a->d_prefix_key, row, column), keys.count, 1);
  unpack_keys(&t, t.dv, at(a->d_prefix_value, row, column), keys.count, 1);
}

#define CK_ATTENTION_TABLE                                                                       \
  {                                                                                              \
    .prefix_tile = CK_PANEL, .forward = attention_forward,                                       \
    .backward_queries = attention_backward_queries, .backward_keys = attention_backward_keys,    \
    .backward_sequence = attention_backward_sequence, .backward_prefix = attention_backward_prefix \
  }
