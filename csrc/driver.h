/* driver.h - what the drivers of all operations share: arithmetic on extents, limits of scratch memory.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_DRIVER_H
#define FC_DRIVER_H

#include "kernels/kernels.h"
#include "threads.h"

static inline int64_t fc_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t fc_round_up(int64_t a, int64_t b) { return fc_ceil_div(a, b) * b; }
static inline int64_t fc_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t fc_max(int64_t a, int64_t b) { return a > b ? a : b; }
/* Half of x, rounded up to a multiple of `granule`. */
static inline int64_t fc_half(int64_t x, int64_t granule) { return fc_round_up(fc_ceil_div(x, 2), granule); }
static inline int64_t fc_gcd(int64_t a, int64_t b) { return b ? fc_gcd(b, a % b) : a; }
static inline int64_t fc_volume(const int64_t *v) { return v[0] * v[1] * v[2]; }
static inline size_t fc_align(size_t bytes) { return (bytes + 63) / 64 * 64; }
static inline int64_t fc_blocks(int64_t channels) { return fc_ceil_div(channels, FC_BLOCK); }

/* Scratch memory that blockings aim for: half of the level-2 cache; and the most any thread may take. */
static inline size_t fc_workspace_goal(void)
{
    const size_t half = fc_cache_sizes().l2 / 2;
    return half < (256 << 10) ? 256 << 10 : half > (1 << 20) ? 1 << 20 : half;
}
enum { FC_WORKSPACE_LIMIT = 4 << 20 };

#endif
