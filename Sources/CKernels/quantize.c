#include "ck_quantize.h"

#include <math.h>
#include <string.h>

// One text for every processor: nothing is fused, and no function's last bit is a library's choice.
#pragma STDC FP_CONTRACT OFF

// The f16 nearest to a number from 0 on, ties to even.
static uint16_t half_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x >= 65520.0f) return 0x7c00;
  if (x < 0x1p-14f) {
    // Adding 1/2 aligns the fraction so that the addition rounds.
    float tiny = x + 0.5f;
    memcpy(&bits, &tiny, sizeof bits);
    return (uint16_t)(bits - 0x3f000000);
  }
  return (uint16_t)((bits - (112u << 23) + 0xfff + (bits >> 13 & 1)) >> 13);
}

static float greatest(const float *x, int64_t count) {
  float most = 0;
  for (int64_t i = 0; i < count; i++) {
    float size = fabsf(x[i]);
    if (size > most) most = size;
  }
  return most;
}

void ck_quantize_q8_0(uint8_t *blocks, const float *x, int64_t count) {
  for (int64_t i = 0; i < count; i += 32, blocks += 34) {
    float d = greatest(x + i, 32) / 127, inverse = d == 0 ? 0 : 1 / d;
    uint16_t half = half_bits(d);
    memcpy(blocks, &half, sizeof half);
    // Half away from 0.
    for (int j = 0; j < 32; j++) blocks[2 + j] = (uint8_t)(int8_t)roundf(x[i + j] * inverse);
  }
}

void ck_quantize_codes4(
    uint8_t *codes, float *scales, const float *x, int64_t count, int64_t block,
    const float *sorted, const uint8_t *code_of) {
  float middle[15];
  for (int i = 0; i < 15; i++) middle[i] = (sorted[i] + sorted[i + 1]) / 2;
  for (int64_t start = 0; start < count; start += block) {
    int64_t end = start + block < count ? start + block : count;
    float most = greatest(x + start, end - start), inverse = 1 / (most < 1e-38f ? 1e-38f : most);
    scales[start / block] = most;
    for (int64_t i = start; i < end; i++) {
      float share = x[i] * inverse;
      int nearest = 0;
      for (int j = 0; j < 15; j++) nearest += share > middle[j];
      uint8_t code = code_of[nearest];
      if (i % 2 == 0) codes[i / 2] = (uint8_t)(code << 4);
      else codes[i / 2] |= code;
    }
  }
}
