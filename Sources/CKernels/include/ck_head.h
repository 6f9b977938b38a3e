// Kernels of the head and the loss: see head_body.h.
#pragma once

#include <stdint.h>

typedef struct {
  // x = cap tanh(scale x / cap), or scale x where cap is 0.
  void (*_Nonnull scale_logits)(float *_Nonnull x, int64_t count, float scale, float cap);
  // The cross-entropy of a row of logits, which it scales and caps first, against `target`, in nats.
  // With `gradient` the row is overwritten by the gradient of what came in: softmax(logits) minus 1
  // at the target, times the slope of scaling and capping. `correct` is set to whether the target is
  // the first of the greatest logits.
  double (*_Nonnull cross_entropy)(
      float *_Nonnull logits, int64_t count, int64_t target, int gradient, float scale, float cap,
      int *_Nonnull correct);
} ck_head_kernels;
