// AVX-512 (F, BW, DQ, VL): Intel servers since Skylake-SP (2017), AMD since Zen 4 (2022).
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define CK_NAME "avx512"
#define CK_WIDTH 16
#define CK_PERMUTES 16
#define CK_HAS_SCALEF 1

#include "isa.h"

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#include "bodies.h"
#pragma clang attribute pop

const ck_kernels ck_table_avx512 = CK_TABLE;

#endif
