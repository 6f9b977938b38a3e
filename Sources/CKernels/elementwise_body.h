// Element-wise kernels, dropout and sums. Included by bodies.h once per instruction set, after
// activation_body.h, with which it fills one table.

static void add(ck_matrix x, ck_matrix y, float scale, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf v = vf_fma(load_lanes(xt + c, lanes), vf_set(scale), load_lanes(yt + c, lanes));
      store_lanes(yt + c, v, lanes);
    }
  }
}

static void scale(ck_matrix x, ck_matrix y, float factor, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    CK_FOR_COLUMNS(c, lanes, columns) {
      store_lanes(yt + c, load_lanes(xt + c, lanes) * vf_set(factor), lanes);
    }
  }
}

static void scale_columns(
    ck_matrix x, const float *l, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    CK_FOR_COLUMNS(c, lanes, columns) {
      store_lanes(yt + c, load_lanes(xt + c, lanes) * load_lanes(l + c, lanes), lanes);
    }
  }
}

static void scale_rows(
    ck_matrix x, ck_matrix f, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    ck_matrix xt = {x.base + t * x.stride, 0}, yt = {y.base + t * y.stride, 0};
    scale(xt, yt, f.base[t * f.stride], 1, columns);
  }
}

// Philox4x32-10 (Salmon et al., SC 2011) on CK_WIDTH counters at once, one word a vector.
#if CK_WIDTH == 1
CK_INLINE void philox_multiply(vu x, uint32_t m, vu *high, vu *low) {
  uint64_t product = (uint64_t)x * m;
  *high = (vu)(product >> 32);
  *low = (vu)product;
}
#define CK_STORE_DRAWS(out, w) memcpy(out, w, sizeof(vu) * 4)
#else
typedef uint64_t vu64 __attribute__((ext_vector_type(CK_WIDTH / 2)));

// The even and the odd lanes apart: processors multiply 32-bit numbers to 64 bits every other lane.
CK_INLINE void philox_multiply(vu x, uint32_t m, vu *high, vu *low) {
  const vu64 lower = (vu64)(0xffffffffu);
  vu64 pairs, factor = (vu64)((uint64_t)m), h, l;
  memcpy(&pairs, &x, sizeof x);
  vu64 even = (pairs & lower) * factor, odd = (pairs >> 32) * factor;
  h = (even >> 32) | (odd & ~lower);
  l = (even & lower) | (odd << 32);
  memcpy(high, &h, sizeof h);
  memcpy(low, &l, sizeof l);
}

// The four words of a counter next to each other.
#define CK_STORE_DRAWS(out, w)                                              \
  do {                                                                      \
    vu a = CK_LOW(w[0], w[2]), b = CK_LOW(w[1], w[3]);                      \
    vu c = CK_HIGH(w[0], w[2]), d = CK_HIGH(w[1], w[3]);                    \
    vu quads[4] = {CK_LOW(a, b), CK_HIGH(a, b), CK_LOW(c, d), CK_HIGH(c, d)}; \
    memcpy(out, quads, sizeof quads);                                       \
  } while (0)
#endif

