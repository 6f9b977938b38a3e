// MPICH's handles are numbers of 32 bits.
#define HANDLE int
#define CALLS cmpi_calls_mpich
#include "calls_body.h"
