// Products of matrices on NEON: tiles of 8 by 12 numbers, in 24 of 32 registers. In bf16 where the
// processor has the instructions (BF16: Neoverse V1, N2 and later), which multiply two rows by two
// columns over four elements of the depth.
#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"

#define CK_WIDTH 4
#define CK_REGISTERS 32
#define CK_ACCUMULATORS 24
#define CK_TILE_ROWS 8
#define CK_TILE_VECTORS 3
#define CK_NARROW_ROWS 16
#define CK_FEW_ROWS_VECTORS 12
// By the vectors of a panel, the rows that fill the accumulators.
#define CK_SHAPES \
  CK_SHAPE(12, 2) CK_SHAPE(6, 4) CK_SHAPE(3, 8) CK_SHAPE(2, 8) CK_SHAPE(1, 16)
#define CK_PACKED_COLUMNS 144
#define CK_PACKED_COLUMNS_TRANSPOSED 96
#define CK_PACKED_PARTS_TRANSPOSED 2
#define CK_TRANSPOSED_AHEAD 0

#include "product_f32.h"

#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)

#include "pairs_neon.h"

#include "product_units_bf16.h"
#define CK_UNITS bf16
#define CK_BLOCKS CK_PAIR_BLOCKS
#include "product_body.h"
#undef CK_UNITS
#undef CK_BLOCKS

#define CK_PRODUCT_PEAK peak_bf16
#define CK_PEAK_STEP(sum, x, y) pair_blocks_dot(sum, vf_units(x), vf_units(y))
#define CK_PEAK_PER_LANE 4
#include "product_peak.h"

#pragma clang attribute pop

const ck_product_kernels ck_product_neon = {
    .name = "packed neon", .f32_name = "packed neon", .block_columns = 48,
    .multiply = products_f32, .peak = peak_f32};
const ck_product_kernels ck_product_neon_bf16 = {
    .name = "packed neon_bf16", .f32_name = "packed neon", .block_columns = 48,
    .multiply = products_f32, .peak = peak_f32,
    .narrow = narrow_bf16, .multiply_bf16 = multiply_bf16, .peak_bf16 = peak_bf16};

#endif
