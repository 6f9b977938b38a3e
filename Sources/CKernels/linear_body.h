// Kernels of linear layers, the head and the optimizer. Included by bodies.h once per instruction
// set.

CK_INLINE vf load_stored(const void *source, ck_type type, int64_t index) {
  const char *bytes = source;
  switch (type) {
    case ck_f32: return vf_load(bytes + 4 * index);
    case ck_f16: return vf_from_half(vu16_load(bytes + 2 * index));
    case ck_bf16: return vf_from_bf16(vu16_load(bytes + 2 * index));
  }
  __builtin_unreachable();
}

CK_INLINE vf load_stored_part(const void *source, ck_type type, int64_t index, int64_t count) {
  const char *bytes = source;
  switch (type) {
    case ck_f32: return vf_load_part(bytes + 4 * index, count);
    case ck_f16: return vf_from_half(vu16_load_part(bytes + 2 * index, count));
    case ck_bf16: return vf_from_bf16(vu16_load_part(bytes + 2 * index, count));
  }
  __builtin_unreachable();
}

CK_INLINE void expand_as(
    float *destination, const void *source, ck_type type, int64_t count, int rounded) {
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vf v = load_stored(source, type, i);
    vf_store(destination + i, rounded ? vf_round_bf16(v) : v);
  }
  if (i < count) {
    vf v = load_stored_part(source, type, i, count - i);
    vf_store_part(destination + i, rounded ? vf_round_bf16(v) : v, count - i);
  }
}

// The type is a constant in each branch, so that each is a loop without a branch.
static void expand(float *destination, const void *source, ck_type type, int64_t count) {
  switch (type) {
    case ck_f32: memcpy(destination, source, (size_t)count * 4); break;
    case ck_f16: expand_as(destination, source, ck_f16, count, 0); break;
    case ck_bf16: expand_as(destination, source, ck_bf16, count, 0); break;
  }
}

static void expand_rounded(float *destination, const void *source, ck_type type, int64_t count) {
  switch (type) {
    case ck_f32: expand_as(destination, source, ck_f32, count, 1); break;
    case ck_f16: expand_as(destination, source, ck_f16, count, 1); break;
    case ck_bf16: expand_as(destination, source, ck_bf16, count, 0); break;
  }
}

CK_INLINE void narrow_as(
    uint16_t *destination, const void *source, ck_type type, int64_t count) {
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vu16 v = vf_to_bf16(vf_round_bf16(load_stored(source, type, i)));
    memcpy(destination + i, &v, sizeof v);
  }
  if (i < count) {
    vu16 v = vf_to_bf16(vf_round_bf16(load_stored_part(source, type, i, count - i)));
    memcpy(destination + i, &v, (size_t)(count - i) * 2);
  }
}

static void narrow(uint16_t *destination, const void *source, ck_type type, int64_t count) {
  switch (type) {
    case ck_f32: narrow_as(destination, source, ck_f32, count); break;
    case ck_f16: narrow_as(destination, source, ck_f16, count); break;
    case ck_bf16: memcpy(destination, source, (size_t)count * 2); break;
  }
}

static void fill_rows(
    float *y, int64_t y_stride, const float *bias, int64_t rows, int64_t columns, int adding) {
  for (int64_t row = 0; row < rows; row++) {
    float *target = y + row * y_stride;
    if (!adding) {
      memcpy(target, bias, (size_t)columns * 4);
      continue;
    }
    for (int64_t c = 0; c < columns; c++) target[c] += bias[c];
  }
}

static void add_scaled(float *y, const float *x, float a, int64_t count) {
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vf_store(y + i, vf_fma(vf_set(a), vf_load(x + i), vf_load(y + i)));
  }
  if (i < count) {
    int64_t rest = count - i;
    vf sum = vf_fma(vf_set(a), vf_load_part(x + i, rest), vf_load_part(y + i, rest));
    vf_store_part(y + i, sum, rest);
  }
}

