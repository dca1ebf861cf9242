/* max.c - maximum pooling: forward with or without the positions of the maxima, and its backward pass.
 *
 * Backward: dx = 0, then dx[position] += dy in row-major order of dy. A task is a plane, or 16 channels of an image whose
 * channels are adjacent; no two tasks write the same element.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

#include <stdatomic.h>

/* Whether the indices of every window fit into the lanes that carry them; see index_at in strips.c. */
static int indices_fit(const struct fc_pooling *j)
{
    const struct fc_axis *a = j->axis;
    const double rows = (double)fc_axis_reach(&a[0], 1) * (double)a[1].source;
    return j->size == sizeof(double) || rows * (double)a[2].source < 0x1p31;
}

fc_status fc_max_pool_run(const fc_pool_plan *plan, const fc_pool_data *data)
{
    struct fc_pooling j;
    fc_pooling_init(&j, plan, data, 0);
    if (j.indices.data && !indices_fit(&j)) return FC_OVERFLOW;
    j.reduce = j.indices.data ? j.k->pool.max_index : j.k->pool.max;
    return fc_pooling_run(&j, data->threads);
}

/* ---- Backward -----------------------------------------------------------------------------------------------------*/

struct job {
    const struct fc_kernels *k;
    size_t size;
    int64_t batch, channels, width;    /* width: channels of a task */
    const int64_t *in, *out;
    fc_tensor x, y, positions;
    atomic_int outside;                /* whether a position was found outside its plane */
};

static int64_t tasks_per_image(const struct job *j) { return fc_ceil_div(j->channels, j->width); }

/* The sign bit of the result is set if any of `count` positions is negative or not below `size`. */
static uint64_t misfits(const int64_t *position, ptrdiff_t step, int64_t count, int64_t size)
{
    uint64_t bad = 0;
    for (ptrdiff_t i = 0; i < count; i++) bad |= (uint64_t)position[i * step] | ((uint64_t)size - 1 - (uint64_t)position[i * step]);
    return bad;
}

static uint64_t row_misfits(const struct job *j, const int64_t *position, int64_t channels)
{
    const fc_tensor *t = &j->positions;
    const int64_t size = fc_volume(j->in);
    uint64_t bad = 0;
    if (t->channel == 1) {
        for (int64_t w = 0; w < j->out[2]; w++) bad |= misfits(position + w * t->space[2], 1, channels, size);
    } else {
        for (int64_t c = 0; c < channels; c++) bad |= misfits(position + c * t->channel, t->space[2], j->out[2], size);
    }
    return bad >> 63;
}

static void check_task(void *data, int64_t task, int worker)
{
    (void)worker;
    struct job *j = data;
    const int64_t image = task / tasks_per_image(j), channel = task % tasks_per_image(j) * j->width;
    for (int64_t d = 0; d < j->out[0]; d++) {
        for (int64_t h = 0; h < j->out[1]; h++) {
            if (fc_stopping() || atomic_load_explicit(&j->outside, memory_order_relaxed)) return;
            const void *row = fc_element(&j->positions, sizeof(int64_t), image, channel, d, h, 0);
            if (row_misfits(j, row, fc_min(j->width, j->channels - channel))) atomic_store(&j->outside, 1);
        }
    }
}

static void scatter_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *j = data;
    const int64_t image = task / tasks_per_image(j), channel = task % tasks_per_image(j) * j->width;
    fc_tensor x = j->x;
    x.data = fc_element(&j->x, j->size, image, channel, 0, 0, 0);
    struct fc_scatter s = { .x = x.data, .x_channel = x.channel, .x_space = { x.space[0], x.space[1], x.space[2] }, .height = j->in[1],
                            .width = j->in[2], .y_channel = j->y.channel, .y_pixel = j->y.space[2],
                            .position_channel = j->positions.channel, .position_pixel = j->positions.space[2],
                            .channels = fc_min(j->width, j->channels - channel), .count = j->out[2] };
    fc_zero(&x, j->size, 1, s.channels, j->in);
    for (int64_t d = 0; d < j->out[0]; d++) {
        for (int64_t h = 0; h < j->out[1]; h++) {
            if (fc_stopping()) return;
            s.y = fc_element(&j->y, j->size, image, channel, d, h, 0);
            s.position = (const void *)fc_element(&j->positions, sizeof(int64_t), image, channel, d, h, 0);
            j->k->pool.scatter(&s);
        }
    }
}

/* Strides of axes of one position are free: those of a gapless plane spare the kernel its divisions. */
static fc_tensor gapless_where_free(fc_tensor t, const int64_t *space)
{
    if (space[1] == 1) t.space[1] = space[2] * t.space[2];
    if (space[0] == 1) t.space[0] = space[1] * t.space[1];
    return t;
}

enum { PLANE_PER_TASK = 1024 };    /* elements of a plane from which on it is a task by itself */

fc_status fc_max_pool_backward(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *in, const int64_t *out, const fc_pool_data *data)
{
    struct job j = { .k = fc_kernels_active(dtype), .size = fc_sizeof(dtype), .batch = batch, .channels = channels, .in = in, .out = out,
                     .x = gapless_where_free(data->x, in), .y = data->y, .positions = data->indices };
    j.width = j.x.channel != 1 && fc_volume(in) >= PLANE_PER_TASK ? 1 : FC_BLOCK;
    const int64_t tasks = batch * tasks_per_image(&j);
    const fc_status status = fc_parallel(check_task, &j, tasks, data->threads);
    if (status) return status;
    if (atomic_load(&j.outside)) return FC_INVALID;
    return fc_parallel(scatter_task, &j, tasks, data->threads);
}
