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

/* The pixels of box b: where they are, if they are in the blocked layout without a gap, else packed. */
static const char *pixels_of(const struct job *job, const struct fc_box *b, char *packed)
{
    const fc_tensor *t = job->t;
    const int adjacent = t->channel == 1 && t->space[2] == FC_BLOCK && b->channels == FC_BLOCK;
    if (adjacent && (b->rows == 1 || t->space[1] == b->columns * FC_BLOCK))
        return fc_element(t, fc_sizeof(job->k->dtype), b->image, b->channel, b->start[0], b->start[1], b->start[2]);
    fc_box_pack(job->k, t, job->space, b, packed);
    return packed;
}

static void sum_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const size_t size = fc_sizeof(job->k->dtype);
    char *packed = job->workspace + (size_t)worker * task_bytes(job->k);
    struct fc_sums sums;
    fc_sums_start(&sums, job->k, packed + piece_bytes(job->k), FC_BLOCK * size, job->batch * fc_volume(job->space));
    struct fc_box b = { .channel = task * FC_BLOCK, .slices = 1 };
    b.channels = fc_min(FC_BLOCK, job->channels - b.channel);
    /* a piece is some whole rows, or a part of one */
    const int64_t height = job->space[1], width = job->space[2], rows = fc_max(1, fc_min(height, PIECE / width));
    const int64_t down = fc_ceil_div(height, rows), across = fc_ceil_div(width, PIECE);
    for (int64_t i = 0; i < job->batch * job->space[0] * down * across; i++) {
        if (fc_stopping()) return;
        b.image = i / across / down / job->space[0];
        b.start[0] = i / across / down % job->space[0];
        b.start[1] = i / across % down * rows;
        b.start[2] = i % across * PIECE;
        b.rows = fc_min(rows, height - b.start[1]);
        b.columns = fc_min(PIECE, width - b.start[2]);
        job->k->sum_row(pixels_of(job, &b, packed), b.rows * b.columns, sums.acc);
        fc_sums_count(&sums, b.rows * b.columns);
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
