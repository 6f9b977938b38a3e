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
    case ck_quick_gelu: {
      // x s(1.702 x), s the sigmoid; slope s + 1.702 x s (1 - s).
      vf u = x * vf_set(1.702f);
      vf s = vf_sigmoid(u);
      *slope = vf_fma(u * s, one - s, s);
      return x * s;
    }
    case ck_relu_squared: {
      // As for relu, a NaN comes out again.
      vf r = vf_select(vf_less(x, vf_set(0)), vf_set(0), x);
      *slope = r + r;
      return r * r;
    }
  }
  __builtin_unreachable();
}

// An operand as floats, or as bf16 numbers (`rounded`, a constant at each call).
typedef struct {
  const void *base;
  ptrdiff_t stride;
} operand;

CK_INLINE operand exact_operand(ck_matrix x) { return (operand){x.base, x.stride}; }
CK_INLINE operand rounded_operand(ck_rounded_matrix x) { return (operand){x.base, x.stride}; }

CK_INLINE vf load_operand(operand x, int rounded, ptrdiff_t t, ptrdiff_t c, ptrdiff_t lanes) {
  if (!rounded) return load_lanes((const float *)x.base + t * x.stride + c, lanes);
  const uint16_t *p = (const uint16_t *)x.base + t * x.stride + c;
  return vf_from_bf16(lanes == CK_WIDTH ? vu16_load(p) : vu16_load_part(p, lanes));
}

// Writes `v` rounded to bf16, where anybody keeps it.
CK_INLINE void keep_lanes(
    const ck_rounded_matrix *kept, ptrdiff_t t, ptrdiff_t c, vf v, ptrdiff_t lanes) {
  if (!kept) return;
  vu16 bits = vf_to_bf16(vf_round_bf16(v));
  uint16_t *p = kept->base + t * kept->stride + c;
  if (lanes == CK_WIDTH) {
    memcpy(p, &bits, sizeof bits);
  } else {
    memcpy(p, &bits, (size_t)lanes * 2);
  }
}

CK_INLINE void activation_as(
    ck_activation kind, operand x, int rounded, const ck_rounded_matrix *kept, ck_matrix y,
    ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope, v = load_operand(x, rounded, t, c, lanes);
      keep_lanes(kept, t, c, v, lanes);
      store_lanes(y.base + t * y.stride + c, activate(kind, v, &slope), lanes);
    }
  }
}

CK_INLINE void activation_backward_as(
    ck_activation kind, ck_matrix dy, operand x, int rounded, ck_matrix dx, ptrdiff_t rows,
    ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      activate(kind, load_operand(x, rounded, t, c, lanes), &slope);
      vf v = load_lanes(dy.base + t * dy.stride + c, lanes) * slope;
      store_lanes(dx.base + t * dx.stride + c, v, lanes);
    }
  }
}

CK_INLINE void gated_as(
    ck_activation kind, operand gate, operand up, int rounded, const ck_rounded_matrix *kept_gate,
    const ck_rounded_matrix *kept_up, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope, g = load_operand(gate, rounded, t, c, lanes);
      vf u = load_operand(up, rounded, t, c, lanes);
      keep_lanes(kept_gate, t, c, g, lanes);
      keep_lanes(kept_up, t, c, u, lanes);
      store_lanes(y.base + t * y.stride + c, activate(kind, g, &slope) * u, lanes);
    }
  }
}

CK_INLINE void gated_backward_as(
    ck_activation kind, ck_matrix dy, operand gate, operand up, int rounded, ck_matrix dgate,
    ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; t++) {
    CK_FOR_COLUMNS(c, lanes, columns) {
      vf slope;
      vf value = activate(kind, load_operand(gate, rounded, t, c, lanes), &slope);
      vf u = load_operand(up, rounded, t, c, lanes);
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
    case ck_quick_gelu: function(ck_quick_gelu, __VA_ARGS__); break;  \
    case ck_relu_squared: function(ck_relu_squared, __VA_ARGS__); break; \
  }

static void activation(
    ck_activation kind, ck_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(activation_as, exact_operand(x), 0, NULL, y, rows, columns)
}

static void activation_keeping(
    ck_activation kind, ck_matrix x, ck_rounded_matrix kept, ck_matrix y, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(activation_as, exact_operand(x), 0, &kept, y, rows, columns)
}

static void activation_kept(
    ck_activation kind, ck_rounded_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(activation_as, rounded_operand(x), 1, NULL, y, rows, columns)
}

static void activation_backward(
    ck_activation kind, ck_matrix dy, ck_matrix x, ck_matrix dx, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(activation_backward_as, dy, exact_operand(x), 0, dx, rows, columns)
}

static void activation_backward_kept(
    ck_activation kind, ck_matrix dy, ck_rounded_matrix x, ck_matrix dx, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(activation_backward_as, dy, rounded_operand(x), 1, dx, rows, columns)
}

static void gated(
    ck_activation kind, ck_matrix gate, ck_matrix up, ck_matrix y, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(gated_as, exact_operand(gate), exact_operand(up), 0, NULL, NULL, y, rows, columns)
}

static void gated_keeping(
    ck_activation kind, ck_matrix gate, ck_matrix up, ck_rounded_matrix kept_gate,
    ck_rounded_matrix kept_up, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(
      gated_as, exact_operand(gate), exact_operand(up), 0, &kept_gate, &kept_up, y, rows, columns)
}

static void gated_kept(
    ck_activation kind, ck_rounded_matrix gate, ck_rounded_matrix up, ck_matrix y, ptrdiff_t rows,
    ptrdiff_t columns) {
  CK_PER_KIND(
      gated_as, rounded_operand(gate), rounded_operand(up), 1, NULL, NULL, y, rows, columns)
}

static void gated_backward(
    ck_activation kind, ck_matrix dy, ck_matrix gate, ck_matrix up, ck_matrix dgate,
    ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(
      gated_backward_as, dy, exact_operand(gate), exact_operand(up), 0, dgate, dup, rows, columns)
}

static void gated_backward_kept(
    ck_activation kind, ck_matrix dy, ck_rounded_matrix gate, ck_rounded_matrix up,
    ck_matrix dgate, ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns) {
  CK_PER_KIND(
      gated_backward_as, dy, rounded_operand(gate), rounded_operand(up), 1, dgate, dup, rows,
      columns)
}
