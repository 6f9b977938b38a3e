// Kernels of linear layers, the head and the optimizer: see linear_body.h.
#pragma once

#include <stdint.h>

#include "ck_stored.h"

// What one step of AdamW multiplies with; see optimizer_body.h.
typedef struct {
  float gradient_scale;
  float decay;                // 1 - learning rate * weight decay
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float root_of_correction2;  // sqrt(1 - beta2^step)
  float epsilon;
  float step_size;            // learning rate / (1 - beta1^step)
} ck_adamw;

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
  // x = cap tanh(scale x / cap), or scale x where cap is 0.
  void (*_Nonnull scale_logits)(float *_Nonnull x, int64_t count, float scale, float cap);
  // The cross-entropy of a row of logits, which it scales and caps first, against `target`, in nats.
  // With `gradient` the row is overwritten by the gradient of what came in: softmax(logits) minus 1
  // at the target, times the slope of scaling and capping. `correct` is set to whether the target is
  // the first of the greatest logits.
  double (*_Nonnull cross_entropy)(
      float *_Nonnull logits, int64_t count, int64_t target, int gradient, float scale, float cap,
      int *_Nonnull correct);
  // One step of AdamW, or of SGD with decoupled decay, on `count` parameters.
  void (*_Nonnull adamw)(
      float *_Nonnull values, const float *_Nonnull gradients, float *_Nonnull first,
      float *_Nonnull second, ck_adamw step, int64_t count);
  void (*_Nonnull sgd)(
      float *_Nonnull values, const float *_Nonnull gradients, float gradient_scale, float decay,
      float learning_rate, int64_t count);
  // y[i] += a * x[i]
  void (*_Nonnull add_scaled)(
      float *_Nonnull y, const float *_Nonnull x, float a, int64_t count);
} ck_linear_kernels;
