// A matrix as the kernels get it: its first element and the floats from a row's start to the next's.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
  float *_Nullable base;
  ptrdiff_t stride;
} ck_matrix;

// The same of bf16 numbers; the stride in those.
typedef struct {
  uint16_t *_Nonnull base;
  ptrdiff_t stride;
} ck_rounded_matrix;
