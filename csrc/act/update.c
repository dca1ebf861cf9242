/* update.c - the updates of optimisers: memory in pieces, one kernel. See fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "driver.h"

enum { PIECE = 1 << 15 };    /* elements of a task */

struct job {
    const fc_update *all;
    void (*run)(const fc_update *);
};

static void *from(void *data, size_t at) { return data ? (char *)data + at : NULL; }

static void update_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *job = data;
    fc_update piece = *job->all;
    const size_t at = (size_t)(task * PIECE) * fc_sizeof(piece.dtype);
    piece.n = fc_min(PIECE, piece.n - task * PIECE);
    piece.p = from(piece.p, at);
    piece.g = (const char *)piece.g + at;
    for (int i = 0; i < 3; i++) piece.state[i] = from(piece.state[i], at);
    job->run(&piece);
}

static fc_status run(const fc_update *u, void (*kernel)(const fc_update *))
{
    struct job job = { u, kernel };
    return fc_parallel(update_task, &job, fc_ceil_div(u->n, PIECE), u->threads);
}

fc_status fc_sgd(const fc_update *u) { return run(u, fc_kernels_active(u->dtype)->sgd); }
fc_status fc_adam(const fc_update *u) { return run(u, fc_kernels_active(u->dtype)->adam); }
fc_status fc_rmsprop(const fc_update *u) { return run(u, fc_kernels_active(u->dtype)->rmsprop); }
fc_status fc_adagrad(const fc_update *u) { return run(u, fc_kernels_active(u->dtype)->adagrad); }
