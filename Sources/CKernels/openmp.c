#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // for RTLD_DEFAULT
#endif
#include <dlfcn.h>
#include <stdbool.h>

#include "ck_table.h"

// oneDNN, as Debian builds it, shares out its work by OpenMP. The setting belongs to the calling
// thread. It is looked up by name because nothing else here needs the OpenMP library, and because a
// oneDNN built without OpenMP does not bring it.
void ck_use_one_openmp_thread(void) {
  static _Thread_local bool done = false;
  if (done) return;
  void (*set_threads)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  if (set_threads != NULL) set_threads(1);
  done = true;
}
