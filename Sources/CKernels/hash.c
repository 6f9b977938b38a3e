// XXH64: see ck_hash.h. A stripe of 32 bytes costs 8 multiplications, which four independent lanes
// keep in flight: 4 bytes a cycle, above what a core reads from memory. No vector form, since neither
// AVX2 nor NEON multiplies 64-bit numbers. Words are read as they lie: every processor that the
// program runs on is little-endian.
#include <string.h>

#include "ck_hash.h"

static const uint64_t prime1 = 0x9E3779B185EBCA87u;
static const uint64_t prime2 = 0xC2B2AE3D27D4EB4Fu;
static const uint64_t prime3 = 0x165667B19E3779F9u;
static const uint64_t prime4 = 0x85EBCA77C2B2AE63u;
static const uint64_t prime5 = 0x27D4EB2F165667C5u;

static inline uint64_t rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline uint64_t load64(const unsigned char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static inline uint64_t load32(const unsigned char *p) {
  uint32_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

static inline uint64_t take(uint64_t lane, uint64_t word) {
  return rotate(lane + word * prime2, 31) * prime1;
}

static inline uint64_t merge(uint64_t hash, uint64_t lane) {
  return (hash ^ take(0, lane)) * prime1 + prime4;
}

uint64_t ck_xxh64(const void *bytes, int64_t count, uint64_t seed) {
  const unsigned char *p = bytes;
  const unsigned char *end = p + count;
  uint64_t hash;
  if (count >= 32) {
    uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
    for (const unsigned char *last = end - 32; p <= last; p += 32) {
      a = take(a, load64(p));
      b = take(b, load64(p + 8));
      c = take(c, load64(p + 16));
      d = take(d, load64(p + 24));
    }
    hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = merge(merge(merge(merge(hash, a), b), c), d);
  } else {
    hash = seed + prime5;
  }
  hash += (uint64_t)count;
  for (; end - p >= 8; p += 8) hash = rotate(hash ^ take(0, load64(p)), 27) * prime1 + prime4;
  if (end - p >= 4) {
    hash = rotate(hash ^ load32(p) * prime1, 23) * prime2 + prime3;
    p += 4;
  }
  for (; p < end; p++) hash = rotate(hash ^ *p * prime5, 11) * prime1;
  hash = (hash ^ hash >> 33) * prime2;
  hash = (hash ^ hash >> 29) * prime3;
  return hash ^ hash >> 32;
}
