/* kernels_avx2.c - every kernel for the level "avx2", float32 and float64.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define FC_ISA "avx2"
#include "kernels/words.h"

#define FC_BITS 32
typedef float real;
#include "isa/vec_avx2.h"
#include "kernels/templates.h"
#undef FC_BITS

#define FC_BITS 64
typedef double real;
#include "isa/vec_avx2.h"
#include "kernels/templates.h"

const struct fc_kernels *const fc_kernels_avx2[2] = { &table_32, &table_64 };
