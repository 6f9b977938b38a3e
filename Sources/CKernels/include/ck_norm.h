// Kernels of the norms and of rotary positions: see norm_body.h.
#pragma once

#include "ck_matrix.h"

typedef struct {
  // y = x / rms(x) * (weight + offset); inverse[t] = 1 / rms.
  void (*_Nonnull rms)(
      ck_matrix x, const float *_Nonnull weight, float offset, float epsilon, ck_matrix y,
      ck_matrix inverse, ptrdiff_t rows, ptrdiff_t columns);
  // dx (+)= the gradient; dx may be dy.
  void (*_Nonnull rms_backward)(
      ck_matrix dy, ck_matrix x, const float *_Nonnull weight, float offset, ck_matrix inverse,
      ck_matrix dx, int adding, ptrdiff_t rows, ptrdiff_t columns);
  // y = (x - mean) / deviation * weight + bias.
  void (*_Nonnull layer)(
      ck_matrix x, const float *_Nonnull weight, const float *_Nonnull bias, float epsilon,
      ck_matrix y, ck_matrix mean, ck_matrix inverse, ptrdiff_t rows, ptrdiff_t columns);
  void (*_Nonnull layer_backward)(
      ck_matrix dy, ck_matrix x, const float *_Nonnull weight, ck_matrix mean, ck_matrix inverse,
      ck_matrix dx, int adding, ptrdiff_t rows, ptrdiff_t columns);
  // sum[c] += sum over rows of dy * (x - mean[t]) * factor[t]; x, mean and factor may be absent
  // (base NULL): 1, 0 and 1.
  void (*_Nonnull column_sums)(
      ck_matrix dy, ck_matrix x, ck_matrix mean, ck_matrix factor, float *_Nonnull sum,
      ptrdiff_t rows, ptrdiff_t columns);
  // Turns the pairs (d, d + half) of every head, whose `dim` features are at least 2 half, in place
  // by the angle whose cosine and sine are in row positions[t] of the tables [.., half];
  // `direction` is 1, or -1 to turn back.
  void (*_Nonnull rotate)(
      ck_matrix x, const int32_t *_Nonnull positions, const float *_Nonnull cosines,
      const float *_Nonnull sines, float direction, ptrdiff_t rows, ptrdiff_t heads,
      ptrdiff_t dim, ptrdiff_t half);
} ck_norm_kernels;
