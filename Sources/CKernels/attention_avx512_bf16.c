// Attention whose products have bf16 operands, on AVX-512 with the instruction for them
// (AVX512_BF16: AMD since Zen 4, Intel since Cooper Lake).
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define CK_WIDTH 16
#define CK_HAS_SCALEF 1
#define CK_PAIRS 1

#include "isa.h"

#pragma clang attribute push(                                                             \
    __attribute__((target("avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), \
    apply_to = function)
#include "vector.h"
#include "vector_math.h"

#include "pairs_avx512.h"

#include "attention_tile.h"
#include "attention_products.h"
#include "attention_body.h"
#include "attention_backward_body.h"
#pragma clang attribute pop

const ck_attention_kernels ck_attention_avx512_bf16 = CK_ATTENTION_TABLE;

#endif
