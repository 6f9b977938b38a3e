// Products of matrices by packed panels: see product_avx512.c.
#pragma once

#include <stdint.h>

#include "ck_linear.h"

// The definition of a product depends on two numbers, and in f32 on nothing of the processor:
//
// An element of C is a sum over the depth, cut into parts. There are as few parts as have at most
// `ck_product_depth` units (elements in f32, pairs of them in bf16) each, all of the same length
// rounded up to a multiple of 16 but for the last. A part's sum starts at 0 and takes a fused
// multiply-add for each element, in order, or for each pair what the processor's bf16 instruction does
// with it (pairs_NAME.h); the last part's goes on with the low-rank term, left times (right times
// right_scale), in fused multiply-adds. Each part is then added to C: C = scale * sum where there was
// nothing, else the fused scale * sum + C.
//
// So in f32 an element has the same bits on every instruction set, whatever other rows and columns
// are computed in the same call, and at whatever address.
enum {
  ck_product_depth = 352,
  // The highest rank of a low-rank term.
  ck_product_rank = 64,
  // Scratch memory: panels of 288 columns, so deep, and the same of such a rank.
  ck_product_panel_units = 288 * ck_product_depth,
  ck_product_scratch_bytes = 4 * (ck_product_panel_units + 288 * ck_product_rank)
};

// C (+)= scale * (A * op(B) + left * op(right)), on the calling thread.
//
// Strides are elements from one stored row to the next.
typedef struct {
  // [rows, depth] of floats, or [depth, rows] when transposed. In bf16: [rows, depth] of bf16, rows
  // starting at multiples of 4 bytes, and a 0 behind a row of odd length; never transposed.
  const void *_Nonnull a;
  int64_t a_stride;
  int a_transposed;
  // [depth, columns], or [columns, depth] when transposed. Begins at a multiple of 16 numbers of a row
  // where they are stored in blocks.
  ck_stored b;
  int b_transposed;
  int rounds_b;  // whether B is rounded to bf16, where its elements are not
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
  const char *_Nonnull name;      // such as "packed avx2"
  const char *_Nonnull f32_name;  // the same of the products in f32
  // What columns that a thread computes by itself begin at a multiple of: whole tiles, and whole runs of
  // numbers that are stored in blocks.
  int64_t block_columns;
  // Operands in f32; B is widened.
  ck_product_function _Nonnull multiply;
  // Multiply-adds in registers alone: what a core can do. Runs so many rounds of them, writes a number
  // that depends on all, and returns the floating-point operations done.
  double (*_Nonnull peak)(int64_t rounds, float *_Nonnull result);
  // destination[i] = source[i] rounded to bf16, for `multiply_bf16`.
  void (*_Nullable narrow)(uint16_t *_Nonnull destination, const float *_Nonnull source, int64_t count);
  // A in bf16, B rounded to it, sums in f32 by the processor's bf16 instruction; with `narrow` or not at
  // all.
  ck_product_function _Nullable multiply_bf16;
  double (*_Nullable peak_bf16)(int64_t rounds, float *_Nonnull result);
} ck_product_kernels;
