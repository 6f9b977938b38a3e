// Attention with bf16 operands by the definition of Arm's instructions, for a processor that has none of
// them: what those must give.
#include <math.h>
#include <stdint.h>
#include <string.h>

#define CK_WIDTH 1
#define CK_PAIRS 1

#include "../../Sources/CKernels/isa.h"

#include "../../Sources/CKernels/vector.h"
#include "../../Sources/CKernels/vector_math.h"

#include "pairs_dot.h"

#include "../../Sources/CKernels/attention_tile.h"
#include "../../Sources/CKernels/attention_products.h"
#include "../../Sources/CKernels/attention_body.h"
#include "../../Sources/CKernels/attention_backward_body.h"

const ck_attention_kernels *kernel_probe_dot_attention(void);

const ck_attention_kernels *kernel_probe_dot_attention(void) {
  static const ck_attention_kernels kernels = CK_ATTENTION_TABLE;
  return &kernels;
}
