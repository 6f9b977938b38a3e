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

// cap tanh(scale x / cap), or scale x where there is no cap.
static void scale_logits(float *x, int64_t count, float scale, float cap) {
  CK_FOR_COLUMNS(i, lanes, count) {
    vf v = load_lanes(x + i, lanes) * vf_set(scale);
    store_lanes(x + i, cap == 0 ? v : soft_cap(v, cap), lanes);
  }
}

// Probabilities less 1 at the target, times the slope of scale_logits at x, in x's place.
CK_INLINE void capped_gradient(
    float *x, int64_t count, float shift, double sum, float scale, float cap) {
  vf share = vf_set((float)(1 / sum));
  CK_FOR_COLUMNS(i, lanes, count) {
    vf v = load_lanes(x + i, lanes);
    vf slope = soft_cap_slope(v, cap) * vf_set(scale);
    store_lanes(x + i, vf_exp(v - vf_set(shift)) * share * slope, lanes);
  }
}

static double cross_entropy(
    float *logits, int64_t count, int64_t target, int gradient, float scale, float cap,
    int *correct) {
  if (scale != 1 || cap != 0) scale_logits(logits, count, scale, cap);
  float shift = greatest(logits, count);
  float value = logits[target];
  int first = value == shift;
  for (int64_t i = 0; first && i < target; i++) first = logits[i] != shift;
  *correct = first;
  double sum = gradient && cap == 0 ? sum_of_exponentials(logits, count, shift, 1)
                                    : sum_of_exponentials(logits, count, shift, 0);
  double loss = ck_real_log(sum) + ((double)shift - (double)value);
  if (gradient) {
    if (cap != 0) {
      capped_gradient(logits, count, shift, sum, scale, cap);
      scale *= vf_lane(soft_cap_slope(vf_set(value), cap), 0);
    } else {
      vf factor = vf_set((float)(1 / sum) * scale);
      CK_FOR_COLUMNS(i, lanes, count) {
        store_lanes(logits + i, load_lanes(logits + i, lanes) * factor, lanes);
      }
    }
    // Near 1 the difference from f32 to 1 would cancel: the others' share is exact there.
    logits[target] = (float)ck_real_expm1(-loss) * scale;
  }
  return loss;
}

#define CK_HEAD_TABLE {.scale_logits = scale_logits, .cross_entropy = cross_entropy}
