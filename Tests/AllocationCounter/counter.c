#define _GNU_SOURCE
#include "allocation_counter.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <features.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { deepest = 64, most_stacks = 4 };

static atomic_int is_counting;
static atomic_llong counts[AC_OWNERS];
static atomic_int stack_count;
static struct {
  void *frames[deepest];
  atomic_int depth;
} stacks[most_stacks];

void ac_start(void) {
  // The first call loads the unwinder, which allocates.
  void *frames[4];
  backtrace(frames, 4);
  for (int owner = 0; owner < AC_OWNERS; owner++) atomic_store(&counts[owner], 0);
  for (int place = 0; place < most_stacks; place++) atomic_store(&stacks[place].depth, 0);
  atomic_store(&stack_count, 0);
  atomic_store(&is_counting, 1);
}

void ac_stop(void) { atomic_store(&is_counting, 0); }

int64_t ac_count(ac_owner owner) { return atomic_load(&counts[owner]); }

void ac_write_stacks(int descriptor) {
  for (int place = 0; place < most_stacks; place++) {
    int depth = atomic_load(&stacks[place].depth);
    if (depth == 0) continue;
    backtrace_symbols_fd(stacks[place].frames, depth, descriptor);
    if (write(descriptor, "\n", 1) < 0) return;
  }
}

// A sanitizer has allocators of its own, which must be first.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define AC_HAS_OWNER 1
#else
#define AC_HAS_OWNER 0
#endif

#if defined(__GLIBC__) && !AC_HAS_OWNER

int ac_is_supported(void) { return 1; }

// Reading a stack must not count what it allocates itself.
static _Thread_local int is_reading;

static const struct {
  const char *part_of_path;
  ac_owner owner;
} libraries[] = {
    {"libmpi", AC_MPI},        {"libopen-", AC_MPI},      {"/openmpi", AC_MPI},
    {"libpmix", AC_MPI},       {"/pmix", AC_MPI},         {"libevent", AC_MPI},
    {"libhwloc", AC_MPI},      {"libucp", AC_MPI},        {"libucs", AC_MPI},
    {"libuct", AC_MPI},        {"libfabric", AC_MPI},     {"libhdf5", AC_HDF5},
};

static ac_owner owner_of(void *const *frames, int depth) {
  for (int frame = 0; frame < depth; frame++) {
    Dl_info info;
    if (dladdr(frames[frame], &info) == 0 || info.dli_fname == NULL) continue;
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
      if (strstr(info.dli_fname, libraries[i].part_of_path)) return libraries[i].owner;
  }
  return AC_PROGRAM;
}

static void count(void) {
  if (!atomic_load_explicit(&is_counting, memory_order_relaxed) || is_reading) return;
  int error = errno;
  is_reading = 1;
  void *frames[deepest];
  int depth = backtrace(frames, deepest);
  ac_owner owner = owner_of(frames, depth);
  atomic_fetch_add(&counts[owner], 1);
  if (owner == AC_PROGRAM) {
    int place = atomic_fetch_add(&stack_count, 1);
    if (place < most_stacks) {
      memcpy(stacks[place].frames, frames, sizeof frames);
      atomic_store(&stacks[place].depth, depth);
    }
  }
  is_reading = 0;
  errno = error;
}

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);

void *malloc(size_t size) {
  count();
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  count();
  return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
  count();
  return __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t number, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(number, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  return realloc(old, bytes);
}

void *memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
  if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0)
    return EINVAL;
  int error = errno;
  void *memory = memalign(alignment, size);
  errno = error;
  if (memory == NULL) return ENOMEM;
  *result = memory;
  return 0;
}

void *valloc(size_t size) {
  count();
  return __libc_valloc(size);
}

void *pvalloc(size_t size) {
  count();
  return __libc_pvalloc(size);
}

#ifdef SYS_mmap
void *mmap(void *address, size_t length, int protection, int flags, int file, off_t offset) {
  count();
  return (void *)syscall(SYS_mmap, address, length, protection, flags, file, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int file, off64_t offset) {
  return mmap(address, length, protection, flags, file, offset);
}
#endif

#else

int ac_is_supported(void) { return 0; }

#endif
