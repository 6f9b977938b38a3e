// Element-wise kernels, dropout and sums: see activation_body.h and elementwise_body.h.
#pragma once

#include "ck_matrix.h"

typedef enum {
  ck_silu = 0, ck_gelu = 1, ck_gelu_tanh = 2, ck_relu = 3, ck_tanh = 4, ck_quick_gelu = 5,
  ck_relu_squared = 6
} ck_activation;

typedef struct {
  // y = f(x); y may be x.
  void (*_Nonnull activation)(
      ck_activation kind, ck_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns);
  // dx = dy f'(x); dx may be dy or x.
  void (*_Nonnull activation_backward)(
      ck_activation kind, ck_matrix dy, ck_matrix x, ck_matrix dx, ptrdiff_t rows,
      ptrdiff_t columns);
  // y = f(gate) up; y may be either.
  void (*_Nonnull gated)(
      ck_activation kind, ck_matrix gate, ck_matrix up, ck_matrix y, ptrdiff_t rows,
      ptrdiff_t columns);
  // dgate = dy up f'(gate), dup = dy f(gate); each may be any of the operands, not each other.
  void (*_Nonnull gated_backward)(
      ck_activation kind, ck_matrix dy, ck_matrix gate, ck_matrix up, ck_matrix dgate,
      ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns);
  // The same, where forward keeps its operands rounded to bf16 and what comes later reads those: the
  // results of `activation` and `gated` stay what they are, to the bit.
  void (*_Nonnull activation_keeping)(
      ck_activation kind, ck_matrix x, ck_rounded_matrix kept, ck_matrix y, ptrdiff_t rows,
      ptrdiff_t columns);
  void (*_Nonnull activation_kept)(
      ck_activation kind, ck_rounded_matrix x, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull activation_backward_kept)(
      ck_activation kind, ck_matrix dy, ck_rounded_matrix x, ck_matrix dx, ptrdiff_t rows,
      ptrdiff_t columns);
  void (*_Nonnull gated_keeping)(
      ck_activation kind, ck_matrix gate, ck_matrix up, ck_rounded_matrix kept_gate,
      ck_rounded_matrix kept_up, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull gated_kept)(
      ck_activation kind, ck_rounded_matrix gate, ck_rounded_matrix up, ck_matrix y,
      ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull gated_backward_kept)(
      ck_activation kind, ck_matrix dy, ck_rounded_matrix gate, ck_rounded_matrix up,
      ck_matrix dgate, ck_matrix dup, ptrdiff_t rows, ptrdiff_t columns);
  // y += scale x.
  void (*_Nonnull add)(
      ck_matrix x, ck_matrix y, float scale, ptrdiff_t rows, ptrdiff_t columns);
  // y = x * factor, x * l[c], x * f[t]; y may be x.
  void (*_Nonnull scale)(
      ck_matrix x, ck_matrix y, float factor, ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull scale_columns)(
      ck_matrix x, const float *_Nonnull l, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull scale_rows)(
      ck_matrix x, ck_matrix f, ck_matrix y, ptrdiff_t rows, ptrdiff_t columns);
  // y = x * scale where the element's draw is at least `threshold`, else 0. The draw of (t, c) is
  // word c % 4 of Philox4x32-10 at counter row_keys[t] * ceil(columns / 4) + c / 4; where row_keys
  // is NULL the key of row t is first_row + t.
  void (*_Nonnull dropout)(
      ck_matrix x, ck_matrix y, uint64_t key, uint64_t stream,
      const int32_t *_Nullable row_keys, uint64_t first_row, uint32_t threshold, float scale,
      ptrdiff_t rows, ptrdiff_t columns);
  // Sums in f64.
  double (*_Nonnull dot)(ck_matrix a, ck_matrix b, ptrdiff_t rows, ptrdiff_t columns);
} ck_elementwise_kernels;
