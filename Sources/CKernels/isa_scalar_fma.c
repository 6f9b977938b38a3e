// The reference with the fused multiply-add of x86-64 processors that have it: Intel since Haswell
// (2013), AMD since Piledriver (2012).
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)

#define CK_NAME "scalar"
#define CK_WIDTH 1

#include "isa.h"

#pragma clang attribute push(__attribute__((target("fma"))), apply_to = function)
#include "bodies.h"
#pragma clang attribute pop

const ck_kernels ck_table_scalar_fma = CK_TABLE;

#endif
