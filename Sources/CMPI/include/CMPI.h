// The MPI functions that the program calls, of whichever MPI library is there when it starts.
//
// MPI's standard fixes names and meanings, not what handles and constants are: Open MPI's handles are
// addresses of its own variables, MPICH's (and Intel's, Cray's, MVAPICH's, which share its binary
// interface: https://www.mpich.org/abi/) are numbers. A program compiled with the one's mpi.h
// cannot use the other. This header declares neither; cmpi_load opens a library by name and looks up
// what follows. A function is called as the MPI function of its name is, and returns its status.
#ifndef SWIFT_PEFT_CMPI_H
#define SWIFT_PEFT_CMPI_H

#include <stdint.h>

// A communicator, whatever the library makes of it.
typedef intptr_t cmpi_comm;

// What a library's handles and constants are.
typedef enum { cmpi_abi_openmpi, cmpi_abi_mpich } cmpi_abi;

typedef enum {
  cmpi_uint8,
  cmpi_int32,
  cmpi_int64,
  cmpi_uint64,
  cmpi_float,
  cmpi_double,
  cmpi_type_count
} cmpi_type;

typedef enum { cmpi_sum, cmpi_max, cmpi_min, cmpi_operation_count } cmpi_operation;

enum {
  cmpi_success = 0,           // MPI_SUCCESS, 0 by the standard
  cmpi_thread_funneled = 1,   // MPI_THREAD_FUNNELED in both
  cmpi_longest_text = 8192,   // the longest that either writes: MPICH's MPI_MAX_LIBRARY_VERSION_STRING
};

// Opens a library; once for a process. NULL, or why it cannot be used: the text of the loader.
const char *cmpi_load(cmpi_abi abi, const char *name);
// Whether one was.
int cmpi_is_loaded(void);

cmpi_comm cmpi_world(void);

// The functions that follow must not be called before cmpi_load.
int cmpi_init_thread(int required, int *provided);
int cmpi_initialized(int *flag);
int cmpi_finalized(int *flag);
int cmpi_finalize(void);
int cmpi_abort(cmpi_comm comm, int status);
// MPI_Comm_set_errhandler with MPI_ERRORS_RETURN.
int cmpi_return_errors(cmpi_comm comm);
int cmpi_error_string(int status, char *text, int *length);
int cmpi_get_library_version(char *text, int *length);
int cmpi_get_processor_name(char *text, int *length);
int cmpi_comm_rank(cmpi_comm comm, int *rank);
int cmpi_comm_size(cmpi_comm comm, int *size);
int cmpi_comm_free(cmpi_comm *comm);
// `color` below 0: MPI_UNDEFINED.
int cmpi_comm_split(cmpi_comm comm, int color, int key, cmpi_comm *result);
// MPI_Comm_split_type with MPI_COMM_TYPE_SHARED.
int cmpi_comm_split_shared(cmpi_comm comm, int key, cmpi_comm *result);
int cmpi_barrier(cmpi_comm comm);
int cmpi_bcast(void *buffer, int count, cmpi_type type, int root, cmpi_comm comm);
// `source` NULL: MPI_IN_PLACE.
int cmpi_allreduce(
    const void *source, void *target, int count, cmpi_type type, cmpi_operation operation,
    cmpi_comm comm);
// As many elements from all.
int cmpi_allgather(const void *source, void *target, int count, cmpi_type type, cmpi_comm comm);
int cmpi_allgatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, cmpi_comm comm);
int cmpi_gatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, int root, cmpi_comm comm);

#endif
