// The text of the kernels in vectors of 16 without AVX-512: two registers of AVX2 or four of NEON
// for each. It shows on any machine that AVX-512's width gives the other sets' bits; what it leaves
// out are the two instructions behind CK_HAS_SCALEF.
#include <math.h>
#include <stdint.h>
#include <string.h>

// No vector crosses a call: all functions that take one are inlined.
#pragma clang diagnostic ignored "-Wpsabi"

#define CK_NAME "wide"
#define CK_WIDTH 16

#include "../../Sources/CKernels/isa.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#endif
#include "../../Sources/CKernels/bodies.h"
#if defined(__x86_64__)
#pragma clang attribute pop
#endif

static const ck_kernels table = CK_TABLE;

const ck_kernels *kernel_probe_wide(void);

const ck_kernels *kernel_probe_wide(void) {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("f16c")) {
    return NULL;
  }
#endif
  return &table;
}
