// What a core of this instruction set can do: multiply-adds in registers and nothing else. Included
// once for each type of operands.

// Runs `rounds` rounds of independent multiply-adds and returns the floating-point operations
// done, two for each multiply-add.
static double CK_PRODUCT_PEAK(int64_t rounds, float *result) {
  vf sums[CK_ACCUMULATORS];
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_ACCUMULATORS; i++) sums[i] = vf_set((float)i);
  // The sums tend to 2^-8 / (1 - 1/2): normal numbers.
  vf x = vf_set(0.5f), y = vf_set(0x1p-8f);
#pragma clang loop unroll(disable)
  for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int step = 0; step < 4; step++) {
#pragma clang loop unroll(full)
      for (int i = 0; i < CK_ACCUMULATORS; i++) sums[i] = CK_PEAK_STEP(sums[i], x, y);
    }
  }
  vf total = vf_set(0);
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_ACCUMULATORS; i++) total += sums[i];
  *result = vf_sum(total);
  return 2.0 * 4 * CK_ACCUMULATORS * CK_WIDTH * CK_PEAK_PER_LANE * (double)rounds;
}
