// Activation functions, alone and gating. Included by bodies.h once per instruction set.

// f(x) and, where `slope` is asked for, f'(x). `kind` is a constant at each call, so that the
// switch is gone and so is the half that nobody uses.
CK_INLINE vf activate(ck_activation kind, vf x, vf *slope) {
  const vf one = vf_set(1), half = vf_set(0.5f);
  switch (kind) {
    case ck_silu: {
      vf s = vf_sigmoid(x);
      // s + x s (1 - s); where s is 0, x (1 - s) may be infinite only if x is.
      *slope = vf_fma(x * s, one - s, s);
      return x * s;
    }
    case ck_gelu: {
      // x Phi(x), Phi the normal distribution; slope Phi(x) + x phi(x).
      vf phi = vf_fma(vf_erf(x * vf_set(0.70710678118654752f)), half, half);
      vf density = vf_exp_negative(x * x * vf_set(-0.5f)) * vf_set(0.39894228040143268f);
      *slope = vf_fma(x, density, phi);
      return x * phi;
    }
    case ck_gelu_tanh: {
      // 0.5 x (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3).
      vf square = x * x;
      vf u = x * vf_fma(
                     square, vf_set(0.044715f * 0.79788456080286536f),
                     vf_set(0.79788456080286536f));
      vf t = vf_tanh(u);
      vf du = vf_fma(
          square, vf_set(3 * 0.044715f * 0.79788456080286536f), vf_set(0.79788456080286536f));
      vf h = vf_fma(half, t, half);
      *slope = vf_fma(half * x * vf_fma(-t, t, one), du, h);
      return x * h;
    }
    case ck_relu: {
      vi positive = vf_less(vf_set(0), x);
      *slope = vf_select(positive, one, vf_set(0));
      // Not max: a NaN must come out again.
      return vf_select(vf_less(x, vf_set(0)), vf_set(0), x);
    }
    case ck_tanh: {
      vf t = vf_tanh(x);
      *slope = vf_fma(-t, t, one);
      return t;
    }
  }
  __builtin_unreachable();
}

CK_INLINE void activation_as(
    ck_activation kind, ck_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      vf v = activate(kind, load_lanes(x.base + t * x.stride + c, lanes), &slope);
      store_lanes(y.base + t * y.stride + c, v, lanes);
    }
  }
}

CK_INLINE void activation_backward_as(
    ck_activation kind, ck_matrix dy, ck_matrix x, ck_matrix dx, ptrdiff_t rows,
    ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      activate(kind, load_lanes(x.base + t * x.stride + c, lanes), &slope);
      vf v = load_lanes(dy.base + t * dy.stride + c, lanes) * slope;
      store_lanes(dx.base + t * dx.stride + c, v, lanes);
    }
  }
}

CK_INLINE void gated_as(
    ck_activation kind, ck_matrix gate, ck_matrix up, ck_matrix y, ptrdiff_t rows,
    ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      vf v = activate(kind, load_lanes(gate.base + t * gate.stride + c, lanes), &slope);
      v *= load_lanes(up.base + t * up.stride + c, lanes);
      store_lanes(y.base + t * y.stride + c, v, lanes);
    }
  }
}

CK_INLINE void gated_backward_as(
    ck_activation kind, ck_matrix dy, ck_matrix gate, ck_matrix up, ck_matrix dgate,
    ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      vf value = activate(kind, load_lanes(gate.base + t * gate.stride + c, lanes), &slope);
      vf u = load_lanes(up.base + t * up.stride + c, lanes);
      vf d = load_lanes(dy.base + t * dy.stride + c, lanes);
      store_lanes(dgate.base + t * dgate.stride + c, d * u * slope, lanes);
      store_lanes(dup.base + t * dup.stride + c, d * value, lanes);
    }
  }
}

// One loop per function, chosen outside it.
#define CK_PER_KIND(function, ...)                                    \
  switch (kind) {                                                     \
    case ck_silu: function(ck_silu, __VA_ARGS__); break;              \
    case ck_gelu: function(ck_gelu, __VA_ARGS__); break;              \
    case ck_gelu_tanh: function(ck_gelu_tanh, __VA_ARGS__); break;    \
    case ck_relu: function(ck_relu, __VA_ARGS__); break;              \
    case ck_tanh: function(ck_tanh, __VA_ARGS__); break;              \
  }

static void activation(
    ck_activation kind, ck_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(activation_as, x, y, rows, columns)
}

static void activation_backward(
    ck_activation kind, ck_matrix dy, ck_matrix x, ck_matrix dx, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(activation_backward_as, dy, x, dx, rows, columns)
}

static void gated(
    ck_activation kind, ck_matrix gate, ck_matrix up, ck_matrix y, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(gated_as, gate, up, y, rows, columns)
}

static void gated_backward(
    ck_activation kind, ck_matrix dy, ck_matrix gate, ck_matrix up, ck_matrix dgate,
    ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(gated_backward_as, dy, gate, up, dgate, dup, rows, columns)
}
