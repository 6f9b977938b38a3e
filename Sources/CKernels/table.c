#include "ck_table.h"

#include <stddef.h>
#include <string.h>

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include "isa.h"

// With the processor's fused multiply-add where it has one: by the C library's function the same
// bits take ten times as long.
static const ck_kernels *scalar(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("fma")) return &ck_table_scalar_fma;
#endif
  return &ck_table_scalar;
}

// Best first.
static const ck_kernels *supported(int index) {
  switch (index) {
#if defined(__x86_64__)
    case 0:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                     __builtin_cpu_supports("fma")
                 ? &ck_table_avx512
                 : NULL;
    case 1:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                     __builtin_cpu_supports("f16c")
                 ? &ck_table_avx2
                 : NULL;
#elif defined(__aarch64__)
    case 0:
      return &ck_table_neon;  // NEON is part of every AArch64 processor.
#endif
    case 2:
      return scalar();
    default:
      return NULL;
  }
}

const ck_kernels *ck_kernels_best(void) {
  for (int index = 0; index < 2; index++) {
    const ck_kernels *table = supported(index);
    if (table != NULL) return table;
  }
  return scalar();
}

const ck_kernels *ck_kernels_named(const char *name) {
  for (int index = 0; index < 3; index++) {
    const ck_kernels *table = supported(index);
    if (table != NULL && strcmp(table->name, name) == 0) return table;
  }
  return NULL;
}

const ck_product_kernels *ck_products(const ck_kernels *kernels) {
#if defined(__x86_64__)
  if (kernels == &ck_table_avx512) {
    return ck_has_native_bf16() ? &ck_product_avx512_bf16 : &ck_product_avx512;
  }
  if (kernels == &ck_table_avx2) return &ck_product_avx2;
  if (__builtin_cpu_supports("fma")) return &ck_product_scalar_fma;
#elif defined(__aarch64__)
  if (kernels == &ck_table_neon) {
    return ck_has_native_bf16() ? &ck_product_neon_bf16 : &ck_product_neon;
  }
#endif
  return &ck_product_scalar;
}

const ck_attention_kernels *ck_f32_attention(const ck_kernels *kernels) {
  return &kernels->attention;
}

const ck_attention_kernels *ck_bf16_attention(const ck_kernels *kernels) {
#if defined(__x86_64__)
  if (kernels == &ck_table_avx512 && ck_has_native_bf16()) return &ck_attention_avx512_bf16;
#elif defined(__aarch64__)
  if (kernels == &ck_table_neon && ck_has_native_bf16()) return &ck_attention_neon_bf16;
#endif
  return &kernels->attention;
}

int ck_has_native_bf16(void) {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl");
#elif defined(__aarch64__) && defined(__linux__)
  return (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0;
#else
  return 0;
#endif
}
