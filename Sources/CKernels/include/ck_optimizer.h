// Kernels of the optimizers: see optimizer_body.h.
#pragma once

#include <stdint.h>

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
  // One step of AdamW, or of SGD with decoupled decay, on `count` parameters.
  void (*_Nonnull adamw)(
      float *_Nonnull values, const float *_Nonnull gradients, float *_Nonnull first,
      float *_Nonnull second, ck_adamw step, int64_t count);
  void (*_Nonnull sgd)(
      float *_Nonnull values, const float *_Nonnull gradients, float gradient_scale, float decay,
      float learning_rate, int64_t count);
} ck_optimizer_kernels;
