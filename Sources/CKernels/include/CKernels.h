// Kernels in plain C: a hash, one thread pool, one table of functions per instruction set, and
// elementary functions.
#pragma once

#include "ck_hash.h"
#include "ck_mapping.h"
#include "ck_pool.h"
#include "ck_quantize.h"
#include "ck_real.h"
#include "ck_table.h"
