/* depthwise.c - direct convolution where every input channel is a group of its own, with one or more outputs.
 *
 * Planes with small windows are taken as they are (depth_planes.c). Of everything else 16 channels fill the lanes of a block, each with its own weights. A task is a strip of rows for 16 channels (in
 * backward-weights all strips for 16 channels). Output j of channel c is channel c*multiplier + j: seen as a tensor
 * with `multiplier` times the channel stride, starting at j, it is blocked like the input.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/depthwise.h"

#include <string.h>

struct strip {
    int64_t rows, columns;
};

static int64_t multiplier(const struct fc_corr *c) { return c->lanes * c->depths; }    /* one of them is 1 */

static int64_t reach(const struct fc_corr *c, int a, int64_t outputs)
{
    return (outputs - 1) * c->stride[a] + (c->taps[a] - 1) * c->dilation[a] + 1;
}

static size_t input_bytes(const struct fc_corr *c, const struct strip *s)
{
    return fc_align((size_t)(c->taps[0] * reach(c, 1, s->rows) * reach(c, 2, s->columns) * FC_BLOCK) * c->size);
}
static size_t output_bytes(const struct fc_corr *c, const struct strip *s) { return fc_align((size_t)(s->rows * s->columns * FC_BLOCK) * c->size); }
static size_t offsets_bytes(const struct fc_corr *c) { return fc_align((size_t)fc_volume(c->taps) * sizeof(ptrdiff_t)); }
static size_t weights_bytes(const struct fc_corr *c) { return fc_align((size_t)(fc_volume(c->taps) * FC_BLOCK) * c->size); }

/* Offsets, one set of weights, one bias, both strips. */
static size_t forward_bytes(const struct fc_corr *c, const struct strip *s)
{
    return offsets_bytes(c) + weights_bytes(c) + FC_BLOCK * sizeof(double) + input_bytes(c, s) + output_bytes(c, s);
}

/* The sums of backward-weights: output j of 16 channels, one for each position of a pixel in a vector. */
static size_t sums_bytes(const struct fc_corr *c)
{
    return fc_align((size_t)(fc_volume(c->taps) * c->k->vector * FC_BLOCK) * c->size);
}

/* Terms of such a sum in a strip, and in all. */
static int64_t strip_terms(const struct fc_corr *c, int64_t rows, int64_t columns) { return rows * fc_ceil_div(columns, c->k->vector); }
static int64_t sum_terms(const struct fc_corr *c) { return c->batch * c->to_size[0] * strip_terms(c, c->to_size[1], c->to_size[2]); }

static size_t gradient_bytes(const struct fc_corr *c, const struct strip *s)
{
    return offsets_bytes(c) + (size_t)fc_sum_levels(sum_terms(c)) * (size_t)multiplier(c) * sums_bytes(c) + input_bytes(c, s) + output_bytes(c, s);
}

static int64_t half(int64_t x) { return fc_ceil_div(x, 2); }

/* Strips that stay in the level-2 cache with room to spare: they are read only a few times. */
static struct strip choose_strip(const struct fc_corr *c)
{
    const size_t goal = fc_workspace_goal() / 2;
    struct strip s = { c->to_size[1], c->to_size[2] };
    while (s.columns > 1 && (double)s.columns * (double)c->stride[2] > FC_WORKSPACE_LIMIT / 64) s.columns = half(s.columns);
    while (s.rows > 1 && (double)s.rows * (double)c->stride[1] > FC_WORKSPACE_LIMIT / 64) s.rows = half(s.rows);
    while (s.rows > 1 && input_bytes(c, &s) + output_bytes(c, &s) > goal) s.rows = half(s.rows);
    while (s.columns > 1 && input_bytes(c, &s) + output_bytes(c, &s) > goal) s.columns = half(s.columns);
    return s;
}

/* In backward-weights of at most half a block of terms for each sum; columns begin at a multiple of the vector. */
static struct strip gradient_strip(const struct fc_corr *c)
{
    const int64_t most = FC_SUM_BLOCK / 2;
    struct strip s = choose_strip(c);
    s.columns = fc_min(s.columns, most * c->k->vector);
    if (s.columns < c->to_size[2]) s.columns = fc_round_up(s.columns, c->k->vector);
    s.rows = fc_max(1, fc_min(s.rows, most / strip_terms(c, 1, s.columns)));
    return s;
}

