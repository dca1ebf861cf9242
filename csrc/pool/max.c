/* max.c - maximum pooling: forward with or without the positions of the maxima, and its backward pass.
 *
 * Backward: dx = 0, then dx[position] += dy in row-major order of dy. A task is a plane, or some channels of an image whose
 * channels are adjacent; no two tasks write the same element. Positions grow with the rows of dy, more or less, so rows
 * of dx are zeroed just before the first position that needs them: they are then still in the cache.
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
    j.reduce = j.indices.data || j.codes.data ? j.k->pool.max_index : j.k->pool.max;
    return fc_pooling_run(&j, data->threads);
}

/* ---- Backward -----------------------------------------------------------------------------------------------------*/

enum {
    ADJACENT_PER_TASK = 64,    /* channels of a task where they are adjacent */
    PLANE_PER_TASK = 1024,     /* elements of a plane from which on it is a task by itself */
    ROW_LIMIT = 4096,          /* elements of a row of y that is made of several */
    ZEROED_BYTES = 32 << 10    /* of dx, at least, at once */
};

struct job {
    const struct fc_kernels *k;
    size_t size;
    int64_t batch, channels, width;    /* width: channels of a task */
    const int64_t *in;
    int64_t out[FC_AXES];
    fc_tensor x, y, positions;
    int64_t rows;                      /* of x that are zeroed at once; 0: all */
    atomic_int outside;                /* whether a position was found outside its plane */
};

/* The image and channels of a task. */
struct part {
    int64_t image, channel, channels;
};

static int64_t tasks_per_image(const struct job *j) { return fc_ceil_div(j->channels, j->width); }

static struct part part_of(const struct job *j, int64_t task)
{
    const int64_t channel = task % tasks_per_image(j) * j->width;
    return (struct part){ task / tasks_per_image(j), channel, fc_min(j->width, j->channels - channel) };
}

static const int64_t *positions_at(const struct job *j, const struct part *p, int64_t d, int64_t h)
{
    return (const void *)fc_element(&j->positions, sizeof(int64_t), p->image, p->channel, d, h, 0);
}

/* The largest position of row (d, h) of y. */
static uint64_t largest(const struct job *j, const struct part *p, int64_t d, int64_t h)
{
    const fc_tensor *t = &j->positions;
    const int64_t *position = positions_at(j, p, d, h);
    const int adjacent = t->channel == 1;
    const ptrdiff_t outer = adjacent ? t->space[2] : t->channel, inner = adjacent ? 1 : t->space[2];
    const int64_t lines = adjacent ? j->out[2] : p->channels, length = adjacent ? p->channels : j->out[2];
    if (outer == length * inner) return j->k->pool.largest(position, inner, lines * length);
    uint64_t most = 0;
    for (int64_t i = 0; i < lines; i++) {
        const uint64_t of_line = j->k->pool.largest(position + i * outer, inner, length);
        most = of_line > most ? of_line : most;
    }
    return most;
}

static void check_task(void *data, int64_t task, int worker)
{
    (void)worker;
    struct job *j = data;
    const struct part p = part_of(j, task);
    for (int64_t d = 0; d < j->out[0]; d++) {
        for (int64_t h = 0; h < j->out[1]; h++) {
            if (fc_stopping() || atomic_load_explicit(&j->outside, memory_order_relaxed)) return;
            if (largest(j, &p, d, h) >= (uint64_t)fc_volume(j->in)) atomic_store(&j->outside, 1);
        }
    }
}

/* Zeroes dx up to row `end`, counted through all slices, and some rows more; returns how far. */
static int64_t zero_rows(const struct job *j, const struct part *p, int64_t done, int64_t end)
{
    const int64_t all = j->in[0] * j->in[1], rows = j->rows ? fc_min(all, fc_max(end, done + j->rows)) - done : all;
    const int64_t space[] = { j->rows ? 1 : j->in[0], j->rows ? rows : j->in[1], j->in[2] };
    fc_tensor x = j->x;
    x.data = fc_element(&j->x, j->size, p->image, p->channel, 0, done, 0);
    fc_zero(&x, j->size, 1, p->channels, space);
    return done + rows;
}

