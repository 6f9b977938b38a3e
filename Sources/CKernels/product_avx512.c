// Products of matrices on AVX-512, in f32 and, where the processor has the instruction (AVX512_BF16:
// AMD since Zen 4, Intel since Cooper Lake), with bf16 operands.
//
// Why not a library's: what is multiplied here is a frozen weight that comes from memory once in
// each direction, by activations from the cache. A library packs both operands in every call, and
// Debian's picks kernels by the processor's name, which for younger ones is a guess. Panels of the
// weight, packed once for all rows while the next are being fetched, leave 90 to 95 % of the
// processor's peak (Zen 5, weights not in the cache, 512 rows: 500 to 530 of 560 GFLOP/s in bf16,
// 250 to 265 of 280 in f32; a packing product of a library: 450 to 487 and 220 to 250).
#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"

#define CK_WIDTH 16
#define CK_PERMUTES 16
#define CK_REGISTERS 32
#define CK_ACCUMULATORS 24
#define CK_TILE_ROWS 8
#define CK_TILE_VECTORS 3
#define CK_NARROW_ROWS 16
#define CK_FEW_ROWS_VECTORS 12
// By the vectors of a panel, the rows that fill the accumulators.
#define CK_SHAPES \
  CK_SHAPE(12, 2) CK_SHAPE(6, 4) CK_SHAPE(3, 8) CK_SHAPE(2, 8) CK_SHAPE(1, 16)
// Second-level caches have a megabyte and more.
#define CK_PACKED_COLUMNS 288
#define CK_PACKED_COLUMNS_TRANSPOSED 96
#define CK_PACKED_PARTS_TRANSPOSED 3
#define CK_TRANSPOSED_AHEAD 0

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#include "product_f32.h"

#pragma clang attribute pop

#pragma clang attribute push(                                                             \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)

#include "pairs_avx512.h"

#include "product_units_bf16.h"
#define CK_UNITS bf16
#define CK_BLOCKS CK_PAIR_BLOCKS
#include "product_body.h"
#undef CK_UNITS
#undef CK_BLOCKS

#define CK_PRODUCT_PEAK peak_bf16
#define CK_PEAK_STEP(sum, x, y) accumulate_bf16(sum, vf_units(x), vf_units(y))
#define CK_PEAK_PER_LANE 2
#include "product_peak.h"

#pragma clang attribute pop

const ck_product_kernels ck_product_avx512 = {
    .name = "packed avx512", .f32_name = "packed avx512", .block_columns = 48,
    .multiply = products_f32, .peak = peak_f32};
const ck_product_kernels ck_product_avx512_bf16 = {
    .name = "packed avx512_bf16", .f32_name = "packed avx512", .block_columns = 48,
    .multiply = products_f32, .peak = peak_f32,
    .narrow = narrow_bf16, .multiply_bf16 = multiply_bf16, .peak_bf16 = peak_bf16};

#endif
