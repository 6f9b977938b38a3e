// The products with operands in f32 of the instruction set whose page includes this, and its peak.
#include "vector.h"

#include "product_tiles.h"

#include "product_units_f32.h"
#define CK_UNITS f32
#define CK_BLOCKS 0
#include "product_body.h"
#undef CK_UNITS
#undef CK_BLOCKS

#include "product_few_rows.h"

static void products_f32(const ck_product *p) {
  if (takes_few_rows(p)) {
    multiply_few_rows(p);
  } else {
    multiply_f32(p);
  }
}

#define CK_PRODUCT_PEAK peak_f32
#define CK_PEAK_STEP(sum, x, y) vf_fma(sum, x, y)
#define CK_PEAK_PER_LANE 1
#include "product_peak.h"

#undef CK_PRODUCT_PEAK
#undef CK_PEAK_STEP
#undef CK_PEAK_PER_LANE