static void fill_offsets(const struct fc_corr *c, const struct strip *s, ptrdiff_t *offset)
{
    const int64_t rows = reach(c, 1, s->rows), columns = reach(c, 2, s->columns);
    for (int64_t t = 0; t < c->taps[0]; t++)
        for (int64_t r = 0; r < c->taps[1]; r++)
            for (int64_t q = 0; q < c->taps[2]; q++)
                *offset++ = ((t * rows + r * c->dilation[1]) * columns + q * c->dilation[2]) * FC_BLOCK;
}

/* Output j of every channel, as a tensor of `groups` channels. */
static fc_tensor every(const fc_tensor *t, int64_t j, int64_t step, size_t size)
{
    fc_tensor of = *t;
    of.data = (char *)t->data + j * t->channel * (ptrdiff_t)size;
    of.channel *= step;
    of.block *= step;
    return of;
}

static int64_t strips_per_image(const struct fc_corr *c, const struct strip *s)
{
    return c->to_size[0] * fc_ceil_div(c->to_size[1], s->rows) * fc_ceil_div(c->to_size[2], s->columns);
}

static struct fc_depth_piece piece_of(const struct fc_corr *c, const struct strip *s, int64_t block, int64_t image, int64_t strip)
{
    const int64_t column_strips = fc_ceil_div(c->to_size[2], s->columns), row_strips = fc_ceil_div(c->to_size[1], s->rows);
    struct fc_depth_piece p = { .image = image, .channel = block * FC_BLOCK, .channels = fc_min(FC_BLOCK, c->groups - block * FC_BLOCK),
                       .start = { strip / column_strips / row_strips, strip / column_strips % row_strips * s->rows,
                                  strip % column_strips * s->columns } };
    p.rows = fc_min(s->rows, c->to_size[1] - p.start[1]);
    p.columns = fc_min(s->columns, c->to_size[2] - p.start[2]);
    return p;
}

/* The inputs of a piece, packed for full strips so that the offsets fit. */
static void pack_input(const struct fc_corr *c, const struct strip *s, const struct fc_depth_piece *p, const fc_tensor *from, char *input)
{
    struct fc_box b = { .image = p->image, .channel = p->channel, .channels = p->channels, .slices = c->taps[0],
                        .slice_step = c->dilation[0], .rows = reach(c, 1, s->rows), .columns = reach(c, 2, s->columns), .border = c->border };
    for (int a = 0; a < FC_AXES; a++) b.start[a] = p->start[a] * c->stride[a] - c->offset[a];
    fc_box_pack(c->k, from, c->from_size, &b, input);
}

static struct fc_box output_box(const struct fc_depth_piece *p)
{
    return (struct fc_box){ .image = p->image, .channel = p->channel, .channels = p->channels, .slices = 1,
                            .start = { p->start[0], p->start[1], p->start[2] }, .rows = p->rows, .columns = p->columns };
}

/* Weights of output j for 16 channels: [tap][16]. */
static void gather_weights(const struct fc_corr *c, const struct fc_depth_piece *p, int64_t j, const void *weight, char *to)
{
    const ptrdiff_t size = (ptrdiff_t)c->size, step = c->lanes > 1 ? c->w_lane : c->w_depth;
    const ptrdiff_t start = c->w_start + p->channel * c->w_group + j * step;
    memset(to, 0, weights_bytes(c));
    for (int64_t t = 0; t < c->taps[0]; t++)
        for (int64_t r = 0; r < c->taps[1]; r++)
            for (int64_t q = 0; q < c->taps[2]; q++, to += FC_BLOCK * size) {
                const ptrdiff_t at = start + t * c->w_tap[0] + r * c->w_tap[1] + q * c->w_tap[2];
                c->k->copy_line(to, (const char *)weight + at * size, c->w_group, p->channels);
            }
}

struct job {
    const struct fc_corr *c;
    struct strip s;
    const fc_conv_plan *plan;
    const fc_conv_data *data;
    int planes;    /* backward-weights: of planes as they are */
};

static char *scratch(const struct job *job, int worker) { return (char *)job->data->workspace + (size_t)worker * job->plan->workspace; }

static void run_rows(const struct fc_corr *c, const struct strip *s, const struct fc_depth_piece *p, struct fc_depthwise *d,
                     const char *input, char *output)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    d->x_step = c->stride[2] * FC_BLOCK;
    d->taps = fc_volume(c->taps);
    d->count = p->columns;
    for (int64_t r = 0; r < p->rows; r++) {
        d->x = input + r * c->stride[1] * reach(c, 2, s->columns) * FC_BLOCK * size;
        d->y = output + r * p->columns * FC_BLOCK * size;
        c->k->depthwise(d);
    }
}

