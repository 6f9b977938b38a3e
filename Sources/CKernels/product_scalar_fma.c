// The reference once more for x86 processors that have the fused multiply-add as an instruction. The
// C library's function gives the same bits, ten times as slowly.
#if defined(__x86_64__)

#include "product_scalar.h"

#pragma clang attribute push(__attribute__((target("fma"))), apply_to = function)
#include "product_f32.h"
#pragma clang attribute pop

const ck_product_kernels ck_product_scalar_fma = {
    .name = "packed scalar", .f32_name = "packed scalar", .block_columns = 16,
    .multiply = products_f32, .peak = peak_f32};

#endif
