// Products of matrices by packed panels: see product_avx512.c.
#pragma once

#include <stdint.h>

#include "ck_linear.h"

// The highest rank of a low-rank term, and the bytes of scratch memory a product needs: panels of 288
// columns, 352 units and such a rank deep.
enum { ck_product_rank = 64, ck_product_scratch_bytes = 288 * (352 + ck_product_rank) * 4 };

// C (+)= scale * (A * op(B) + left * op(right)), on the calling thread.
//
// Strides are elements from one stored row to the next. An element of C is the same to the last bit
// whatever other rows and columns are computed in the same call, and at whatever address.
typedef struct {
  // [rows, depth] of floats, or [depth, rows] when transposed. In bf16: [rows, depth] of bf16, rows
  // starting at multiples of 4 bytes, and a 0 behind a row of odd length; never transposed.
  const void *_Nonnull a;
  int64_t a_stride;
  int a_transposed;
  // [depth, columns], or [columns, depth] when transposed; at any byte address.
  const void *_Nonnull b;
  ck_type b_type;
  int64_t b_stride;
  int b_transposed;
  // A low-rank term in f32, added while C is in registers: left is [rows, rank], right [rank,
  // columns], or [columns, rank] when transposed, and counts right_scale times. A rank of 0 is none.
  const float *_Nullable left;
  int64_t left_stride;
  const float *_Nullable right;
  int64_t right_stride;
  int right_transposed;
  float right_scale;
  int64_t rank;
  // [rows, columns], or [columns, rows] when transposed.
  float *_Nonnull c;
  int64_t c_stride;
  int c_transposed;
  int64_t rows, columns, depth;
  float scale;
  int adding;  // else C is overwritten
  void *_Nonnull scratch;  // ck_product_scratch_bytes at a multiple of 64
} ck_product;

typedef void (*ck_product_function)(const ck_product *_Nonnull);

typedef struct {
  // Operands in f32; B is widened.
  ck_product_function _Nonnull multiply;
  // destination[i] = source[i] rounded to bf16, for `multiply_bf16`.
  void (*_Nullable narrow)(uint16_t *_Nonnull destination, const float *_Nonnull source, int64_t count);
  // A in bf16, B rounded to it, sums in f32 by the processor's bf16 instruction; with `narrow` or
  // not at all.
  ck_product_function _Nullable multiply_bf16;
} ck_product_kernels;
