/* reorder.c - a whole tensor into the blocked layout or out of it. See fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "box.h"

struct job {
    const struct fc_kernels *k;
    int64_t channels;
    const int64_t *space;
    const fc_tensor *plain;
    fc_tensor blocked;
    void (*move)(const struct fc_row *);
};

/* One block of 16 channels of one image. */
static void reorder_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *job = data;
    const size_t size = fc_sizeof(job->k->dtype);
    const int64_t blocks = fc_blocks(job->channels), image = task / blocks, channel = task % blocks * FC_BLOCK;
    const fc_tensor *t = job->plain;
    const int one_row = t->space[1] == job->space[2] * t->space[2];
    struct fc_row row = { .channel = t->channel, .leap = t->block, .pixel = t->space[2],
                          .channels = fc_min(FC_BLOCK, job->channels - channel), .count = one_row ? job->space[1] * job->space[2] : job->space[2] };
    for (int64_t d = 0; d < job->space[0]; d++) {
        for (int64_t h = 0; h < (one_row ? 1 : job->space[1]); h++) {
            row.strided = fc_element(t, size, image, channel, d, h, 0);
            row.blocked = fc_element(&job->blocked, size, image, channel, d, h, 0);
            job->move(&row);
        }
    }
}

fc_status fc_reorder(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *space, const fc_tensor *plain, void *blocked,
                     int to_blocked, int threads)
{
    const struct fc_kernels *k = fc_kernels_active(dtype);
    const ptrdiff_t plane = fc_volume(space) * FC_BLOCK;
    struct job job = { .k = k, .channels = channels, .space = space, .plain = plain, .move = to_blocked ? k->pack_row : k->unpack_row,
                       .blocked = { blocked, fc_blocks(channels) * plane, 1, plane, { space[1] * space[2] * FC_BLOCK, space[2] * FC_BLOCK, FC_BLOCK } } };
    return fc_parallel(reorder_task, &job, batch * fc_blocks(channels), threads);
}
