// The loss of the head. Included by bodies.h once per instruction set.

// Terms that are added in f32 before the sum goes on in double: 64 a lane.
enum { ck_sum_block = 64 * sum_lanes };

CK_INLINE float greatest(const float *x, int64_t count) {
  vf best[4] = {vf_set(-INFINITY), vf_set(-INFINITY), vf_set(-INFINITY), vf_set(-INFINITY)};
  int64_t i = 0;
  for (; i + 4 * CK_WIDTH <= count; i += 4 * CK_WIDTH) {
#pragma clang loop unroll(full)
    for (int chain = 0; chain < 4; chain++) {
      best[chain] = vf_max(vf_load(x + i + chain * CK_WIDTH), best[chain]);
    }
  }
  float result = vf_greatest(vf_max(vf_max(best[0], best[1]), vf_max(best[2], best[3])));
  for (; i < count; i++) result = x[i] > result ? x[i] : result;
  return result;
}

// Sum of exp(x - shift); with `store` each term replaces its x.
CK_INLINE double sum_of_exponentials(float *x, int64_t count, float shift, int store) {
  double total = 0;
  for (int64_t start = 0; start < count; start += ck_sum_block) {
    int64_t terms = count - start < ck_sum_block ? count - start : ck_sum_block;
    float *block = x + start;
    vf sums[sum_vectors];
    vf_clear(sums, sum_vectors);
    CK_FOR_SUMS(i, j, lanes, terms, {
      vf term = vf_exp(load_lanes(block + i, lanes) - vf_set(shift));
      if (lanes < CK_WIDTH) term = first_lanes(term, lanes);
      if (store) store_lanes(block + i, term, lanes);
      sums[j] += term;
    });
    total += (double)vf_total(sums, sum_vectors);
  }
  return total;
}

static double cross_entropy(
    float *logits, int64_t count, int64_t target, int gradient, int *correct) {
  float shift = greatest(logits, count);
  float value = logits[target];
  int first = value == shift;
  for (int64_t i = 0; first && i < target; i++) first = logits[i] != shift;
  *correct = first;
  double sum = gradient ? sum_of_exponentials(logits, count, shift, 1)
                        : sum_of_exponentials(logits, count, shift, 0);
  double loss = ck_real_log(sum) + ((double)shift - (double)value);
  if (gradient) {
    vf scale = vf_set((float)(1 / sum));
    int64_t i = 0;
    for (; i + CK_WIDTH <= count; i += CK_WIDTH) vf_store(logits + i, vf_load(logits + i) * scale);
    for (; i < count; i++) logits[i] *= (float)(1 / sum);
    // Near 1 the difference from f32 to 1 would cancel: the others' share is exact there.
    logits[target] = (float)ck_real_expm1(-loss);
  }
  return loss;
}
