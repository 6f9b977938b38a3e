// Numbers to fewer bits, for what is written and for bases that are kept so: see stored_body.h for the
// way back.
#pragma once

#include <stdint.h>

// Blocks of Q8_0 (ggml's quantize_row_q8_0_ref); `count` is a multiple of 32.
void ck_quantize_q8_0(uint8_t *_Nonnull blocks, const float *_Nonnull x, int64_t count);

// Codes of 4 bits, the first of a byte in its high half, and a scale for each block of `block` numbers, an
// even number: the greatest size in it. A number takes the code whose number is nearest to its share of
// that; `sorted` are the 16 numbers ascending, `code_of` their codes.
void ck_quantize_codes4(
    uint8_t *_Nonnull codes, float *_Nonnull scales, const float *_Nonnull x, int64_t count,
    int64_t block, const float *_Nonnull sorted, const uint8_t *_Nonnull code_of);