static void scatter_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *j = data;
    const struct part p = part_of(j, task);
    const fc_tensor *x = &j->x;
    struct fc_scatter s = { .x = fc_element(x, j->size, p.image, p.channel, 0, 0, 0), .x_channel = x->channel,
                            .x_space = { x->space[0], x->space[1], x->space[2] }, .height = j->in[1], .width = j->in[2],
                            .y_channel = j->y.channel, .y_pixel = j->y.space[2], .position_channel = j->positions.channel,
                            .position_pixel = j->positions.space[2], .channels = p.channels, .count = j->out[2] };
    const int64_t all = j->in[0] * j->in[1];
    int64_t zeroed = 0;
    for (int64_t d = 0; d < j->out[0]; d++) {
        for (int64_t h = 0; h < j->out[1]; h++) {
            if (fc_stopping()) return;
            const int64_t needed = zeroed < all ? (int64_t)largest(j, &p, d, h) / j->in[2] + 1 : 0;
            if (needed > zeroed) zeroed = zero_rows(j, &p, zeroed, needed);
            s.y = fc_element(&j->y, j->size, p.image, p.channel, d, h, 0);
            s.position = positions_at(j, &p, d, h);
            j->k->pool.scatter(&s);
        }
    }
    if (zeroed < all) zero_rows(j, &p, zeroed, all);
}

/* Rows of y and its positions that follow each other without a gap become longer rows, within limits. */
static void merge_rows(struct job *j)
{
    const int64_t length = j->out[2];
    if (j->y.space[1] != length * j->y.space[2] || j->positions.space[1] != length * j->positions.space[2]) return;
    int64_t rows = fc_min(j->out[1], fc_max(1, ROW_LIMIT / length));
    while (j->out[1] % rows) rows--;
    j->out[1] /= rows;
    j->out[2] *= rows;
    j->y.space[1] *= rows;
    j->positions.space[1] *= rows;
}

/* Strides of axes of one position are free: those of a gapless plane spare the kernel its divisions. */
static fc_tensor gapless_where_free(fc_tensor t, const int64_t *space)
{
    if (space[1] == 1) t.space[1] = space[2] * t.space[2];
    if (space[0] == 1) t.space[0] = space[1] * t.space[1];
    return t;
}

/* Whether all channels are equally far apart, not only those of a block. */
static int is_plain(const fc_tensor *t) { return t->block == FC_BLOCK * t->channel; }

fc_status fc_max_pool_backward(fc_dtype dtype, int64_t batch, int64_t channels, const int64_t *in, const int64_t *out,
                               const fc_pool_data *data)
{
    struct job j = { .k = fc_kernels_active(dtype), .size = fc_sizeof(dtype), .batch = batch, .channels = channels, .in = in,
                     .out = { out[0], out[1], out[2] }, .x = gapless_where_free(data->x, in), .y = data->y, .positions = data->indices };
    const int in_blocks = !is_plain(&j.x) || !is_plain(&j.y) || !is_plain(&j.positions);
    j.width = j.x.channel == 1 ? (in_blocks ? FC_BLOCK : ADJACENT_PER_TASK) : fc_volume(in) >= PLANE_PER_TASK ? 1 : FC_BLOCK;
    merge_rows(&j);
    const double row = (double)(in[2] * fc_min(j.width, channels)) * (double)j.size;
    if (j.x.space[0] == in[1] * j.x.space[1]) j.rows = 1 + (int64_t)(ZEROED_BYTES / row);
    const int64_t tasks = batch * tasks_per_image(&j);
    const fc_status status = fc_parallel(check_task, &j, tasks, data->threads);
    if (status) return status;
    if (atomic_load(&j.outside)) return FC_INVALID;
    return fc_parallel(scatter_task, &j, tasks, data->threads);
}
