// Kernels in plain C: a hash, one thread pool, and one table of functions per instruction set.
#pragma once

#include "ck_hash.h"
#include "ck_pool.h"
#include "ck_table.h"
