/* kernels_portable.c - every kernel for the level "portable", float32 and float64.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define FC_ISA "portable"
#include "kernels/words.h"

#define FC_BITS 32
typedef float real;
#include "isa/vec_portable.h"
#include "kernels/templates.h"
#undef FC_BITS

#define FC_BITS 64
typedef double real;
#include "isa/vec_portable.h"
#include "kernels/templates.h"

const struct fc_kernels *const fc_kernels_portable[2] = { &table_32, &table_64 };
