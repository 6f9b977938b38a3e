// A pool of threads that share out the numbered blocks of one job at a time.
#pragma once

#include <stdint.h>

typedef struct ck_pool ck_pool;

// Makes a pool of `threads` threads, the caller among them: with 1 no thread is created.
// Returns NULL when a thread cannot be created.
ck_pool *_Nullable ck_pool_create(int threads);

// Ends the threads. No job may be running.
void ck_pool_destroy(ck_pool *_Nonnull pool);

// Lets a thread of the pool run on the given processors only, numbered as the kernel does; worker 0 is
// the calling thread. Returns 0 or an error number: ENOSYS where the system cannot.
int ck_pool_bind(
    ck_pool *_Nonnull pool, int worker, const int32_t *_Nonnull processors, int count);

// Calls `body(block, worker)` for every block in 0 ..< count and returns when all have returned.
// Each thread begins with its own share of consecutive blocks, in ascending order, and then takes what
// others have left: where the blocks of one job after the other are the same rows in the same order,
// a thread finds its own in its caches. `worker` is the thread's number, 0 for the caller. A call
// from inside a job runs its blocks in order on the calling thread, under that thread's number.
//
// The body is a Swift closure `(Int, Int) -> Void` that does not escape: Swift passes it as a
// function and a context, and this signature names the two, so that nothing is allocated
// (withoutActuallyEscaping would allocate a box on every call). Swift sees the function through
// @_silgen_name with the closure in place of the last two parameters.
typedef __attribute__((swiftcall)) void (*ck_swift_body)(
    int64_t block, int64_t worker, __attribute__((swift_context)) const void *_Nullable context);

__attribute__((swiftcall)) void ck_pool_run(
    ck_pool *_Nonnull pool, int64_t count, ck_swift_body _Nonnull body,
    const void *_Nullable context);
