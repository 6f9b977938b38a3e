// Backward of attention. Included by bodies.h once per instruction set, after attention_body.h.
//
// Probabilities come back from the saved log-sum-exp: P = exp(S - lse). With dP = dO V^T and
// delta = rowsum(dO * O), dS = P * (dP - delta); then dV = P^T dO, dK = dS^T q / sqrt(D),
// dQ = dS K / sqrt(D). dQ sums over key tiles, dK and dV over query tiles, both in ascending order,
// whether one loop makes all three or two loops make them apart.

// Queries, d_out, log_sum and delta of a query tile. Gated attention computes its forward again,
// here; returns its sum of d_out * attention.
static double load_queries(
    attention_tile *t, const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, query_tile q) {
  t->rows = q.count * t->group;
  ptrdiff_t column = head * t->group * t->dim;
  pack_queries(t, t->q, at(a->query, q.row, column), a->scale);
  pack_queries(t, t->d_out, at(a->d_out, q.row, column), a->gated ? a->gate : 1);
  if (a->gated) {
    attention_tile again = *t;
    again.kt = t->kt2;
    again.k = t->k2;
    attend_all(&again, a, sequence, head, q);
  }
  double gate_sum = 0;
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    ptrdiff_t position = q.row + row / t->group, h = head * t->group + row % t->group;
    const float *d_out = a->d_out.base + position * a->d_out.stride + h * t->dim;
    vf products = vf_set(0);
    if (a->gated) {
      CK_FOR_COLUMNS(c, lanes, t->dim) {
        const float *o =
            t->o + c / CK_PANEL * CK_PANEL * tile_rows + row * CK_PANEL + c % CK_PANEL;
        products = vf_fma(load_lanes(d_out + c, lanes), load_lanes(o, lanes), products);
      }
      float sum = vf_sum(products) / t->row_sum[row];
      gate_sum += (double)sum;
      t->delta[row] = sum * a->gate;
      t->log_sum[row] = t->row_max[row] + logf(t->row_sum[row]);
    } else {
      const float *out = a->out.base + position * a->out.stride + h * t->dim;
      CK_FOR_COLUMNS(c, lanes, t->dim) {
        products = vf_fma(load_lanes(d_out + c, lanes), load_lanes(out + c, lanes), products);
      }
      t->delta[row] = vf_sum(products);
      t->log_sum[row] = a->log_sum_exp.base[position * a->log_sum_exp.stride + h];
    }
  }
  return gate_sum;
}

// `for_queries`: the keys are needed as the right operand of dQ, too.
static void load_keys(
    attention_tile *t, const ck_attention *a, const key_tile *keys, int for_queries) {
  pack_transposed(t->kt, keys->key, keys->count, t->dim);
  pack_transposed(t->vt, keys->value, keys->count, t->dim);
  if (for_queries) pack_rows(t->k, keys->key, keys->count, t->dim, a->scale);
}

// p = P and dp = dS of the pair at hand.
static void probabilities_backward(attention_tile *t) {
  multiply_scores(t, t->q, t->kt, t->p);
  multiply_scores(t, t->d_out, t->vt, t->dp);
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    ptrdiff_t strip = row / strip_rows * strip_rows;
    ptrdiff_t strip_end = least(strip + strip_rows, t->rows) - 1;
    ptrdiff_t from = t->first[strip] / CK_PANEL * CK_PANEL, to = t->end[strip_end];
    ptrdiff_t first = t->first[row], end = t->end[row];
    vf log_sum = vf_set(t->log_sum[row]), delta = vf_set(t->delta[row]);
    for (ptrdiff_t c = from; c < tiles_of(to, CK_PANEL) * CK_PANEL; c += CK_WIDTH) {
      ptrdiff_t place = c / CK_PANEL * CK_PANEL * tile_rows + row * CK_PANEL + c % CK_PANEL;
      vf p = vf_exp_negative(vf_load(t->p + place) - log_sum);
      vf ds = p * (vf_load(t->dp + place) - delta);
      if (c < first || c + CK_WIDTH > end) {
        vi seen = between(c, first, end);
        p = vf_select(seen, p, vf_set(0));
        ds = vf_select(seen, ds, vf_set(0));
      }
      vf_store(t->p + place, p);
      vf_store(t->dp + place, ds);
    }
  }
}

static void multiply_keys_backward(attention_tile *t) {
  multiply_weights_transposed(t, t->p, t->d_out, t->dv);
  multiply_weights_transposed(t, t->dp, t->q, t->dk);
}

