/* bias.c - backward-bias: sums of a tensor over everything but the channels.
 *
 * A task is 16 channels; rows are packed piece by piece and added up in blocks (fc_sums).
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <string.h>

enum { PIECE = 512 };    /* pixels packed at once */

struct job {
    const struct fc_kernels *k;
    int64_t batch, channels;
    const int64_t *space;
    const fc_tensor *t;
    char *sums, *workspace;
};

static size_t piece_bytes(const struct fc_kernels *k) { return fc_align(PIECE * FC_BLOCK * fc_sizeof(k->dtype)); }
static size_t task_bytes(const struct fc_kernels *k) { return piece_bytes(k) + fc_align(3 * FC_BLOCK * fc_sizeof(k->dtype)); }

size_t fc_sum_workspace(fc_dtype dtype) { return task_bytes(fc_kernels_active(dtype)); }

static void sum_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const size_t size = fc_sizeof(job->k->dtype);
    char *pixels = job->workspace + (size_t)worker * task_bytes(job->k);
    struct fc_sums sums;
    fc_sums_start(&sums, job->k, pixels + piece_bytes(job->k), FC_BLOCK * size, job->batch * fc_volume(job->space));
    struct fc_box b = { .channel = task * FC_BLOCK, .slices = 1, .rows = 1 };
    b.channels = fc_min(FC_BLOCK, job->channels - b.channel);
    const int64_t pieces = fc_ceil_div(job->space[2], PIECE), rows = job->space[0] * job->space[1];
    for (int64_t i = 0; i < job->batch * rows * pieces; i++) {
        if (fc_stopping()) return;
        b.image = i / pieces / rows;
        b.start[0] = i / pieces % rows / job->space[1];
        b.start[1] = i / pieces % rows % job->space[1];
        b.start[2] = i % pieces * PIECE;
        b.columns = fc_min(PIECE, job->space[2] - b.start[2]);
        fc_box_pack(job->k, job->t, job->space, &b, pixels);
        job->k->sum_row(pixels, b.columns, sums.acc);
        fc_sums_count(&sums, b.columns);
    }
    fc_sums_finish(&sums);
    memcpy(job->sums + (size_t)b.channel * size, sums.total, (size_t)b.channels * size);
}

fc_status fc_sum_channels(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *space, const fc_tensor *t, void *sums,
                          void *workspace, int threads)
{
    struct job job = { .k = fc_kernels_active(dtype), .batch = batch, .channels = channels, .space = space, .t = t, .sums = sums,
                       .workspace = workspace };
    return fc_parallel(sum_task, &job, fc_blocks(channels), threads);
}