static void forward_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const struct strip *s = &job->s;
    const int64_t per_image = strips_per_image(c, s), blocks = fc_blocks(c->groups), many = multiplier(c);
    const struct fc_depth_piece p = piece_of(c, s, task / per_image % blocks, task / per_image / blocks, task % per_image);
    const void *bias_of_all = job->plan->pass == FC_FORWARD ? job->data->bias : NULL;
    char *memory = scratch(job, worker);
    ptrdiff_t *offset = (ptrdiff_t *)memory;
    char *w = memory + offsets_bytes(c), *bias = w + weights_bytes(c), *input = bias + FC_BLOCK * sizeof(double);
    char *output = input + input_bytes(c, s);
    const int spread = c->lanes > 1;    /* forward with a multiplier: one input, many outputs; backward-data: the reverse */
    struct fc_box out = output_box(&p);
    out.relu = c->relu;
    fill_offsets(c, s, offset);
    for (int64_t j = 0; j < many; j++) {
        const fc_tensor from = every(&c->from, spread ? 0 : j, spread ? 1 : many, c->size), to = every(&c->to, spread ? j : 0, spread ? many : 1, c->size);
        if (j == 0 || !spread) pack_input(c, s, &p, &from, input);
        gather_weights(c, &p, j, job->data->weight, w);
        memset(bias, 0, FC_BLOCK * sizeof(double));
        if (bias_of_all)
            c->k->copy_line(bias, (const char *)bias_of_all + (p.channel * many + j) * (ptrdiff_t)c->size, many, p.channels);
        struct fc_depthwise d = { .offset = offset, .w = w, .init = spread || j == 0 ? bias : NULL };
        run_rows(c, s, &p, &d, input, output);
        if (spread || j == many - 1) fc_box_unpack(c->k, &to, &out, output);
    }
}

static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    if (fc_volume(c->to_size) == 0) return FC_OK;
    struct job job = { .c = c, .s = choose_strip(c), .plan = plan, .data = data };
    return fc_parallel(forward_task, &job, c->batch * fc_blocks(c->groups) * strips_per_image(c, &job.s), data->threads);
}

/* Where the blocked path keeps a piece. */
struct blocks {
    ptrdiff_t *offset;
    char *input, *gradient;
};

/* sums of a piece of 16 channels += the products of its pixels. */
static void add_blocks(const struct job *job, const struct fc_depth_piece *p, const struct blocks *b, char *sums)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t width = reach(c, 2, job->s.columns);
    const struct fc_box out = output_box(p);
    pack_input(c, &job->s, p, &c->from, b->input);
    for (int64_t j = 0; j < multiplier(c); j++) {
        const fc_tensor y = every(&c->to, j, multiplier(c), c->size);
        fc_box_pack(c->k, &y, c->to_size, &out, b->gradient);
        c->k->depthwise_grad(&(struct fc_depthwise_grad){
            .x = b->input, .y = b->gradient, .x_step = c->stride[2] * FC_BLOCK, .x_row = c->stride[1] * width * FC_BLOCK,
            .y_row = p->columns * FC_BLOCK, .offset = b->offset, .taps = fc_volume(c->taps), .rows = p->rows, .count = p->columns,
            .sums = sums + (size_t)j * sums_bytes(c) });
    }
}

/* [tap][vector][16] -> the gradient of output j, folding the vector as planar_fold does. */
static void write_blocks(const struct job *job, const struct fc_depth_piece *p, int64_t j, char *sums)
{
    const struct fc_corr *c = job->c;
    const int64_t taps = fc_volume(c->taps), step = c->k->vector * FC_BLOCK;
    for (int64_t tap = 0; tap < taps; tap++) {
        char *of_tap = sums + (size_t)(tap * step) * c->size;
        for (int64_t half = step / 2; half >= FC_BLOCK; half /= 2) c->k->add(of_tap, of_tap + (size_t)half * c->size, half);
    }
    for (int64_t channel = 0; channel < p->channels; channel++) {
        const int64_t at = ((p->channel + channel) * multiplier(c) + j) * taps;
        c->k->copy_line((char *)job->data->weight + (size_t)at * c->size, sums + (size_t)channel * c->size, step, taps);
    }
}

