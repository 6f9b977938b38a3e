// The optimizers. Included by bodies.h once per instruction set. Element-wise throughout, so that a
// parameter's path does not depend on where it lies or on who updates it.

// In the order of torch.optim.AdamW's single-tensor path (torch 2.9, torch/optim/adam.py,
// _single_tensor_adam with decoupled decay).
CK_INLINE void adamw_step(ck_adamw step, vf *value, vf gradient, vf *first, vf *second) {
  vf g = gradient * vf_set(step.gradient_scale);
  vf decayed = *value * vf_set(step.decay);
  vf m = *first + vf_set(step.one_minus_beta1) * (g - *first);
  vf v = *second * vf_set(step.beta2) + vf_set(step.one_minus_beta2) * g * g;
  vf denominator = vf_sqrt(v) / vf_set(step.root_of_correction2) + vf_set(step.epsilon);
  *value = decayed - vf_set(step.step_size) * m / denominator;
  *first = m;
  *second = v;
}

static void adamw(
    float *values, const float *gradients, float *first, float *second, ck_adamw step,
    int64_t count) {
  int64_t i = 0;
  for (; i + CK_WIDTH <= count; i += CK_WIDTH) {
    vf p = vf_load(values + i), m = vf_load(first + i), v = vf_load(second + i);
    adamw_step(step, &p, vf_load(gradients + i), &m, &v);
    vf_store(values + i, p);
    vf_store(first + i, m);
    vf_store(second + i, v);
  }
  if (i < count) {
    int64_t rest = count - i;
    vf p = vf_load_part(values + i, rest), m = vf_load_part(first + i, rest);
    vf v = vf_load_part(second + i, rest);
    adamw_step(step, &p, vf_load_part(gradients + i, rest), &m, &v);
    vf_store_part(values + i, p, rest);
    vf_store_part(first + i, m, rest);
    vf_store_part(second + i, v, rest);
  }
}

static void sgd(
    float *values, const float *gradients, float gradient_scale, float decay, float learning_rate,
    int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    values[i] = values[i] * decay - learning_rate * (gradients[i] * gradient_scale);
  }
}

#define CK_OPTIMIZER_TABLE {.adamw = adamw, .sgd = sgd}
