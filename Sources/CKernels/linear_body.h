// Kernels of stored weights and of linear layers. Included by bodies.h once per instruction set.

CK_INLINE vf load_stored(const void *source, ck_type type, int64_t index) {
  const char *bytes = source;
  switch (type) {
    case ck_f32: return vf_load(bytes + 4 * index);
    case ck_f16: return vf_from_half(vu16_load(bytes + 2 * index));
    case ck_bf16: return vf_from_bf16(vu16_load(bytes + 2 * index));
    default: break;
  }
  __builtin_unreachable();
}

CK_INLINE vf load_stored_part(const void *source, ck_type type, int64_t index, int64_t count) {
  const char *bytes = source;
  switch (type) {
    case ck_f32: return vf_load_part(bytes + 4 * index, count);
    case ck_f16: return vf_from_half(vu16_load_part(bytes + 2 * index, count));
    case ck_bf16: return vf_from_bf16(vu16_load_part(bytes + 2 * index, count));
    default: break;
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
    default: __builtin_trap();
  }
}

static void expand_rounded(float *destination, const void *source, ck_type type, int64_t count) {
  switch (type) {
    case ck_f32: expand_as(destination, source, ck_f32, count, 1); break;
    case ck_f16: expand_as(destination, source, ck_f16, count, 1); break;
    case ck_bf16: expand_as(destination, source, ck_bf16, count, 0); break;
    default: __builtin_trap();
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
    default: __builtin_trap();
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

#define CK_LINEAR_TABLE                                                                        \
  {                                                                                            \
    .read = read_stored, .expand = expand, .expand_rounded = expand_rounded, .narrow = narrow, \
    .fill_rows = fill_rows, .add_column_sums = add_column_sums, .add_scaled = add_scaled       \
  }