static void add_column_sums(
    float *sums, const float *x, int64_t x_stride, int64_t rows, int64_t columns) {
  int64_t c = 0;
  for (; c + CK_WIDTH <= columns; c += CK_WIDTH) {
    vf sum = vf_set(0);
    for (int64_t t = 0; t < rows; t++) sum += vf_load(x + t * x_stride + c);
    vf_store(sums + c, vf_load(sums + c) + sum);
  }
  for (; c < columns; c++) {
    float sum = 0;
    for (int64_t t = 0; t < rows; t++) sum += x[t * x_stride + c];
    sums[c] += sum;
  }
}

CK_INLINE vf load_weight(const void *w, ck_type type, int64_t index, int rounded) {
  vf v = load_stored(w, type, index);
  return rounded && type != ck_bf16 ? vf_round_bf16(v) : v;
}

CK_INLINE vf load_weight_part(
    const void *w, ck_type type, int64_t index, int64_t count, int rounded) {
  vf v = load_stored_part(w, type, index, count);
  return rounded && type != ck_bf16 ? vf_round_bf16(v) : v;
}

// The dot products of one stored row with `tokens` (1 or 2, a constant) rows of x. Four chains each
// hide the latency of the fused multiply-add; a token's sum does not depend on `tokens`.
CK_INLINE void dot_row(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int tokens, const void *w,
    ck_type type, int64_t inner, int rounded) {
  vf sum[2][4];
  for (int t = 0; t < tokens; t++) {
    for (int chain = 0; chain < 4; chain++) sum[t][chain] = vf_set(0);
  }
  int64_t k = 0;
  for (; k + 4 * CK_WIDTH <= inner; k += 4 * CK_WIDTH) {
#pragma clang loop unroll(full)
    for (int chain = 0; chain < 4; chain++) {
      vf weight = load_weight(w, type, k + chain * CK_WIDTH, rounded);
      for (int t = 0; t < tokens; t++) {
        vf input = vf_load(x + t * x_stride + k + chain * CK_WIDTH);
        sum[t][chain] = vf_fma(input, weight, sum[t][chain]);
      }
    }
  }
  for (; k + CK_WIDTH <= inner; k += CK_WIDTH) {
    vf weight = load_weight(w, type, k, rounded);
    for (int t = 0; t < tokens; t++) {
      sum[t][0] = vf_fma(vf_load(x + t * x_stride + k), weight, sum[t][0]);
    }
  }
  if (k < inner) {
    vf weight = load_weight_part(w, type, k, inner - k, rounded);
    for (int t = 0; t < tokens; t++) {
      sum[t][1] = vf_fma(vf_load_part(x + t * x_stride + k, inner - k), weight, sum[t][1]);
    }
  }
  for (int t = 0; t < tokens; t++) {
    y[t * y_stride] += vf_sum((sum[t][0] + sum[t][1]) + (sum[t][2] + sum[t][3]));
  }
}

CK_INLINE void add_dots_as(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t tokens, const char *w,
    ck_type type, int64_t w_stride, int64_t inner, int64_t rows, int rounded) {
  int64_t size = type == ck_f32 ? 4 : 2;
  for (int64_t row = 0; row < rows; row++) {
    const void *weight = w + row * w_stride * size;
    int64_t t = 0;
    for (; t + 2 <= tokens; t += 2) {
      dot_row(
          y + t * y_stride + row, y_stride, x + t * x_stride, x_stride, 2, weight, type, inner,
          rounded);
    }
    if (t < tokens) {
      dot_row(
          y + t * y_stride + row, y_stride, x + t * x_stride, x_stride, 1, weight, type, inner,
          rounded);
    }
  }
}

