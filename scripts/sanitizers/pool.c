// The thread pool under a sanitizer: jobs of every size, one after the other, nested, with pauses in which the
// workers fall asleep, on pools that come and go. Every block writes plain memory, which the next job of
// other threads reads: what the pool does not order is a race.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ck_pool.h"

enum { most_blocks = 64, most_threads = 8, jobs = 3000 };

typedef struct {
  ck_pool *pool;
  int64_t values[most_blocks];
  int64_t by_worker[most_threads];
  int64_t inner_sums[most_blocks];
} shared;

static __attribute__((swiftcall)) void step(
    int64_t block, int64_t worker, __attribute__((swift_context)) const void *context) {
  shared *s = (shared *)context;
  // What another thread may have written in the job before.
  s->values[block] += 1 + s->values[block] % 2;
  s->by_worker[worker]++;
}

static __attribute__((swiftcall)) void inner(
    int64_t block, int64_t worker, __attribute__((swift_context)) const void *context) {
  (void)worker;
  *(int64_t *)context += block;
}

static __attribute__((swiftcall)) void outer(
    int64_t block, int64_t worker, __attribute__((swift_context)) const void *context) {
  (void)worker;
  shared *s = (shared *)context;
  ck_pool_run(s->pool, 5, inner, &s->inner_sums[block]);
}

int main(void) {
  for (int threads = 1; threads <= most_threads; threads++) {
    shared s = {.pool = ck_pool_create(threads)};
    if (s.pool == NULL) {
      fprintf(stderr, "no pool of %d threads\n", threads);
      return 1;
    }
    int64_t expected[most_blocks] = {0}, blocks = 0;
    for (int job = 0; job < jobs; job++) {
      int64_t count = job % (most_blocks + 1);
      ck_pool_run(s.pool, count, step, &s);
      blocks += count;
      for (int64_t i = 0; i < count; i++) {
        expected[i] += 1 + expected[i] % 2;
        if (s.values[i] != expected[i]) {
          fprintf(stderr, "%d threads, job %d: block %lld\n", threads, job, (long long)i);
          return 1;
        }
      }
      if (job % 500 == 499) usleep(2000);
    }
    for (int worker = 0; worker < most_threads; worker++) blocks -= s.by_worker[worker];
    ck_pool_run(s.pool, most_blocks, outer, &s);
    for (int i = 0; i < most_blocks; i++) blocks += s.inner_sums[i] - 10;
    ck_pool_destroy(s.pool);
    if (blocks != 0) {
      fprintf(stderr, "%d threads: blocks are missing\n", threads);
      return 1;
    }
  }
  // Pools that come and go, used or not.
  for (int i = 0; i < 50; i++) {
    shared s = {.pool = ck_pool_create(4)};
    if (s.pool == NULL) return 1;
    if (i % 2 == 0) ck_pool_run(s.pool, 7, step, &s);
    ck_pool_destroy(s.pool);
  }
  printf("%d jobs on each of 1 to %d threads\n", jobs, most_threads);
  return 0;
}
