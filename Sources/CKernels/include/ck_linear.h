// Kernels of stored weights and of linear layers: see stored_body.h and linear_body.h.
#pragma once

#include <stdint.h>

#include "ck_stored.h"

typedef struct {
  // `count` numbers of a row of a stored matrix as f32; each is made by the operations that its format
  // is defined by, in their order and unfused.
  void (*_Nonnull read)(
      float *_Nonnull destination, const ck_stored *_Nonnull source, int64_t row, int64_t count);
  // destination[i] = source[i] as f32, in f32, f16 or bf16; the source may start at any byte.
  void (*_Nonnull expand)(
      float *_Nonnull destination, const void *_Nonnull source, ck_type type, int64_t count);
  // The same, rounded to bf16 (nearest even).
  void (*_Nonnull expand_rounded)(
      float *_Nonnull destination, const void *_Nonnull source, ck_type type, int64_t count);
  // The same as 16-bit patterns.
  void (*_Nonnull narrow)(
      uint16_t *_Nonnull destination, const void *_Nonnull source, ck_type type, int64_t count);
  // Each of `rows` rows of y (stride `y_stride`) = bias, or += bias when `adding`.
  void (*_Nonnull fill_rows)(
      float *_Nonnull y, int64_t y_stride, const float *_Nonnull bias, int64_t rows,
      int64_t columns, int adding);
  // sums[c] += the sum over the rows t of x[t][c], in the order of t.
  void (*_Nonnull add_column_sums)(
      float *_Nonnull sums, const float *_Nonnull x, int64_t x_stride, int64_t rows,
      int64_t columns);
  // y[i] += a * x[i]
  void (*_Nonnull add_scaled)(
      float *_Nonnull y, const float *_Nonnull x, float a, int64_t count);
} ck_linear_kernels;
