// NEON: every 64-bit Arm processor.
#if defined(__aarch64__)

#define CK_NAME "neon"
#define CK_WIDTH 4

#include "isa.h"

#include "bodies.h"

const ck_kernels ck_table_neon = CK_TABLE;

#endif
