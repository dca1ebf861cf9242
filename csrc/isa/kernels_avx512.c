/* kernels_avx512.c - every kernel for the level "avx512", float32. Its float64 is that of "avx2": a third slower, and a
 * tenth of the wheel.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define FC_ISA "avx512"
#include "kernels/words.h"

#define FC_BITS 32
typedef float real;
#include "isa/vec_avx512.h"
#include "kernels/templates.h"

const struct fc_kernels *const fc_kernels_avx512[1] = { &table_32 };
