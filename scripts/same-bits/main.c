// Prints the hash of every kernel's results, for the instruction set that is named.
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
