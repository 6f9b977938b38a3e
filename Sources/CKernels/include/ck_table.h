// The table of kernels, one filled per instruction set. Every entry is single-threaded; threads are
// the pool's business. All tables give the same bits, but where a product's operands are bf16
// numbers and the processor multiplies those itself; the scalar one is the shortest text.
#pragma once

#include <stdint.h>

#include "ck_attention.h"
#include "ck_elementwise.h"
#include "ck_head.h"
#include "ck_linear.h"
#include "ck_norm.h"
#include "ck_optimizer.h"
#include "ck_product.h"

typedef struct {
  const char *_Nonnull name;  // "scalar", "avx2", "avx512", "neon"
  ck_linear_kernels linear;
  ck_norm_kernels norm;
  ck_elementwise_kernels elementwise;
  ck_attention_kernels attention;
  ck_head_kernels head;
  ck_optimizer_kernels optimizer;
} ck_kernels;

// The best table this processor can run; the same one on every call.
const ck_kernels *_Nonnull ck_kernels_best(void);

// The table of that name, or NULL where it is unknown or this processor cannot run it.
const ck_kernels *_Nullable ck_kernels_named(const char *_Nonnull name);

// The products that go with a table, on this processor.
const ck_product_kernels *_Nonnull ck_products(const ck_kernels *_Nonnull kernels);

// The table's attention, which rounds its operands to bf16 where its problem says so.
const ck_attention_kernels *_Nonnull ck_f32_attention(const ck_kernels *_Nonnull kernels);

// The attention with bf16 operands that goes with a table, on this processor: by its bf16
// instruction, or the table's own, which emulates it.
const ck_attention_kernels *_Nonnull ck_bf16_attention(const ck_kernels *_Nonnull kernels);

// Whether the processor multiplies bf16 natively: by AVX512_BF16, which AMX processors have too, or by
// Arm's BF16.
int ck_has_native_bf16(void);
