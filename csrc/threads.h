/* threads.h - a small pool of threads for loops over independent tasks; see threads.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_THREADS_H
#define FC_THREADS_H

#include "fastconv.h"

/* One task. worker is 0 .. threads - 1, and no two tasks run at once with the same worker number: index scratch
 * memory with it. */
typedef void (*fc_task)(void *job, int64_t task, int worker);

/* Runs tasks 0 .. tasks - 1, each once, in any order, on at most `threads` threads, the calling one included.
 * FC_INTERRUPTED if the interrupt hook asked to stop; the tasks not yet begun are then left out. */
fc_status fc_parallel(fc_task run, void *job, int64_t tasks, int threads);

/* For tasks that may take longer than a few milliseconds: whether to give up. Cheap enough for every strip. */
int fc_stopping(void);

#endif
