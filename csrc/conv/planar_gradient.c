/* planar_gradient.c - backward-weights on planes of the input.
 *
 * A gradient is the sum over all pixels of dy times the input under a tap. Output channels fill the lanes, for which dy
 * is packed, and the inputs of up to tile_rows steps are broadcast as they lie in the planes. A few output channels would
 * leave most lanes empty: then pixels fill them, dy is read as it lies, and the lanes are added up at the end.
 *
 * A task is some output channels and some steps; it walks over all strips of all images. How both are shared among tasks
 * may depend on the number of threads, for it changes no sum.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/planar.h"

#include <string.h>

static int few_lanes(const struct fc_corr *c) { return 2 * c->lanes <= c->k->vector; }

/* Elements of the sum of one step: padded lanes, or the vectors that some lanes sum in. */
static int64_t sums_width(const struct fc_corr *c, int64_t lanes)
{
    return few_lanes(c) ? lanes * c->k->vector : fc_round_up(lanes, fc_max(FC_BLOCK, c->k->lanes));
}

/* Steps of a panel of sums, which is packed like weights. */
static int64_t sums_steps(int64_t steps) { return fc_round_up(steps, FC_BLOCK); }

static size_t sums_bytes(const struct fc_corr *c, int64_t lanes, int64_t steps)
{
    return fc_align((size_t)(sums_width(c, lanes) * sums_steps(steps)) * c->size);
}

/* The most output channels of a task. */
static int64_t most_lanes(const struct fc_corr *c)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes);
    int64_t lanes = fc_min(c->lanes, fc_round_up(128, panel));
    while (lanes > panel && 3 * sums_bytes(c, lanes, fc_steps_of(c)) > fc_workspace_goal()) lanes = fc_round_up(lanes / 2, panel);
    return lanes;
}

static size_t blocked_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return fc_align((size_t)(fc_round_up(most_lanes(c), FC_BLOCK) * s->rows * s->columns) * c->size);
}
static size_t lines_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return few_lanes(c) ? fc_align((size_t)(c->lanes * s->rows * s->columns) * c->size) : 0;
}
static size_t strip_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return fc_offsets_bytes(c) + fc_slab_bytes(c, s) + blocked_bytes(c, s) + lines_bytes(c, s);
}

static struct fc_slab choose_strip(const struct fc_corr *c)
{
    const struct fc_slab s = fc_slab_choose(c, strip_bytes);
    return s.columns > FC_SUM_BLOCK ? fc_slab_of(c, s.rows, FC_SUM_BLOCK) : s;
}

/* Terms that `columns` pixels add to a sum: all of them, or those of one lane. */
static int64_t line_terms(const struct fc_corr *c, int64_t columns) { return few_lanes(c) ? fc_ceil_div(columns, c->k->vector) : columns; }
static int64_t all_terms(const struct fc_corr *c) { return c->batch * c->to_size[0] * c->to_size[1] * line_terms(c, c->to_size[2]); }

struct job {
    const struct fc_corr *c;
    struct fc_slab s;
    int64_t lanes, steps, lane_parts, step_parts;    /* of a task; tasks */
    const ptrdiff_t *offset;
    char *weight, *workspace;
    size_t bytes;
};

struct task {
    const struct fc_corr *c;
    const struct fc_slab *s;
    int64_t group, lane, lanes, step, steps;
    const ptrdiff_t *offset;
    char *input, *blocked, *lines;
    struct fc_sums sums;
};

/* dy of a piece as the tensor has it, or copied to t->lines. */
static void few_gradient(const struct task *t, const struct fc_piece *p, const struct fc_box *box, struct fc_planar_grad *g)
{
    const struct fc_corr *c = t->c;
    if (fc_has_planes(&c->to)) {
        g->y = fc_element(&c->to, c->size, p->image, box->channel, p->start[0], p->start[1], p->start[2]);
        g->y_row = c->to.channel;
        g->y_line = c->to.space[1];
        return;
    }
    const struct fc_row row = { .strided = t->lines, .channel = p->rows * p->columns, .pixel = 1, .leap = FC_BLOCK * p->rows * p->columns,
                                .blocked = t->blocked, .block = p->rows * p->columns * FC_BLOCK, .channels = t->lanes,
                                .count = p->rows * p->columns };
    fc_box_pack(c->k, &c->to, c->to_size, box, t->blocked);
    c->k->unpack_row(&row);
    g->y = t->lines;
    g->y_row = p->rows * p->columns;
    g->y_line = p->columns;
}

