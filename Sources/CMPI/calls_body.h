// The calls that take handles, compiled once for each kind: HANDLE is the type, CALLS the table's name.
#include "library.h"

static int call_abort(cmpi_comm comm, int status) {
  return ((int (*)(HANDLE, int))cmpi_called.Abort)((HANDLE)comm, status);
}

static int call_return_errors(cmpi_comm comm) {
  return ((int (*)(HANDLE, HANDLE))cmpi_called.Comm_set_errhandler)(
      (HANDLE)comm, (HANDLE)cmpi_known.errors_return);
}

static int call_rank(cmpi_comm comm, int *rank) {
  return ((int (*)(HANDLE, int *))cmpi_called.Comm_rank)((HANDLE)comm, rank);
}

static int call_size(cmpi_comm comm, int *size) {
  return ((int (*)(HANDLE, int *))cmpi_called.Comm_size)((HANDLE)comm, size);
}

static int call_free(cmpi_comm *comm) {
  HANDLE handle = (HANDLE)*comm;
  int status = ((int (*)(HANDLE *))cmpi_called.Comm_free)(&handle);
  *comm = (cmpi_comm)handle;
  return status;
}

static int call_split(cmpi_comm comm, int color, int key, cmpi_comm *result) {
  HANDLE handle;
  int status = ((int (*)(HANDLE, int, int, HANDLE *))cmpi_called.Comm_split)(
      (HANDLE)comm, color < 0 ? cmpi_known.undefined : color, key, &handle);
  if (status == cmpi_success) *result = (cmpi_comm)handle;
  return status;
}

static int call_split_shared(cmpi_comm comm, int key, cmpi_comm *result) {
  HANDLE handle;
  int status = ((int (*)(HANDLE, int, int, HANDLE, HANDLE *))cmpi_called.Comm_split_type)(
      (HANDLE)comm, cmpi_known.type_shared, key, (HANDLE)cmpi_known.info_null, &handle);
  if (status == cmpi_success) *result = (cmpi_comm)handle;
  return status;
}

static int call_barrier(cmpi_comm comm) {
  return ((int (*)(HANDLE))cmpi_called.Barrier)((HANDLE)comm);
}

static int call_bcast(void *buffer, int count, cmpi_type type, int root, cmpi_comm comm) {
  return ((int (*)(void *, int, HANDLE, int, HANDLE))cmpi_called.Bcast)(
      buffer, count, (HANDLE)cmpi_known.types[type], root, (HANDLE)comm);
}

static int call_allreduce(
    const void *source, void *target, int count, cmpi_type type, cmpi_operation operation,
    cmpi_comm comm) {
  const void *from = source ? source : (const void *)cmpi_known.in_place;
  return ((int (*)(const void *, void *, int, HANDLE, HANDLE, HANDLE))cmpi_called.Allreduce)(
      from, target, count, (HANDLE)cmpi_known.types[type],
      (HANDLE)cmpi_known.operations[operation], (HANDLE)comm);
}

static int call_allgather(
    const void *source, void *target, int count, cmpi_type type, cmpi_comm comm) {
  HANDLE handle = (HANDLE)cmpi_known.types[type];
  return ((int (*)(const void *, int, HANDLE, void *, int, HANDLE, HANDLE))cmpi_called.Allgather)(
      source, count, handle, target, count, handle, (HANDLE)comm);
}

static int call_allgatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, cmpi_comm comm) {
  HANDLE handle = (HANDLE)cmpi_known.types[type];
  return ((int (*)(
      const void *, int, HANDLE, void *, const int *, const int *, HANDLE,
      HANDLE))cmpi_called.Allgatherv)(
      source, count, handle, target, counts, places, handle, (HANDLE)comm);
}

static int call_gatherv(
    const void *source, int count, void *target, const int *counts, const int *places,
    cmpi_type type, int root, cmpi_comm comm) {
  HANDLE handle = (HANDLE)cmpi_known.types[type];
  return ((int (*)(
      const void *, int, HANDLE, void *, const int *, const int *, HANDLE, int,
      HANDLE))cmpi_called.Gatherv)(
      source, count, handle, target, counts, places, handle, root, (HANDLE)comm);
}

const cmpi_calls CALLS = {
    .abort = call_abort,
    .return_errors = call_return_errors,
    .rank = call_rank,
    .size = call_size,
    .free = call_free,
    .split = call_split,
    .split_shared = call_split_shared,
    .barrier = call_barrier,
    .bcast = call_bcast,
    .allreduce = call_allreduce,
    .allgather = call_allgather,
    .allgatherv = call_allgatherv,
    .gatherv = call_gatherv,
};
