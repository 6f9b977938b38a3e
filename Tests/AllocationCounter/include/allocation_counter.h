// Counts the allocations of a whole process, and says whose each one is.
//
// A program that links this target gets its own malloc, calloc, realloc, memalign, aligned_alloc,
// posix_memalign, valloc, pvalloc, reallocarray, mmap and mmap64. The program's symbols come first in the search of
// the dynamic linker, so every library of the process calls them too: Swift's runtime, C++'s
// operator new, MPI, HDF5. They hand each request on to the C library, and count
// it while counting is on, on whichever thread it is made.
//
// Whose an allocation is, is read off its stack: the first of the named libraries on the way up, or
// else the program itself, to which the C and Swift runtimes belong.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

typedef enum {
  AC_PROGRAM = 0,
  AC_MPI = 1,
  AC_HDF5 = 2,
  AC_OWNERS = 3,
} ac_owner;

// Whether allocations can be counted with this C library.
int ac_is_supported(void);
// Forgets what was counted, and counts from here on.
void ac_start(void);
// Counts no more.
void ac_stop(void);
// What was counted for an owner.
int64_t ac_count(ac_owner owner);
// Writes the stacks of the program's first allocations to a file descriptor.
void ac_write_stacks(int descriptor);

#endif
