// Every family of kernels, in the instruction set of the file that includes this, and their table.
// No include guard: each isa_NAME.c is a translation unit of its own.
#include "vector.h"
#include "vector_math.h"

#define CK_PAIRS 0

#include "activation_body.h"
#include "attention_tile.h"
#include "attention_products.h"
#include "attention_body.h"
#include "attention_backward_body.h"
#include "elementwise_body.h"
#include "stored_body.h"
#include "linear_body.h"
#include "head_body.h"
#include "norm_body.h"
#include "optimizer_body.h"

#define CK_TABLE                                                              \
  {                                                                           \
    .name = CK_NAME, .linear = CK_LINEAR_TABLE, .norm = CK_NORM_TABLE,        \
    .elementwise = CK_ELEMENTWISE_TABLE, .attention = CK_ATTENTION_TABLE,     \
    .head = CK_HEAD_TABLE, .optimizer = CK_OPTIMIZER_TABLE                    \
  }
