// Norms over the columns of a row, and rotary positions. Included by bodies.h once per instruction
// set. T rows, H columns.

static void rms_norm(
    ck_matrix x, const float *weight, float offset, float epsilon, ck_matrix y,
    ck_matrix inverse, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    vf squares[sum_vectors];
    vf_clear(squares, sum_vectors);
    CK_FOR_SUMS(c, j, lanes, columns, {
      vf v = load_lanes(xt + c, lanes);
      squares[j] = vf_fma(v, v, squares[j]);
    });
    float factor = 1.0f / sqrtf(vf_total(squares, sum_vectors) / (float)columns + epsilon);
    inverse.base[t * inverse.stride] = factor;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf v = load_lanes(xt + c, lanes) * vf_set(factor);
      store_lanes(yt + c, v * (load_lanes(weight + c, lanes) + vf_set(offset)), lanes);
    }
  }
}

// With g = (weight + offset) dy and r = 1/rms: dx = r g - x r^3 (g . x) / H.
static void rms_norm_backward(
    ck_matrix dy, ck_matrix x, const float *weight, float offset, ck_matrix inverse, ck_matrix dx,
    int adding, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride, *dyt = dy.base + t * dy.stride;
    float *dxt = dx.base + t * dx.stride;
    vf products[sum_vectors];
    vf_clear(products, sum_vectors);
    CK_FOR_SUMS(c, j, lanes, columns, {
      vf g = load_lanes(dyt + c, lanes) * (load_lanes(weight + c, lanes) + vf_set(offset));
      products[j] = vf_fma(g, load_lanes(xt + c, lanes), products[j]);
    });
    float factor = inverse.base[t * inverse.stride];
    float mean = vf_total(products, sum_vectors) / (float)columns;
    float back = -mean * factor * factor * factor;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf w = load_lanes(weight + c, lanes) + vf_set(offset);
      vf g = load_lanes(dyt + c, lanes) * w * vf_set(factor);
      vf v = vf_fma(load_lanes(xt + c, lanes), vf_set(back), g);
      if (adding) v += load_lanes(dxt + c, lanes);
      store_lanes(dxt + c, v, lanes);
    }
  }
}

static void layer_norm(
    ck_matrix x, const float *weight, const float *bias, float epsilon, ck_matrix y,
    ck_matrix mean, ck_matrix inverse, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride;
    float *yt = y.base + t * y.stride;
    vf sums[sum_vectors], squares[sum_vectors];
    vf_clear(sums, sum_vectors);
    vf_clear(squares, sum_vectors);
    CK_FOR_SUMS(c, j, lanes, columns, { sums[j] += load_lanes(xt + c, lanes); });
    float m = vf_total(sums, sum_vectors) / (float)columns;
    CK_FOR_SUMS(c, j, lanes, columns, {
      vf v = load_lanes(xt + c, lanes) - vf_set(m);
      // The lanes past the row's end would each add the mean's square.
      if (lanes < CK_WIDTH) v = first_lanes(v, lanes);
      squares[j] = vf_fma(v, v, squares[j]);
    });
    float factor = 1.0f / sqrtf(vf_total(squares, sum_vectors) / (float)columns + epsilon);
    mean.base[t * mean.stride] = m;
    inverse.base[t * inverse.stride] = factor;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf v = (load_lanes(xt + c, lanes) - vf_set(m)) * vf_set(factor);
      v = vf_fma(v, load_lanes(weight + c, lanes), load_lanes(bias + c, lanes));
      store_lanes(yt + c, v, lanes);
    }
  }
}

// With g = weight dy and n = (x - mean) r: dx = r (g - mean(g) - n mean(g n)).
static void layer_norm_backward(
    ck_matrix dy, ck_matrix x, const float *weight, ck_matrix mean, ck_matrix inverse,
    ck_matrix dx, int adding, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *xt = x.base + t * x.stride, *dyt = dy.base + t * dy.stride;
    float *dxt = dx.base + t * dx.stride;
    float m = mean.base[t * mean.stride], factor = inverse.base[t * inverse.stride];
    vf sums[sum_vectors], products[sum_vectors];
    vf_clear(sums, sum_vectors);
    vf_clear(products, sum_vectors);
    CK_FOR_SUMS(c, j, lanes, columns, {
      // Past the row's end g is 0, so the mean there does no harm.
      vf g = load_lanes(dyt + c, lanes) * load_lanes(weight + c, lanes);
      vf n = (load_lanes(xt + c, lanes) - vf_set(m)) * vf_set(factor);
      sums[j] += g;
      products[j] = vf_fma(g, n, products[j]);
    });
    float meanG = vf_total(sums, sum_vectors) / (float)columns;
    float meanGN = vf_total(products, sum_vectors) / (float)columns;
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf g = load_lanes(dyt + c, lanes) * load_lanes(weight + c, lanes);
      vf n = (load_lanes(xt + c, lanes) - vf_set(m)) * vf_set(factor);
      vf v = vf_fma(n, vf_set(-meanGN), g - vf_set(meanG)) * vf_set(factor);
      if (adding) v += load_lanes(dxt + c, lanes);
      store_lanes(dxt + c, v, lanes);
    }
  }
}

static void column_sums(
    ck_matrix dy, ck_matrix x, ck_matrix mean, ck_matrix factor, float *sum, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_FOR_COLUMNS(c, lanes, columns) {
    vf total = vf_set(0);
    for (ptrdiff_t t = 0; t < rows; t++) {
      vf v = load_lanes(dy.base + t * dy.stride + c, lanes);
      if (x.base != NULL) {
        vf n = load_lanes(x.base + t * x.stride + c, lanes);
        if (mean.base != NULL) n -= vf_set(mean.base[t * mean.stride]);
        if (factor.base != NULL) n *= vf_set(factor.base[t * factor.stride]);
        v *= n;
      }
      total += v;
    }
    store_lanes(sum + c, load_lanes(sum + c, lanes) + total, lanes);
  }
}

static void rotate(
    ck_matrix x, const int32_t *positions, const float *cosines, const float *sines,
    float direction, ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t dim, ptrdiff_t half) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    const float *cosine = cosines + positions[t] * half, *sine = sines + positions[t] * half;
    for (ptrdiff_t head = 0; head < heads; head++) {
      float *first = x.base + t * x.stride + head * dim, *second = first + half;
      CK_FOR_COLUMNS(d, lanes, half) {
        vf a = load_lanes(first + d, lanes), b = load_lanes(second + d, lanes);
        vf cd = load_lanes(cosine + d, lanes);
        vf sd = load_lanes(sine + d, lanes) * vf_set(direction);
        store_lanes(first + d, vf_fma(a, cd, -(b * sd)), lanes);
        store_lanes(second + d, vf_fma(b, cd, a * sd), lanes);
      }
    }
  }
}

#define CK_NORM_TABLE                                                                   \
  {                                                                                     \
    .rms = rms_norm, .rms_backward = rms_norm_backward, .layer = layer_norm,            \
    .layer_backward = layer_norm_backward, .column_sums = column_sums, .rotate = rotate \
  }
