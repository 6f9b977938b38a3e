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
