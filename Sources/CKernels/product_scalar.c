// Products of matrices on any processor, without vectors: the reference.
#include "product_scalar.h"

#include "product_f32.h"

const ck_product_kernels ck_product_scalar = {
    .name = "packed scalar", .f32_name = "packed scalar", .block_columns = 16,
    .multiply = products_f32, .peak = peak_f32};
