/* cpu.c - which instruction-set levels exist, which this CPU has, which one is active; cache sizes; the peak.
 *
 * A level is one row of LEVELS. Chosen once, when the library is loaded; fc_isa_force changes it for later plans.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define _DEFAULT_SOURCE
#include "kernels/kernels.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int always(void) { return 1; }

#ifdef FC_X86
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

static const struct level {
    const char *name;
    const struct fc_kernels *const *floats, *const *doubles;    /* whose tables for float32 and for float64 */
    int (*supported)(void);
} LEVELS[] = {
#ifdef FC_X86
    { "avx512", fc_kernels_avx512, fc_kernels_avx2, has_avx512 },
    { "avx2", fc_kernels_avx2, fc_kernels_avx2, has_avx2 },
#endif
    { "portable", fc_kernels_portable, fc_kernels_portable, always },
};
enum { LEVEL_COUNT = (int)(sizeof LEVELS / sizeof *LEVELS) };

static atomic_int active = -1;

static int active_level(void)
{
    int level = atomic_load_explicit(&active, memory_order_relaxed);
    if (level < 0) {
        for (level = 0; !LEVELS[level].supported(); level++) {}
        atomic_store(&active, level);
    }
    return level;
}

const char *fc_isa_name(int i) { return i >= 0 && i < LEVEL_COUNT ? LEVELS[i].name : NULL; }
int fc_isa_supported(int i) { return i >= 0 && i < LEVEL_COUNT && LEVELS[i].supported(); }
const char *fc_isa_active(void) { return LEVELS[active_level()].name; }

fc_status fc_isa_force(const char *name)
{
    for (int i = 0; i < LEVEL_COUNT; i++) {
        if (strcmp(LEVELS[i].name, name)) continue;
        if (!LEVELS[i].supported()) return FC_UNSUPPORTED;
        atomic_store(&active, i);
        return FC_OK;
    }
    return FC_INVALID;
}

const struct fc_kernels *fc_kernels_active(fc_dtype dtype) 
{
    const struct level *level = &LEVELS[active_level()];
    return dtype == FC_F32 ? level->floats[FC_F32] : level->doubles[FC_F64];
}

static size_t cache_size(int name, size_t otherwise)
{
    const long bytes = sysconf(name);
    return bytes > 0 ? (size_t)bytes : otherwise;
}

fc_caches fc_cache_sizes(void)
{
    static fc_caches caches;
    static atomic_int known;
    if (!atomic_load_explicit(&known, memory_order_acquire)) {
        fc_caches c = { 32 << 10, 512 << 10, 4 << 20 };
#ifdef _SC_LEVEL2_CACHE_SIZE
        c.l1 = cache_size(_SC_LEVEL1_DCACHE_SIZE, c.l1);
        c.l2 = cache_size(_SC_LEVEL2_CACHE_SIZE, c.l2);
        c.l3 = cache_size(_SC_LEVEL3_CACHE_SIZE, c.l3);
#endif
        caches = c;    /* every thread that gets here writes the same values */
        atomic_store_explicit(&known, 1, memory_order_release);
    }
    return caches;
}

double fc_peak_seconds(fc_dtype dtype, double *flops)
{
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    *flops = fc_kernels_active(dtype)->peak(1000);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}
