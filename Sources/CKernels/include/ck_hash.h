// A hash of memory, for comparing what should be the same bytes.
#pragma once

#include <stdint.h>

// XXH64 (Collet, xxHash specification 0.1.1) of `count` bytes, which may start anywhere.
//
// No difference is known to escape it but by chance, one in 2^64. It is no defence against somebody
// who wants two hashes to agree.
uint64_t ck_xxh64(const void *_Nullable bytes, int64_t count, uint64_t seed);
