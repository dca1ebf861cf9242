/* depth_planes.c - depthwise convolution of planes as they lie in NCHW arrays, 3 x 3 windows, stride 1 or 2.
 *
 * The kernels (depth_planes_template.h) take several planes, or a strip of rows of one, at once. They give the same bits as
 * the blocks of 16 channels of depthwise.c, so that it does not matter which arrays come here.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/depthwise.h"

#include <string.h>

enum { TASK_BYTES = 256 << 10 };    /* of the result that one task writes, more or less */

static int small_windows(const fc_conv *p)
{
    for (int a = 1; a < FC_AXES; a++)
        if (p->kernel[a] != 3 || p->dilation[a] != 1 || p->stride[a] > 2 || p->stride[a] != p->stride[1]) return 0;
    return p->groups == p->in_channels && p->groups == p->out_channels && p->in[0] == 1 && p->out[0] == 1 && p->kernel[0] == 1 &&
           p->pad_lo[0] == 0;
}

size_t fc_depth_planes_bytes(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    if (!plan->kernels->depth_planes.forward || !small_windows(p)) return 0;
    return fc_align((size_t)fc_max(p->in[2], p->out[2]) * fc_sizeof(p->dtype));
}

static int planes(const fc_tensor *t) { return t->space[2] == 1 && t->block == FC_BLOCK * t->channel; }

int fc_depth_planes_suit(const fc_conv_plan *plan, const fc_conv_data *data, size_t bytes)
{
    const size_t needed = fc_depth_planes_bytes(plan);
    return needed && needed <= bytes && planes(&data->x) && planes(&data->y);
}

static void *plane_at(const fc_tensor *t, size_t size, int64_t image, int64_t plane)
{
    return (char *)t->data + (image * t->batch + plane * t->channel) * (ptrdiff_t)size;
}

/* ---- Forward and backward-data ------------------------------------------------------------------------------------*/

struct job {
    struct fc_depth_planes d;      /* of all planes and rows */
    void (*run)(const struct fc_depth_planes *);
    const fc_tensor *from, *to;
    size_t size, bytes;            /* of an element; of a thread's scratch memory */
    int64_t planes, rows;          /* of a task */
    int64_t groups, strips;        /* tasks of an image */
    int64_t channels, all_rows;
    char *zeros;
};

static void planes_task(void *data, int64_t task, int worker)
{
    const struct job *j = data;
    const int64_t image = task / j->strips / j->groups, plane = task / j->strips % j->groups * j->planes;
    struct fc_depth_planes d = j->d;
    if (fc_stopping()) return;
    d.at.planes = fc_min(j->planes, j->channels - plane);
    d.at.first = task % j->strips * j->rows;
    d.at.end = fc_min(d.at.first + j->rows, j->all_rows);
    d.at.x = plane_at(j->from, j->size, image, plane);
    d.at.y = plane_at(j->to, j->size, image, plane);
    d.at.scratch = j->zeros + (size_t)worker * j->bytes;
    d.w = (const char *)d.w + plane * d.w_plane * (ptrdiff_t)j->size;
    if (d.init) d.init = (const char *)d.init + plane * (ptrdiff_t)j->size;
    j->run(&d);
}

static struct fc_planes geometry(const fc_tensor *from, const fc_tensor *to, const int64_t *in, const int64_t *out)
{
    return (struct fc_planes){ .x_plane = from->channel, .x_row = from->space[1], .y_plane = to->channel, .y_row = to->space[1],
                               .height = in[1], .width = in[2], .rows = out[1], .columns = out[2] };
}

static struct fc_planes with_windows(struct fc_planes at, const fc_conv *p)
{
    for (int a = 0; a < 2; a++) at.stride[a] = p->stride[a + 1], at.pad[a] = p->pad_lo[a + 1];
    return at;
}

/* The correlation of conv.h: forward, or backward-data with stride 1. */
static struct fc_depth_planes correlation(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    struct fc_depth_planes d = { .at = geometry(&c.from, &c.to, c.from_size, c.to_size), .relu = c.relu,
                                 .w = (const char *)data->weight + c.w_start * (ptrdiff_t)c.size, .w_plane = c.w_group,
                                 .w_row = c.w_tap[1], .w_column = c.w_tap[2], .init = plan->pass == FC_FORWARD ? data->bias : NULL };
    for (int a = 0; a < 2; a++) d.at.stride[a] = c.stride[a + 1], d.at.pad[a] = c.offset[a + 1];
    return d;
}

/* Backward-data with stride 2: from the windows themselves. */
static struct fc_depth_planes spreading(const fc_conv_plan *plan, const fc_conv_data *data)
{
    const fc_conv *p = &plan->problem;
    return (struct fc_depth_planes){ .at = with_windows(geometry(&data->y, &data->x, p->out, p->in), p), .w = data->weight, .w_plane = 9,
                                     .w_row = 3, .w_column = 1 };
}

fc_status fc_depth_planes_run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    const fc_conv *p = &plan->problem;
    const int backward = plan->pass == FC_BACKWARD_DATA, spread = backward && p->stride[1] == 2;
    const int64_t *result = backward ? p->in : p->out;
    struct job j = { .d = spread ? spreading(plan, data) : correlation(plan, data), .from = backward ? &data->y : &data->x,
                     .to = backward ? &data->x : &data->y, .size = fc_sizeof(p->dtype), .bytes = plan->workspace,
                     .run = spread ? plan->kernels->depth_planes.spread : plan->kernels->depth_planes.forward,
                     .all_rows = spread ? fc_ceil_div(result[1], 2) : result[1], .channels = p->groups, .zeros = data->workspace };
    const double plane = (double)fc_volume(result) * (double)j.size;
    for (int i = 0; i < data->threads; i++) memset(j.zeros + (size_t)i * j.bytes, 0, fc_depth_planes_bytes(plan));
    j.planes = fc_max(1, fc_min(p->groups, (int64_t)(TASK_BYTES / plane)));
    j.rows = fc_max(1, fc_min(j.all_rows, (int64_t)(TASK_BYTES / plane * (double)j.all_rows)));
    j.groups = fc_ceil_div(p->groups, j.planes);
    j.strips = fc_ceil_div(j.all_rows, j.rows);
    return fc_parallel(planes_task, &j, p->batch * j.groups * j.strips, data->threads);
}

/* ---- Backward-weights ---------------------------------------------------------------------------------------------*/

void fc_depth_planes_grad(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_depth_piece *p, void *zeros, void *sums)
{
    const fc_conv *q = &plan->problem;
    const size_t size = fc_sizeof(q->dtype);
    struct fc_depth_planes d = { .at = with_windows(geometry(&data->x, &data->y, q->in, q->out), q), .sums = sums };
    d.at.x = plane_at(&data->x, size, p->image, p->channel);
    d.at.y = (char *)plane_at(&data->y, size, p->image, p->channel) + p->start[2] * (ptrdiff_t)size;
    d.at.pad[1] -= p->start[2] * q->stride[2];    /* columns count from the first of the piece */
    d.at.columns = p->columns;
    d.at.first = p->start[1];
    d.at.end = p->start[1] + p->rows;
    d.at.planes = p->channels;
    d.at.scratch = zeros;
    plan->kernels->depth_planes.grad(&d);
}
