// What was looked up in a library, for both kinds of handles.
#ifndef SWIFT_PEFT_CMPI_LIBRARY_H
#define SWIFT_PEFT_CMPI_LIBRARY_H

#include "CMPI.h"

#define CMPI_FUNCTIONS(F)  \
  F(Init_thread)           \
  F(Initialized)           \
  F(Finalized)             \
  F(Finalize)              \
  F(Abort)                 \
  F(Comm_set_errhandler)   \
  F(Error_string)          \
  F(Get_library_version)   \
  F(Get_processor_name)    \
  F(Comm_rank)             \
  F(Comm_size)             \
  F(Comm_free)             \
  F(Comm_split)            \
  F(Comm_split_type)       \
  F(Barrier)               \
  F(Bcast)                 \
  F(Allreduce)             \
  F(Allgather)             \
  F(Allgatherv)            \
  F(Gatherv)

typedef struct {
#define CMPI_FIELD(name) void *name;
  CMPI_FUNCTIONS(CMPI_FIELD)
#undef CMPI_FIELD
} cmpi_functions;

// Handles and constants, in the library's own terms.
typedef struct {
  intptr_t world, info_null, errors_return;
  intptr_t types[cmpi_type_count];
  intptr_t operations[cmpi_operation_count];
  intptr_t in_place;
  int undefined, type_shared;
} cmpi_constants;

extern cmpi_functions cmpi_called;
extern cmpi_constants cmpi_known;

// The calls that take handles, of each kind.
typedef struct {
  int (*abort)(cmpi_comm, int);
  int (*return_errors)(cmpi_comm);
  int (*rank)(cmpi_comm, int *);
  int (*size)(cmpi_comm, int *);
  int (*free)(cmpi_comm *);
  int (*split)(cmpi_comm, int, int, cmpi_comm *);
  int (*split_shared)(cmpi_comm, int, cmpi_comm *);
  int (*barrier)(cmpi_comm);
  int (*bcast)(void *, int, cmpi_type, int, cmpi_comm);
  int (*allreduce)(const void *, void *, int, cmpi_type, cmpi_operation, cmpi_comm);
  int (*allgather)(const void *, void *, int, cmpi_type, cmpi_comm);
  int (*allgatherv)(
      const void *, int, void *, const int *, const int *, cmpi_type, cmpi_comm);
  int (*gatherv)(
      const void *, int, void *, const int *, const int *, cmpi_type, int, cmpi_comm);
} cmpi_calls;

extern const cmpi_calls cmpi_calls_openmpi, cmpi_calls_mpich;

#endif
