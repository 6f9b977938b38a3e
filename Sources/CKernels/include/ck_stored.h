// How the numbers of a stored weight are written, and where a part of it begins.
#pragma once

#include <stdint.h>

// One number after the other, or blocks of numbers with a scale. Names in capitals are ggml's types,
// whose layout stored_body.h gives.
typedef enum {
  ck_f32 = 0,
  ck_f16,
  ck_bf16,
  ck_q4_0,
  ck_q4_1,
  ck_q5_0,
  ck_q5_1,
  ck_q8_0,
  ck_q2_k,
  ck_q3_k,
  ck_q4_k,
  ck_q5_k,
  ck_q6_k,
  ck_iq4_nl,
  ck_iq4_xs,
  // bitsandbytes': codes of 4 bits (NF4, FP4) over the flattened matrix; bytes with a scale a row.
  ck_codes4,
  ck_int8
} ck_type;

// What numbers of ck_codes4 and ck_int8 are made with, which lies apart from them.
typedef struct {
  float map[16];                  // the number of each code of 4 bits
  const void *_Nullable scales;   // floats at any address: of each block, or of each row
  const uint8_t *_Nullable nested;  // codes of the scales, where those are nested
  float nested_map[256];
  const void *_Nullable nested_scales;  // floats at any address
  float nested_offset;
  int64_t nested_block;  // scales that share a nested scale
  int64_t block;         // numbers that share a scale
  int64_t columns;       // numbers of a row
  ck_type rounding;      // what a number is rounded to: ck_f32 (nothing), ck_f16 or ck_bf16
} ck_codes;

// A part of a stored row-major matrix: row r of it is stored row `row` + r from number `element` on.
typedef struct {
  const void *_Nonnull base;  // the stored matrix, at any byte address
  int64_t row_bytes;          // from one stored row to the next
  ck_type type;
  int64_t row, element;
  // Rows of a head whose halves are stored by turns (row i of the first half at 2 i, of the second at
  // 2 i + 1), as llama.cpp wants those of queries and keys; 0 where rows lie as they are counted.
  int64_t head;
  const ck_codes *_Nullable codes;  // of ck_codes4 and ck_int8
} ck_stored;