// One vector of columns, for all tokens: y[t] += x[t][0 ..< depth] . w[0 ..< depth]. The weight is
// widened once for all tokens, and y loaded and stored once for `depth` (4, or the rest) rows.
CK_INLINE void add_scaled_vector(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t tokens, const char *w,
    ck_type type, int64_t row_bytes, int depth, int64_t lanes, int rounded) {
  vf weight[4];
  for (int j = 0; j < depth; j++) {
    weight[j] = lanes == CK_WIDTH ? load_weight(w + j * row_bytes, type, 0, rounded)
                                  : load_weight_part(w + j * row_bytes, type, 0, lanes, rounded);
  }
  for (int64_t t = 0; t < tokens; t++) {
    float *out = y + t * y_stride;
    vf sum = lanes == CK_WIDTH ? vf_load(out) : vf_load_part(out, lanes);
    for (int j = 0; j < depth; j++) sum = vf_fma(vf_set(x[t * x_stride + j]), weight[j], sum);
    if (lanes == CK_WIDTH) {
      vf_store(out, sum);
    } else {
      vf_store_part(out, sum, lanes);
    }
  }
}

CK_INLINE void add_scaled_rows_as(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t tokens, const char *w,
    ck_type type, int64_t w_stride, int64_t inner, int64_t columns, int rounded) {
  int64_t size = type == ck_f32 ? 4 : 2, row_bytes = w_stride * size;
  int64_t whole = columns / CK_WIDTH * CK_WIDTH;
  int64_t k = 0;
  for (; k + 4 <= inner; k += 4) {
    const char *row = w + k * row_bytes;
    for (int64_t c = 0; c < whole; c += CK_WIDTH) {
      add_scaled_vector(
          y + c, y_stride, x + k, x_stride, tokens, row + c * size, type, row_bytes, 4, CK_WIDTH,
          rounded);
    }
    if (whole < columns) {
      add_scaled_vector(
          y + whole, y_stride, x + k, x_stride, tokens, row + whole * size, type, row_bytes, 4,
          columns - whole, rounded);
    }
  }
  for (; k < inner; k++) {
    for (int64_t c = 0; c < columns; c += CK_WIDTH) {
      int64_t lanes = columns - c < CK_WIDTH ? columns - c : CK_WIDTH;
      add_scaled_vector(
          y + c, y_stride, x + k, x_stride, tokens, w + k * row_bytes + c * size, type, row_bytes,
          1, lanes, rounded);
    }
  }
}

// Calls an always-inlined function with the stored type, and whether to round, as constants.
#define CK_FOR_TYPE(function, ...)                                     \
  switch (type) {                                                     \
    case ck_f32:                                                      \
      if (rounded) {                                                  \
        function(y, y_stride, x, x_stride, tokens, w, ck_f32, __VA_ARGS__, 1); \
      } else {                                                        \
        function(y, y_stride, x, x_stride, tokens, w, ck_f32, __VA_ARGS__, 0); \
      }                                                               \
      break;                                                          \
    case ck_f16:                                                      \
      if (rounded) {                                                  \
        function(y, y_stride, x, x_stride, tokens, w, ck_f16, __VA_ARGS__, 1); \
      } else {                                                        \
        function(y, y_stride, x, x_stride, tokens, w, ck_f16, __VA_ARGS__, 0); \
      }                                                               \
      break;                                                          \
    case ck_bf16:                                                     \
      function(y, y_stride, x, x_stride, tokens, w, ck_bf16, __VA_ARGS__, 0);  \
      break;                                                          \
  }

static void add_dots(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t tokens, const void *w,
    ck_type type, int64_t w_stride, int64_t inner, int64_t rows, int rounded) {
  CK_FOR_TYPE(add_dots_as, w_stride, inner, rows)
}

static void add_scaled_rows(
    float *y, int64_t y_stride, const float *x, int64_t x_stride, int64_t tokens, const void *w,
    ck_type type, int64_t w_stride, int64_t inner, int64_t columns, int rounded) {
  CK_FOR_TYPE(add_scaled_rows_as, w_stride, inner, columns)
}

#define CK_LINEAR_TABLE                                                                        \
  {                                                                                            \
    .expand = expand, .expand_rounded = expand_rounded, .narrow = narrow, .fill_rows = fill_rows, \
    .add_column_sums = add_column_sums, .add_dots = add_dots,                                  \
    .add_scaled_rows = add_scaled_rows, .add_scaled = add_scaled,                              \
    .cross_entropy = cross_entropy, .adamw = adamw, .sgd = sgd                                 \
  }
