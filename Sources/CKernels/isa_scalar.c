// The reference: one number at a time, on any processor.
#define CK_NAME "scalar"
#define CK_WIDTH 1

#include "isa.h"

#include "bodies.h"

const ck_kernels ck_table_scalar = CK_TABLE;
