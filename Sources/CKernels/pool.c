#ifndef _GNU_SOURCE
#define _GNU_SOURCE  // pthread_setaffinity_np
#endif
#include "ck_pool.h"
#include "ck_table.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// How long an idle worker looks for the next job before it sleeps. The gaps between the kernels of
// a step are a few microseconds; a pause instruction is 40 to 140 cycles, so this is 30 to 100 us.
enum { idle_spins = 2000 };
// How long the caller waits for the last blocks before it offers its core to somebody else.
enum { finish_spins = 2000 };

// The blocks of a job that one worker begins with.
typedef struct {
  // Job number in the upper half, blocks not yet claimed in the lower. A worker claims by
  // compare-and-swap; while a claimed block is unfinished the job cannot end, so the fields of the
  // job are stable for exactly as long as the claimant reads them. A late worker sees 0 and goes.
  _Alignas(64) _Atomic uint64_t ticket;
  int64_t end;  // behind the last block
} ck_share;

struct ck_pool {
  _Alignas(64) _Atomic uint32_t job;  // number of the last one published
  _Alignas(64) _Atomic int64_t finished;
  _Alignas(64) ck_swift_body body;
  const void *context;

  _Alignas(64) _Atomic int sleepers;
  _Atomic bool stopping;
  _Atomic int ready;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  int threads;
  pthread_t *handles;
  ck_share *shares;  // one of each thread
};

// The number of the pool thread that runs, while it runs a block; -1 outside of jobs.
static _Thread_local int current_worker = -1;

typedef struct {
  ck_pool *pool;
  int worker;
} ck_worker_start;

static inline void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

// Runs what is left of a share.
static void finish_share(ck_pool *pool, ck_share *share, int worker) {
  uint64_t ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
  while ((uint32_t)ticket != 0) {
    if (!atomic_compare_exchange_weak_explicit(
            &share->ticket, &ticket, ticket - 1, memory_order_acq_rel, memory_order_acquire)) {
      continue;
    }
    int64_t block = share->end - (int64_t)(uint32_t)ticket;
    pool->body(block, worker, pool->context);
    atomic_fetch_add_explicit(&pool->finished, 1, memory_order_release);
    ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
  }
}

// A worker's own share first, then what its neighbours have left.
static void work(ck_pool *pool, int worker) {
  current_worker = worker;
  for (int i = 0; i < pool->threads; i++) {
    finish_share(pool, &pool->shares[(worker + i) % pool->threads], worker);
  }
  current_worker = -1;
}

static void *worker_main(void *argument) {
  ck_worker_start start = *(ck_worker_start *)argument;
  free(argument);
  ck_pool *pool = start.pool;
  atomic_fetch_add(&pool->ready, 1);
  uint32_t seen = 0;
  while (!atomic_load_explicit(&pool->stopping, memory_order_relaxed)) {
    for (int spin = 0; spin < idle_spins && atomic_load(&pool->job) == seen; spin++) {
      pause_briefly();
    }
    if (atomic_load(&pool->job) == seen) {
      pthread_mutex_lock(&pool->lock);
      atomic_fetch_add(&pool->sleepers, 1);
      // The caller publishes a job and then reads `sleepers`; here it is the other way round, so
      // one of the two always sees the other.
      while (atomic_load(&pool->job) == seen && !atomic_load(&pool->stopping)) {
        pthread_cond_wait(&pool->wake, &pool->lock);
      }
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->lock);
    }
    seen = atomic_load(&pool->job);
    work(pool, start.worker);
  }
  return NULL;
}

static void wake_all(ck_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

ck_pool *ck_pool_create(int threads) {
  void *memory = NULL;
  if (threads < 1 || posix_memalign(&memory, 64, sizeof(ck_pool)) != 0) return NULL;
  ck_pool *pool = memory;
  *pool = (ck_pool){.threads = 1};
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->handles = calloc((size_t)threads, sizeof(pthread_t));
  void *shares = NULL;
  if (pool->handles == NULL ||
      posix_memalign(&shares, 64, (size_t)threads * sizeof(ck_share)) != 0) {
    ck_pool_destroy(pool);
    return NULL;
  }
  pool->shares = memset(shares, 0, (size_t)threads * sizeof(ck_share));
  for (int worker = 1; worker < threads; worker++) {
    ck_worker_start *start = malloc(sizeof *start);
    if (start != NULL) *start = (ck_worker_start){pool, worker};
    if (start == NULL || pthread_create(&pool->handles[worker], NULL, worker_main, start) != 0) {
      free(start);
      ck_pool_destroy(pool);
      return NULL;
    }
    pool->threads = worker + 1;
  }
  while (atomic_load(&pool->ready) < threads - 1) sched_yield();
  return pool;
}

void ck_pool_destroy(ck_pool *pool) {
  atomic_store(&pool->stopping, true);
  wake_all(pool);
  for (int worker = 1; worker < pool->threads; worker++) pthread_join(pool->handles[worker], NULL);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool->handles);
  free(pool->shares);
  free(pool);
}

int ck_pool_bind(ck_pool *pool, int worker, const int32_t *processors, int count) {
  if (worker < 0 || worker >= pool->threads || count < 1) return EINVAL;
#if defined(__linux__)
  int highest = 0;
  for (int i = 0; i < count; i++) {
    if (processors[i] < 0) return EINVAL;
    if (processors[i] > highest) highest = processors[i];
  }
  // The set's own type ends at 1024 processors; machines do not.
  cpu_set_t *set = CPU_ALLOC((size_t)highest + 1);
  if (set == NULL) return ENOMEM;
  size_t size = CPU_ALLOC_SIZE((size_t)highest + 1);
  CPU_ZERO_S(size, set);
  for (int i = 0; i < count; i++) CPU_SET_S((size_t)processors[i], size, set);
  pthread_t thread = worker == 0 ? pthread_self() : pool->handles[worker];
  int status = pthread_setaffinity_np(thread, size, set);
  CPU_FREE(set);
  return status;
#else
  (void)processors;
  return ENOSYS;
#endif
}

__attribute__((swiftcall)) void ck_pool_run(
    ck_pool *pool, int64_t count, ck_swift_body body, const void *context) {
  bool nested = current_worker >= 0;
  if (nested || pool->threads == 1 || count <= 1) {
    int worker = nested ? current_worker : 0;
    current_worker = worker;
    for (int64_t block = 0; block < count; block++) body(block, worker, context);
    if (!nested) current_worker = -1;
    return;
  }
  pool->body = body;
  pool->context = context;
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  uint32_t job = atomic_load_explicit(&pool->job, memory_order_relaxed) + 1;
  int64_t end = 0;
  for (int worker = 0; worker < pool->threads; worker++) {
    int64_t blocks = count / pool->threads + (worker < count % pool->threads);
    end += blocks;
    pool->shares[worker].end = end;
    atomic_store_explicit(
        &pool->shares[worker].ticket, ((uint64_t)job << 32) | (uint64_t)blocks,
        memory_order_release);
  }
  atomic_store(&pool->job, job);
  if (atomic_load(&pool->sleepers) > 0) wake_all(pool);

  work(pool, 0);
  for (int spin = 0; atomic_load_explicit(&pool->finished, memory_order_acquire) < count; spin++) {
    if (spin < finish_spins) {
      pause_briefly();
    } else {
      sched_yield();
    }
  }
}
