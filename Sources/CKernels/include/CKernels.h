// Kernels in plain C: one thread pool, and one table of functions per instruction set.
#pragma once

#include "ck_pool.h"
#include "ck_table.h"
