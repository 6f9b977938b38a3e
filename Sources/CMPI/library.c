#include "library.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

cmpi_functions cmpi_called;
cmpi_constants cmpi_known;

static const cmpi_calls *calls;

// Open MPI: predefined handles are addresses of the library's variables; the rest is what mpi.h of
// versions 4 and 5 says.
static const char *const openmpi_types[cmpi_type_count] = {
    "ompi_mpi_uint8_t", "ompi_mpi_int32_t", "ompi_mpi_int64_t",
    "ompi_mpi_uint64_t", "ompi_mpi_float", "ompi_mpi_double",
};
static const char *const openmpi_operations[cmpi_operation_count] = {
    "ompi_mpi_op_sum", "ompi_mpi_op_max", "ompi_mpi_op_min",
};

// MPICH: numbers that its binary interface fixes (mpi.h of versions 3 and 4).
static const cmpi_constants mpich_constants = {
    .world = 0x44000000,
    .info_null = 0x1c000000,
    .errors_return = 0x54000001,
    .types = {0x4c00013b, 0x4c000439, 0x4c00083a, 0x4c00083e, 0x4c00040a, 0x4c00080b},
    .operations = {0x58000003, 0x58000001, 0x58000002},
    .in_place = -1,
    .undefined = -32766,
    .type_shared = 1,
};

static char problem[512];

// Address of a name, or 0 with the problem noted.
static void *look_up(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (!address && problem[0] == 0) {
    const char *text = dlerror();
    snprintf(problem, sizeof problem, "%s", text ? text : name);
  }
  return address;
}

const char *cmpi_load(cmpi_abi abi, const char *name) {
  problem[0] = 0;
  // Its plug-ins look for the library's names among those of the program.
  void *library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    const char *text = dlerror();
    snprintf(problem, sizeof problem, "%s", text ? text : name);
    return problem;
  }
#define CMPI_LOOK_UP(name) cmpi_called.name = look_up(library, "MPI_" #name);
  CMPI_FUNCTIONS(CMPI_LOOK_UP)
#undef CMPI_LOOK_UP
  if (abi == cmpi_abi_openmpi) {
    cmpi_known.world = (intptr_t)look_up(library, "ompi_mpi_comm_world");
    cmpi_known.info_null = (intptr_t)look_up(library, "ompi_mpi_info_null");
    cmpi_known.errors_return = (intptr_t)look_up(library, "ompi_mpi_errors_return");
    for (int type = 0; type < cmpi_type_count; type++)
      cmpi_known.types[type] = (intptr_t)look_up(library, openmpi_types[type]);
    for (int operation = 0; operation < cmpi_operation_count; operation++)
      cmpi_known.operations[operation] = (intptr_t)look_up(library, openmpi_operations[operation]);
    cmpi_known.in_place = 1;
    cmpi_known.undefined = -32766;
    cmpi_known.type_shared = 0;
    calls = &cmpi_calls_openmpi;
  } else {
    cmpi_known = mpich_constants;
    // An Open MPI that goes by one of MPICH's names would take numbers for addresses.
    if (dlsym(library, "ompi_mpi_comm_world"))
      snprintf(problem, sizeof problem, "%s: it is Open MPI's", name);
    calls = &cmpi_calls_mpich;
  }
  if (problem[0]) calls = NULL;
  return problem[0] ? problem : NULL;
}

int cmpi_is_loaded(void) { return calls != NULL; }

cmpi_comm cmpi_world(void) { return cmpi_known.world; }

int cmpi_init_thread(int required, int *provided) {
  return ((int (*)(int *, char ***, int, int *))cmpi_called.Init_thread)(
      NULL, NULL, required, provided);
}

int cmpi_initialized(int *flag) { return ((int (*)(int *))cmpi_called.Initialized)(flag); }
int cmpi_finalized(int *flag) { return ((int (*)(int *))cmpi_called.Finalized)(flag); }
int cmpi_finalize(void) { return ((int (*)(void))cmpi_called.Finalize)(); }

int cmpi_error_string(int status, char *text, int *length) {
  return ((int (*)(int, char *, int *))cmpi_called.Error_string)(status, text, length);
}

int cmpi_get_library_version(char *text, int *length) {
  return ((int (*)(char *, int *))cmpi_called.Get_library_version)(text, length);
}

int cmpi_get_processor_name(char *text, int *length) {
  return ((int (*)(char *, int *))cmpi_called.Get_processor_name)(text, length);
}

int cmpi_abort(cmpi_comm comm, int status) { return calls->abort(comm, status); }
int cmpi_return_errors(cmpi_comm comm) { return calls->return_errors(comm); }
int cmpi_comm_rank(cmpi_comm comm, int *rank) { return calls->rank(comm, rank); }
int cmpi_comm_size(cmpi_comm comm, int *size) { return calls->size(comm, size); }
int cmpi_comm_free(cmpi_comm *comm) { return calls->free(comm); }

int cmpi_comm_split(cmpi_comm comm, int color, int key, cmpi_comm *result) {
  return calls->split(comm, color, key, result);
}

int cmpi_comm_split_shared(cmpi_comm comm, int key, cmpi_comm *result) {
  return calls->split_shared(comm, key, result);
}

int cmpi_barrier(cmpi_comm comm) { return calls->barrier(comm); }

int cmpi_bcast(void *buffer, int count, cmpi_type type, int root, cmpi_comm comm) {
  return calls->bcast(buffer, count, type, root, comm);
}

int cmpi_allreduce(
    const void *source, void *target, int count, cmpi_type type, cmpi_operation operation,
    cmpi_comm comm) {
  return calls->allreduce(source, target, count, type, operation, comm);
}

int cmpi_allgather(const void *source, void *target, int count, cmpi_type type, cmpi_comm comm) {
  return calls->allgather(source, target, count, type, comm);
}

int cmpi_allgatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, cmpi_comm comm) {
  return calls->allgatherv(source, count, target, counts, places, type, comm);
}

int cmpi_gatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, int root, cmpi_comm comm) {
  return calls->gatherv(source, count, target, counts, places, type, root, comm);
}
