/* memory.c - the only place where the core gets memory from the system; see fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define _ISOC11_SOURCE
#include "fastconv.h"

#include <stdlib.h>

void *fc_alloc(size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 64) return NULL;
    return aligned_alloc(64, (bytes + 64) / 64 * 64);
}

void fc_free(void *memory) { free(memory); }
