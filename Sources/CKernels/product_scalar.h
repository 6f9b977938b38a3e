// The reference of products, one number at a time; included by product_scalar.c and
// product_scalar_fma.c.
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "isa.h"

#define CK_WIDTH 1
#define CK_REGISTERS 32
#define CK_ACCUMULATORS 8
#define CK_TILE_ROWS 4
#define CK_TILE_VECTORS 2
#define CK_NARROW_ROWS 8
#define CK_FEW_ROWS_VECTORS 2
#define CK_SHAPES CK_SHAPE(2, 4) CK_SHAPE(1, 8)
#define CK_PACKED_COLUMNS 96
#define CK_PACKED_COLUMNS_TRANSPOSED 96
#define CK_PACKED_PARTS_TRANSPOSED 1
#define CK_TRANSPOSED_AHEAD 0
