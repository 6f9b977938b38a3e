// Prints the bits of many products as one number a line: two builds for two instruction sets must
// print the same. Usage: product_bits [cases]. `PRODUCTS` names the table of the build.
//
//   cc -I Sources/CKernels/include -I Sources/CKernels -DPRODUCTS=ck_product_neon \
//     Tests/KernelBits/product_bits.c Sources/CKernels/product_neon.c -lm
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ck_product.h"

extern const ck_product_kernels PRODUCTS;

static uint64_t state = 88172645463325252ull;

static uint64_t next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}
static int64_t below(int64_t count) { return (int64_t)(next() % (uint64_t)count); }

// Numbers of either sign from 2^-3 to 2^3, now and then 0 or a subnormal one.
static float number(void) {
  uint32_t bits = (uint32_t)next();
  if (bits % 61 == 0) return 0;
  uint32_t pattern = bits % 67 == 0 ? bits & 0x80000fffu
                                    : (bits & 0x807fffffu) | (124 + bits % 7) << 23;
  float result;
  memcpy(&result, &pattern, sizeof result);
  return result;
}

static float *floats(int64_t count) {
  float *result = malloc((size_t)(count + 1) * 4);
  for (int64_t i = 0; i < count; i++) result[i] = number();
  return result;
}

static uint64_t hashed(uint64_t hash, const void *bytes, int64_t count) {
  const unsigned char *byte = bytes;
  for (int64_t i = 0; i < count; i++) hash = (hash ^ byte[i]) * 1099511628211ull;
  return hash;
}

int main(int argc, char **argv) {
  int cases = argc > 1 ? atoi(argv[1]) : 600;
  void *scratch = aligned_alloc(64, (ck_product_scratch_bytes + 63) / 64 * 64);
  for (int i = 0; i < cases; i++) {
    ck_product p = {0};
    // Narrow and wide, and every tenth case more than is packed together.
    int isLarge = i % 10 == 9;
    p.rows = 1 + below(isLarge ? 70 : 30);
    p.columns = 1 + below(isLarge ? 400 : 60);
    p.depth = below(isLarge ? 1200 : 90);
    p.a_transposed = (int)below(2);
    p.b_transposed = (int)below(2);
    p.c_transposed = (int)below(2);
    p.b_type = (ck_type)below(3);
    p.rounds_b = (int)below(2);
    p.adding = (int)below(2);
    p.scale = below(2) ? 1 : 0.37f;
    p.rank = below(3) == 0 ? 1 + below(ck_product_rank) : 0;
    p.a_stride = (p.a_transposed ? p.rows : p.depth) + below(5);
    p.b_stride = (p.b_transposed ? p.depth : p.columns) + below(5);
    p.c_stride = (p.c_transposed ? p.rows : p.columns) + below(5);
    p.left_stride = p.rank + below(3);
    p.right_transposed = (int)below(2);
    p.right_stride = (p.right_transposed ? p.rank : p.columns) + below(3);
    p.right_scale = below(2) ? 1 : 1.25f;
    p.scratch = scratch;
    int64_t a_count = p.a_stride * (p.a_transposed ? p.depth : p.rows);
    int64_t b_count = p.b_stride * (p.b_transposed ? p.columns : p.depth);
    int64_t c_count = p.c_stride * (p.c_transposed ? p.columns : p.rows);
    int64_t right_count = p.right_stride * (p.right_transposed ? p.columns : p.rank);
    float *a = floats(a_count), *c = floats(c_count), *left = floats(p.left_stride * p.rows);
    float *right = floats(right_count);
    int64_t size = p.b_type == ck_f32 ? 4 : 2, shift = below(8);
    char *b = malloc((size_t)(b_count * size + 8));
    for (int64_t j = 0; j < b_count; j++) {
      float value = number();
      uint32_t bits;
      memcpy(&bits, &value, sizeof bits);
      // Half precision: a sign, an exponent around 1, ten bits.
      uint16_t half = p.b_type == ck_bf16 ? (uint16_t)(bits >> 16)
                                          : (uint16_t)((bits >> 31) << 15 | (12 + bits % 6) << 10 |
                                                       (bits >> 13 & 0x3ff));
      memcpy(b + shift + j * size, p.b_type == ck_f32 ? (void *)&value : (void *)&half, (size_t)size);
    }
    p.a = a, p.b = b + shift, p.c = c, p.left = left, p.right = right;
#ifdef CHECKS
    // A naive reference that follows the definition in ck_product.h.
    float *expected = malloc((size_t)(c_count + 1) * 4);
    memcpy(expected, c, (size_t)c_count * 4);
    int64_t parts = (p.depth + ck_product_depth - 1) / ck_product_depth;
    int64_t step = parts ? ((p.depth + parts - 1) / parts + 15) / 16 * 16 : 16;
    for (int64_t r = 0; r < p.rows; r++)
      for (int64_t k = 0; k < p.columns; k++) {
        float *e = expected + (p.c_transposed ? k * p.c_stride + r : r * p.c_stride + k);
        int64_t first = 0;
        do {
          float sum = 0;
          for (int64_t d = first; d < first + step && d < p.depth; d++) {
            float x = a[p.a_transposed ? d * p.a_stride + r : r * p.a_stride + d], y;
            int64_t at = p.b_transposed ? k * p.b_stride + d : d * p.b_stride + k;
            if (p.b_type == ck_f32) memcpy(&y, b + shift + 4 * at, 4);
            uint16_t h;
            if (p.b_type != ck_f32) memcpy(&h, b + shift + 2 * at, 2);
            if (p.b_type == ck_f16) { _Float16 f; memcpy(&f, &h, 2); y = (float)f; }
            if (p.b_type == ck_bf16) { uint32_t u = (uint32_t)h << 16; memcpy(&y, &u, 4); }
            if (p.rounds_b) { uint32_t u; memcpy(&u, &y, 4); u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u; memcpy(&y, &u, 4); }
            sum = fmaf(x, y, sum);
          }
          if (first + step >= p.depth)
            for (int64_t u = 0; u < p.rank; u++)
              sum = fmaf(left[r * p.left_stride + u],
                  right[p.right_transposed ? k * p.right_stride + u : u * p.right_stride + k] * p.right_scale, sum);
          *e = p.adding || first > 0 ? fmaf(p.scale, sum, *e) : p.scale * sum;
          first += step;
        } while (first < p.depth);
      }
#endif
    PRODUCTS.multiply(&p);
#ifdef CHECKS
    if (memcmp(expected, c, (size_t)c_count * 4)) { printf("case %d differs: %ldx%ldx%ld at %d bt %d ct %d type %d rank %ld\n", i, (long)p.rows,(long)p.depth,(long)p.columns,p.a_transposed,p.b_transposed,p.c_transposed,p.b_type,(long)p.rank); return 1; }
    free(expected);
#endif
    // Gaps between the rows of C count too: they must stay as they were.
    printf("%d %016llx\n", i, (unsigned long long)hashed(14695981039346656037ull, c, c_count * 4));
    free(a), free(b), free(c), free(left), free(right);
  }
  return 0;
}
