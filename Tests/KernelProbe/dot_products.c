// Products with bf16 operands by the definition of Arm's instructions, for a processor that has none of
// them: what those must give.
#include "../../Sources/CKernels/product_scalar.h"

#include "../../Sources/CKernels/product_f32.h"

#include "pairs_dot.h"

#include "../../Sources/CKernels/product_units_bf16.h"
#define CK_UNITS bf16
#define CK_BLOCKS CK_PAIR_BLOCKS
#include "../../Sources/CKernels/product_body.h"
#undef CK_UNITS
#undef CK_BLOCKS

const ck_product_kernels *kernel_probe_dot_products(void);

const ck_product_kernels *kernel_probe_dot_products(void) {
  static const ck_product_kernels kernels = {
      .name = "dot", .f32_name = "dot", .block_columns = 16, .multiply = products_f32,
      .peak = peak_f32,
      .narrow = narrow_bf16, .multiply_bf16 = multiply_bf16};
  return &kernels;
}