static void add_few(const struct task *t, const struct fc_planar_grad *piece, int64_t row, int64_t lines)
{
    const struct fc_kernels *k = t->c->k;
    const ptrdiff_t size = (ptrdiff_t)t->c->size;
    struct fc_planar_grad g = *piece;
    g.x = t->input + row * g.x_line * size;
    g.lines = lines;
    for (int64_t i = 0; i < fc_spans(t->lanes, k->few_rows); i++) {
        const struct fc_span tile = fc_span_of(t->lanes, k->few_rows, i);
        g.y = (const char *)piece->y + (tile.first * g.y_row + row * g.y_line) * size;
        g.sums = t->sums.acc + tile.first * t->steps * k->vector * size;
        k->planar_grad[tile.count - 1](&g);
    }
}

static void add_many(const struct task *t, const struct fc_piece *p, int64_t row, int64_t lines)
{
    const struct fc_kernels *k = t->c->k;
    const ptrdiff_t size = (ptrdiff_t)t->c->size;
    struct fc_planar_outer o = { .x = t->input + row * t->s->pitch * size, .x_line = t->s->pitch, .y_block = p->rows * p->columns * FC_BLOCK,
                                 .lines = lines, .count = p->columns };
    for (int64_t lane = 0; lane < t->lanes; lane += k->lanes) {
        const int vectors = fc_panel_vectors(k, lane, t->lanes);
        o.sums_step = vectors * k->vector;
        o.y = t->blocked + (lane / FC_BLOCK * o.y_block + row * p->columns * FC_BLOCK + lane % FC_BLOCK) * size;
        for (int64_t i = 0; i < fc_spans(t->steps, k->tile_rows); i++) {
            const struct fc_span tile = fc_span_of(t->steps, k->tile_rows, i);
            o.offset = t->offset + tile.first;
            o.sums = t->sums.acc + (lane * sums_steps(t->steps) + tile.first * o.sums_step) * size;
            k->planar_outer[vectors - 1][tile.count - 1](&o);
        }
    }
}

/* FC_SUM_BLOCK terms at a time. */
static void add_piece(struct task *t, const struct fc_piece *p)
{
    const struct fc_corr *c = t->c;
    const struct fc_box box = { .image = p->image, .channel = t->group * c->lanes + t->lane, .channels = t->lanes, .slices = 1,
                                .start = { p->start[0], p->start[1], p->start[2] }, .rows = p->rows, .columns = p->columns };
    struct fc_planar_grad g = { .x_line = t->s->pitch, .offset = t->offset, .steps = t->steps, .count = p->columns };
    fc_slab_copy(c, t->s, p, t->input);
    if (few_lanes(c)) few_gradient(t, p, &box, &g);
    else fc_box_pack(c->k, &c->to, c->to_size, &box, t->blocked);
    const int64_t terms = line_terms(c, p->columns), block = fc_max(1, FC_SUM_BLOCK / terms);
    for (int64_t row = 0; row < p->rows; row += block) {
        const int64_t lines = fc_min(block, p->rows - row);
        if (few_lanes(c)) add_few(t, &g, row, lines);
        else add_many(t, p, row, lines);
        fc_sums_count(&t->sums, lines * terms);
    }
}

/* dW [lane][step] from sums [lane][step][vector] or [panel][step][lanes of the panel]. */
static void write_weights(const struct task *t, char *weight)
{
    const struct fc_kernels *k = t->c->k;
    const ptrdiff_t size = (ptrdiff_t)t->c->size, lane = fc_steps_of(t->c);
    char *to = weight + ((t->group * t->c->lanes + t->lane) * lane + t->step) * size;
    const struct fc_weights w = { .source = to, .lane = lane, .depth = 1, .taps = { 1, 1, 1 }, .lanes = t->lanes, .depths = t->steps,
                                  .flat = 1, .packed = t->sums.total };
    if (few_lanes(t->c))
        for (int64_t i = 0; i < t->lanes; i++) k->planar_fold(t->sums.total + i * t->steps * k->vector * size, t->steps, to + i * lane * size);
    else
        for (int64_t panel = 0; panel * k->lanes < t->lanes; panel++) k->unpack_weights(&w, panel);
}

