// Open MPI's handles are pointers.
#define HANDLE void *
#define CALLS cmpi_calls_openmpi
#include "calls_body.h"
