// Prints the hash of every kernel's results, for the instruction set that is named; or with "bf16" of
// those that multiply bf16 numbers by an instruction, with "bf16 dot" by the definition of Arm's.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "CKernelProbe.h"

static void print(void *context, const char *name, uint64_t hash) {
  (void)context;
  printf("%016" PRIx64 "  %s\n", hash, name);
}

int main(int argc, char **argv) {
  const char *set = argc > 1 ? argv[1] : "";
  if (strcmp(set, "bf16 dot") == 0) {
    kernel_probe_bf16(kernel_probe_dot_products(), kernel_probe_dot_attention(), print, NULL);
    return 0;
  }
  if (strcmp(set, "bf16") == 0) {
    if (!ck_has_native_bf16()) {
      fprintf(stderr, "no instruction for bf16 here\n");
      return 64;
    }
    const ck_kernels *best = ck_kernels_best();
    kernel_probe_bf16(ck_products(best), ck_bf16_attention(best), print, NULL);
    return 0;
  }
  const ck_kernels *kernels =
      strcmp(set, "wide") == 0 ? kernel_probe_wide() : ck_kernels_named(set);
  if (kernels == NULL) {
    fprintf(stderr, "no instruction set '%s' here\n", set);
    return 64;
  }
  kernel_probe(kernels, print, NULL);
  kernel_probe_real(print, NULL);
  return 0;
}