static void gradient_task(void *data, int64_t number, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    char *memory = job->workspace + (size_t)worker * job->bytes;
    struct task t = { .c = c, .s = &job->s, .group = number / job->step_parts / job->lane_parts,
                      .lane = number / job->step_parts % job->lane_parts * job->lanes, .step = number % job->step_parts * job->steps,
                      .input = memory + fc_offsets_bytes(c) };
    t.lanes = fc_min(job->lanes, c->lanes - t.lane);
    t.steps = fc_min(job->steps, fc_steps_of(c) - t.step);
    t.offset = job->offset + t.step;
    t.blocked = t.input + fc_slab_bytes(c, t.s);
    t.lines = t.blocked + blocked_bytes(c, t.s);
    fc_sums_start(&t.sums, c->k, t.lines + lines_bytes(c, t.s), sums_bytes(c, t.lanes, t.steps), all_terms(c));
    const int64_t pieces = fc_pieces(c, t.s);
    for (int64_t i = 0; i < c->batch * pieces; i++) {
        if (fc_stopping()) return;
        const struct fc_piece p = fc_piece_of(c, t.s, i / pieces, t.group, i % pieces);
        add_piece(&t, &p);
    }
    fc_sums_finish(&t.sums);
    write_weights(&t, job->weight);
}

/* A task for each thread: lanes are shared first, for each lane's dy is packed once then; steps alone, where whole panels
 * would give one thread more than another. */
static void share(struct job *job, int threads)
{
    const struct fc_corr *c = job->c;
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), steps = fc_steps_of(c), most = most_lanes(c);
    const int64_t each = fc_round_up(fc_ceil_div(c->lanes, threads), panel);
    job->lanes = fc_min(most, each * threads > fc_round_up(c->lanes, panel) && most >= c->lanes ? c->lanes : each);
    job->lane_parts = fc_ceil_div(c->lanes, job->lanes);
    const int64_t wanted = fc_ceil_div(threads, c->groups * job->lane_parts);
    job->steps = fc_ceil_div(steps, fc_min(wanted, fc_ceil_div(steps, c->k->tile_rows)));
    job->step_parts = fc_ceil_div(steps, job->steps);
}

fc_status fc_planar_gradient(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    struct job job = { .c = &c, .s = choose_strip(&c), .offset = data->workspace, .weight = data->weight, .workspace = data->workspace,
                       .bytes = plan->workspace };
    share(&job, data->threads);
    fc_slab_offsets(&c, &job.s, data->workspace);
    return fc_parallel(gradient_task, &job, c.groups * job.lane_parts * job.step_parts, data->threads);
}

size_t fc_planar_gradient_workspace(const struct fc_corr *c)
{
    if (!fc_slab_fit(c)) return 0;
    const struct fc_slab s = choose_strip(c);
    const size_t bytes = strip_bytes(c, &s) + (size_t)fc_sum_levels(all_terms(c)) * sums_bytes(c, most_lanes(c), fc_steps_of(c));
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}

/* Many lanes: half a cycle for each vector of a step, and dy is packed; a whole cycle where a tile of few steps waits for
 * its own sums. Few lanes: each of a vector's pixels, with loads for every row and step of a tile. Then the sums are
 * started, moved and written. */
double fc_planar_gradient_cycles(const struct fc_corr *c)
{
    const double pixels = (double)fc_volume(c->to_size), steps = (double)fc_steps_of(c), lanes = (double)c->lanes;
    const double vector = c->k->vector, vectors = (double)fc_ceil_div(c->lanes, c->k->vector);
    const double sums = steps * (double)sums_width(c, c->lanes) / vector * 8 / (double)c->batch;
    const double copied = (double)(c->depths * fc_volume(c->from_size)) / 2;
    if (few_lanes(c)) return (double)fc_ceil_div(c->to_size[2], c->k->vector) * (pixels / (double)c->to_size[2]) * lanes * steps + sums + copied;
    return pixels * steps * vectors * 0.7 + pixels * vectors * vector * 0.5 + sums + copied;
}
