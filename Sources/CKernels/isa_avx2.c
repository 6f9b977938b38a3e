// AVX2 with FMA and F16C: Intel since Haswell (2013), AMD since Zen (2017).
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#include <immintrin.h>

#define CK_NAME "avx2"
#define CK_WIDTH 8
#define CK_PERMUTES 8

#include "isa.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#include "bodies.h"
#pragma clang attribute pop

const ck_kernels ck_table_avx2 = CK_TABLE;

#endif
