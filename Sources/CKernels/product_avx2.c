// Products of matrices on AVX2 with FMA: tiles of 6 by 16 numbers, in 12 of 16 registers.
#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"

#define CK_WIDTH 8
#define CK_PERMUTES 8
#define CK_REGISTERS 16
#define CK_ACCUMULATORS 12
#define CK_TILE_ROWS 6
#define CK_TILE_VECTORS 2
#define CK_NARROW_ROWS 12
#define CK_FEW_ROWS_VECTORS 8
// By the vectors of a panel, the rows that fill the accumulators.
#define CK_SHAPES CK_SHAPE(8, 1) CK_SHAPE(4, 3) CK_SHAPE(2, 6) CK_SHAPE(1, 12)
// Second-level caches have 256 KB (Haswell to Broadwell) or 512 KB (Zen).
#define CK_PACKED_COLUMNS 144
#define CK_PACKED_COLUMNS_TRANSPOSED 96
#define CK_PACKED_PARTS_TRANSPOSED 1
// Where A is transposed, its units lie a row apart, and no processor looks ahead by itself: the number
// so far behind is fetched.
#define CK_TRANSPOSED_AHEAD 32

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "product_f32.h"
#pragma clang attribute pop

const ck_product_kernels ck_product_avx2 = {
    .name = "packed avx2", .f32_name = "packed avx2", .block_columns = 16,
    .multiply = products_f32, .peak = peak_f32};

#endif