// The words of counters first ..< first + CK_WIDTH, 4 CK_WIDTH of them.
CK_INLINE void philox(uint64_t first, uint64_t key, uint64_t stream, uint32_t *out) {
  uint32_t lower[CK_WIDTH], upper[CK_WIDTH];
  for (int lane = 0; lane < CK_WIDTH; lane++) {
    uint64_t counter = first + (uint64_t)lane;
    lower[lane] = (uint32_t)counter;
    upper[lane] = (uint32_t)(counter >> 32);
  }
  vu w[4];
  memcpy(&w[0], lower, sizeof lower);
  memcpy(&w[1], upper, sizeof upper);
  w[2] = (vu)((uint32_t)stream);
  w[3] = (vu)((uint32_t)(stream >> 32));
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    vu high0, low0, high1, low1;
    philox_multiply(w[0], 0xD2511F53u, &high0, &low0);
    philox_multiply(w[2], 0xCD9E8D57u, &high1, &low1);
    w[0] = high1 ^ w[1] ^ (vu)(k0);
    w[1] = low1;
    w[2] = high0 ^ w[3] ^ (vu)(k1);
    w[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  CK_STORE_DRAWS(out, w);
}

static void dropout(
    ck_matrix x, ck_matrix y, uint64_t key, uint64_t stream, const int32_t *row_keys,
    uint64_t first_row, uint32_t threshold, float scale, ptrdiff_t rows, ptrdiff_t columns) {
  const uint64_t quads = ((uint64_t)columns + 3) / 4;
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    const uint64_t row_key =
        row_keys == NULL ? first_row + (uint64_t)t : (uint64_t)(int64_t)row_keys[t];
    const uint64_t base = row_key * quads;
    for (ptrdiff_t c = 0; c < columns; c += 4 * CK_WIDTH) {
      uint32_t draws[4 * CK_WIDTH];
      philox(base + (uint64_t)c / 4, key, stream, draws);
      ptrdiff_t count = columns - c < 4 * CK_WIDTH ? columns - c : 4 * CK_WIDTH;
      CK_FOR_COLUMNS(i, lanes, count) {
        vu draw;
        memcpy(&draw, draws + i, sizeof draw);
        // Unsigned comparison through signed: both shifted by 2^31.
        vi dropped;
        vu a = draw ^ (vu)(0x80000000u), b = (vu)(threshold ^ 0x80000000u);
        vi sa, sb;
        memcpy(&sa, &a, sizeof a);
        memcpy(&sb, &b, sizeof b);
#if CK_WIDTH == 1
        dropped = sa < sb ? -1 : 0;
#else
        dropped = sa < sb;
#endif
        vf v = load_lanes(xt + c + i, lanes) * vf_set(scale);
        store_lanes(yt + c + i, vf_select(dropped, vf_set(0), v), lanes);
      }
    }
  }
}

#if CK_WIDTH == 1
typedef double vd;
#define CK_WIDEN(v) ((double)(v))
#else
typedef double vd __attribute__((ext_vector_type(CK_WIDTH)));
// Not a function: it would return more than a register of AVX2 holds.
#define CK_WIDEN(v) __builtin_convertvector(v, vd)
#endif

// Products of floats are exact in double; their sums go through the lanes and the tree of
// `CK_FOR_SUMS`.
static double dot(ck_matrix a, ck_matrix b, ptrdiff_t rows, ptrdiff_t columns) {
  vd sums[sum_vectors];
  CK_UNROLL
  for (int j = 0; j < sum_vectors; j++) sums[j] = (vd)(0.0);
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_SUMS(c, j, lanes, columns, {
      vf x = load_lanes(a.base + t * a.stride + c, lanes);
      vf y = load_lanes(b.base + t * b.stride + c, lanes);
      sums[j] += CK_WIDEN(x) * CK_WIDEN(y);
    });
  }
  double lanes[sum_lanes];
  memcpy(lanes, sums, sizeof lanes);
  for (int half = sum_lanes / 2; half > 0; half /= 2) {
    for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

#define CK_ELEMENTWISE_TABLE                                                                   \
  {                                                                                            \
    .activation = activation, .activation_backward = activation_backward, .gated = gated,      \
    .gated_backward = gated_backward, .activation_keeping = activation_keeping,                 \
    .activation_kept = activation_kept, .activation_backward_kept = activation_backward_kept,   \
    .gated_keeping = gated_keeping, .gated_kept = gated_kept,                                   \
    .gated_backward_kept = gated_backward_kept, .add = add, .scale = scale,                              \
    .scale_columns = scale_columns, .scale_rows = scale_rows, .dropout = dropout, .dot = dot   \
  }
