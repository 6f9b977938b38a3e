// Attention whose products have bf16 operands, by Arm's instructions for them (BF16: Neoverse
// V1, N2 and later).
#if defined(__aarch64__)

#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define CK_WIDTH 4
#define CK_PAIRS 1

#include "isa.h"

#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#include "vector.h"
#include "vector_math.h"

#include "pairs_neon.h"

#include "attention_tile.h"
#include "attention_products.h"
#include "attention_body.h"
#include "attention_backward_body.h"
#pragma clang attribute pop

const ck_attention_kernels ck_attention_neon_bf16 = CK_ATTENTION_TABLE;

#endif
