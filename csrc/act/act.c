/* act.c - element-wise operations: memory in pieces, one kernel. See fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "driver.h"

enum { PIECE = 1 << 15 };    /* elements of a task */

struct job {
    const struct fc_kernels *k;
    fc_act act;
    char *to;
    const char *a, *b;
    double p, q;
    int64_t n;
};

static void act_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *job = data;
    const int64_t first = task * PIECE;
    const size_t at = (size_t)first * fc_sizeof(job->k->dtype);
    job->k->act(job->act, job->to + at, job->a + at, job->b ? job->b + at : NULL, job->p, job->q,
                fc_min(PIECE, job->n - first));
}

fc_status fc_act_run(fc_dtype dtype, fc_act act, void *to, const void *a, const void *b, double p, double q, int64_t n, int threads)
{
    struct job job = { .k = fc_kernels_active(dtype), .act = act, .to = to, .a = a, .b = b, .p = p, .q = q, .n = n };
    return fc_parallel(act_task, &job, fc_ceil_div(n, PIECE), threads);
}