// matrix (+)= tile, a row of the tile for each head of a position.
static void unpack_queries(
    const attention_tile *t, const float *tile, ck_matrix matrix, int adding) {
  for (ptrdiff_t row = 0; row < t->rows; row++) {
    float *to = matrix.base + row / t->group * matrix.stride + row % t->group * t->dim;
    CK_FOR_COLUMNS(c, lanes, t->dim) {
      vf v = load_lanes(
          tile + c / CK_PANEL * CK_PANEL * tile_rows + row * CK_PANEL + c % CK_PANEL, lanes);
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
      vf v = load_lanes(
          tile + c / CK_PANEL * CK_PANEL * tile_keys + row * CK_PANEL + c % CK_PANEL, lanes);
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
    attention_tile *t, const ck_attention *a, query_tile q, const key_tile *keys) {
  load_keys(t, a, keys, 1);
  pair_up(t, a, q, keys);
  probabilities_backward(t);
  multiply_weights(t, t->dp, t->k, t->o, 1);
}

static void attention_backward_queries(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, scratch);
  query_tile q = queries_of(a, sequence, tile, t.group);
  load_queries(&t, a, sequence, head, q);
  memset(t.o, 0, sizeof(float) * (size_t)(tile_rows * t.padded));
  for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
    key_tile keys = prefix_keys(a, head, first, tile_keys);
    query_pair(&t, a, q, &keys);
  }
  for (ptrdiff_t index = q.first_tile; index < q.end_tile; index++) {
    key_tile keys = sequence_keys(a, sequence, head, index);
    query_pair(&t, a, q, &keys);
  }
  unpack_queries(&t, t.o, at(a->d_query, q.row, head * t.group * t.dim), a->gated);
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
    probabilities_backward(t);
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
  attention_tile t = make_tile(a, scratch);
  key_tile keys = sequence_keys(a, sequence, head, tile);
  load_keys(&t, a, &keys, 0);
  clear_keys(&t);
  key_loop(&t, a, sequence, head, &keys, tile);
  store_keys(&t, a, sequence, head, &keys, 0);
}

// Queries outside, keys inside: keys, values and their gradients of a head are a group's times
// smaller than queries and theirs, and stay in the second-level cache.
static void attention_backward_sequence(
    const ck_attention *a, ptrdiff_t sequence, ptrdiff_t head, float *scratch) {
  attention_tile t = make_tile(a, scratch);
  for (ptrdiff_t row = a->key_offsets[sequence]; row < a->key_offsets[sequence + 1]; row++) {
    memset(at(a->d_key, row, head * t.dim).base, 0, sizeof(float) * (size_t)t.dim);
    memset(at(a->d_value, row, head * t.dim).base, 0, sizeof(float) * (size_t)t.dim);
  }
  ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
  for (ptrdiff_t i = 0; i < tiles_of(count, ck_attention_positions(t.group)); i++) {
    query_tile q = queries_of(a, sequence, i, t.group);
    load_queries(&t, a, sequence, head, q);
    memset(t.o, 0, sizeof(float) * (size_t)(tile_rows * t.padded));
    for (ptrdiff_t first = 0; first < a->prefix_count; first += tile_keys) {
      key_tile keys = prefix_keys(a, head, first, tile_keys);
      query_pair(&t, a, q, &keys);
    }
    for (ptrdiff_t index = q.first_tile; index < q.end_tile; index++) {
      key_tile keys = sequence_keys(a, sequence, head, index);
      query_pair(&t, a, q, &keys);
      clear_keys(&t);
      multiply_keys_backward(&t);
      store_keys(&t, a, sequence, head, &keys, 1);
    }
    unpack_queries(&t, t.o, at(a->d_query, q.row, head * t.group * t.dim), 0);
  }
}

static void attention_backward_prefix(
    const ck_attention *a, ptrdiff_t head, ptrdiff_t tile, float *scratch) {
  attention_tile t = make_tile(a, scratch);
  key_tile keys = prefix_keys(a, head, tile * CK_PANEL, CK_PANEL);
  load_keys(&t, a, &keys, 0);
  clear_keys(&t);
  double gate_sum = 0;
  for (ptrdiff_t sequence = 0; sequence < a->sequence_count; sequence++) {
    ptrdiff_t count = a->query_offsets[sequence + 1] - a->query_offsets[sequence];
    for (ptrdiff_t i = 0; i < tiles_of(count, ck_attention_positions(t.group)); i++) {
      query_tile q = queries_of(a, sequence, i, t.group);
      gate_sum += load_queries(&t, a, sequence, head, q);
      pair_up(&t, a, q, &keys);
      probabilities_backward(&t);
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