/* [channel][tap][vector] -> the gradient. */
static void write_planes(const struct job *job, const struct fc_depth_piece *p, const char *sums)
{
    const struct fc_corr *c = job->c;
    const int64_t taps = fc_volume(c->taps);
    for (int64_t channel = 0; channel < p->channels; channel++)
        c->k->planar_fold(sums + (size_t)(channel * taps * c->k->vector) * c->size, taps,
                          (char *)job->data->weight + (size_t)((p->channel + channel) * taps) * c->size);
}

static void gradient_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const struct strip *s = &job->s;
    const int64_t per_image = strips_per_image(c, s), many = multiplier(c);
    char *memory = scratch(job, worker), *zeros = memory + offsets_bytes(c);
    const struct blocks b = { (ptrdiff_t *)memory, zeros, zeros + input_bytes(c, s) };
    struct fc_depth_piece p = piece_of(c, s, task, 0, 0);
    struct fc_sums sums;
    fc_sums_start(&sums, c->k, b.gradient + output_bytes(c, s), (size_t)many * sums_bytes(c), sum_terms(c));
    if (job->planes) memset(zeros, 0, fc_depth_planes_bytes(job->plan));
    else fill_offsets(c, s, b.offset);
    for (int64_t i = 0; i < c->batch * per_image; i++) {
        if (fc_stopping()) return;
        p = piece_of(c, s, task, i / per_image, i % per_image);
        if (job->planes) fc_depth_planes_grad(job->plan, job->data, &p, zeros, sums.acc);
        else add_blocks(job, &p, &b, sums.acc);
        fc_sums_count(&sums, strip_terms(c, p.rows, p.columns));
    }
    fc_sums_finish(&sums);
    if (job->planes) write_planes(job, &p, sums.total);
    else for (int64_t j = 0; j < many; j++) write_blocks(job, &p, j, sums.total + (size_t)j * sums_bytes(c));
}

static fc_status backward_weights(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    struct job job = { .c = &c, .s = gradient_strip(&c), .plan = plan, .data = data };
    job.planes = fc_depth_planes_suit(plan, data, input_bytes(&c, &job.s));
    return fc_parallel(gradient_task, &job, fc_blocks(c.groups), data->threads);
}

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t bytes_within_limit(const struct fc_corr *c, struct strip (*choose)(const struct fc_corr *),
                                 size_t (*bytes)(const struct fc_corr *, const struct strip *))
{
    double least = (double)c->size * FC_BLOCK * (double)c->taps[0] + 3.0 * (double)multiplier(c) * (double)sums_bytes(c);
    for (int a = 1; a < FC_AXES; a++) least *= (double)reach(c, a, 1);
    if (least > FC_WORKSPACE_LIMIT) return 0;
    const struct strip s = choose(c);
    const size_t needed = bytes(c, &s);
    return needed <= FC_WORKSPACE_LIMIT ? needed : 0;
}
static size_t forward_workspace(const struct fc_corr *c) { return bytes_within_limit(c, choose_strip, forward_bytes); }
static size_t gradient_workspace(const struct fc_corr *c) { return bytes_within_limit(c, gradient_strip, gradient_bytes); }

static size_t workspace(const fc_conv_plan *plan)
{
    return fc_most_bytes(plan, plan->pass == FC_BACKWARD_WEIGHTS ? gradient_workspace : forward_workspace);
}

static const char *refuses(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    return p->groups > 1 && p->in_channels == p->groups ? NULL : "the groups have several input channels";
}

/* One multiply-add and one load a cycle for each vector, and the moves. */
static double cycles(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    struct fc_corr c;
    double total = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        if (!fc_phase(plan, NULL, i, &c)) continue;
        const double outputs = (double)(fc_volume(c.to_size) * multiplier(&c)) * (double)fc_round_up(c.groups, FC_BLOCK);
        total += outputs * (double)fc_volume(c.taps) / plan->kernels->vector + 3 * outputs;
    }
    return total;
}

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    if (plan->pass == FC_BACKWARD_WEIGHTS) return backward_weights(plan, data);
    if (fc_depth_planes_suit(plan, data, plan->workspace)) return fc_depth_planes_run(plan, data);
    struct fc_corr c;
    for (int64_t i = 0; i < fc_phases(&plan->problem, plan->pass); i++) {
        fc_phase(plan, data, i, &c);
        const fc_status status = forward(plan, data, &c);
        if (status) return status;
    }
    return FC_OK;
}

const struct fc_algorithm fc_depthwise = {
    .name = FC_DIRECT, .label = "direct", .variant = "depthwise", .refuses = refuses, .cycles = cycles, .workspace = workspace, .run = run,
};
