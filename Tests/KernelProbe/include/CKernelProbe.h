// Runs every kernel of a table on inputs that are the same everywhere and hashes what it writes.
#pragma once

#include <stdint.h>

#include "CKernels.h"

// Gets the name of a case and the 64-bit FNV-1a hash of its results. All NaN count as the same.
typedef void (*_Nonnull kernel_probe_report)(
    void *_Nullable context, const char *_Nonnull name, uint64_t hash);

// Every entry of the table, in several shapes each.
void kernel_probe(
    const ck_kernels *_Nonnull kernels, kernel_probe_report report, void *_Nullable context);

// The elementary functions.
void kernel_probe_real(kernel_probe_report report, void *_Nullable context);

// The kernels in vectors of 16, as AVX-512 has them, lowered to whatever this processor runs; NULL
// where that is not known.
const ck_kernels *_Nullable kernel_probe_wide(void);

// The products and the attention with bf16 operands that are multiplied as such.
void kernel_probe_bf16(
    const ck_product_kernels *_Nonnull products, const ck_attention_kernels *_Nonnull attention,
    kernel_probe_report report, void *_Nullable context);

// The same by the definition of Arm's instructions, one number at a time on any processor.
const ck_product_kernels *_Nonnull kernel_probe_dot_products(void);
const ck_attention_kernels *_Nonnull kernel_probe_dot_attention(void);
