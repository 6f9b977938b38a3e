// The tables that table.c chooses from; each is made in isa_NAME.c.
#pragma once

#include "ck_real.h"
#include "ck_table.h"

extern const ck_kernels ck_table_scalar;
extern const ck_product_kernels ck_product_scalar;
#if defined(__x86_64__)
extern const ck_kernels ck_table_scalar_fma;
extern const ck_product_kernels ck_product_scalar_fma;
extern const ck_kernels ck_table_avx2;
extern const ck_kernels ck_table_avx512;
extern const ck_attention_kernels ck_attention_avx512_bf16;
extern const ck_product_kernels ck_product_avx2;
extern const ck_product_kernels ck_product_avx512;
extern const ck_product_kernels ck_product_avx512_bf16;
#elif defined(__aarch64__)
extern const ck_kernels ck_table_neon;
extern const ck_attention_kernels ck_attention_neon_bf16;
extern const ck_product_kernels ck_product_neon;
extern const ck_product_kernels ck_product_neon_bf16;
#endif
