/* direct_gradient.c - backward-weights of blocked direct convolution: sums of outer products of pixels (gradient.c).
 *
 * A task is a chunk of input channels times a chunk of output channels. It walks over all strips of all images. Where one
 * strip is all there is, the sums of one block of depth and one panel of lanes are complete when it has been looked at:
 * then they are written at once, from the level-1 cache, instead of being kept for the whole chunk.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/direct.h"
#include "conv/pointwise.h"

static size_t rows_bytes(const struct fc_strip *s) { return fc_align((size_t)s->rows * sizeof(ptrdiff_t)); }
static int64_t panel_of(const struct fc_corr *c) { return fc_max(FC_BLOCK, c->k->lanes); }

static int is_single(const struct fc_corr *c, const struct fc_strip *s)
{
    return c->batch * c->to_size[0] == 1 && s->rows == c->to_size[1] && s->columns == c->to_size[2] && fc_terms(c) <= FC_SUM_BLOCK;
}

/* What is kept at once of a chunk's sums, or of those that are left of them. */
static struct fc_gradient kept(const struct fc_corr *c, const struct fc_strip *s, int64_t depths, int64_t lanes)
{
    const int single = is_single(c, s);
    return (struct fc_gradient){ .k = c->k, .taps = fc_volume(c->taps), .depths = single ? fc_min(depths, FC_BLOCK) : depths,
                                 .lanes = single ? fc_min(lanes, panel_of(c)) : lanes };
}

size_t fc_direct_chunk_bytes(const struct fc_corr *c, const struct fc_chunk *h)
{
    const struct fc_gradient g = kept(c, &h->s, h->depths, h->lanes);
    return (size_t)fc_sum_levels(fc_terms(c)) * fc_gradient_bytes(&g) + fc_strip_bytes(c, &h->s) + rows_bytes(&h->s);
}

struct fc_chunk fc_direct_chunk(const struct fc_corr *c, int64_t depths, int64_t lanes, size_t goal)
{
    const int64_t panel = panel_of(c), tile = c->k->tile_rows;
    const int64_t all_depths = fc_round_up(c->depths, FC_BLOCK), all_lanes = fc_padded_lanes(c);
    struct fc_chunk h = { .depths = fc_min(all_depths, depths), .lanes = fc_min(all_lanes, fc_round_up(lanes, panel)) };
    while (c->groups * fc_ceil_div(all_depths, h.depths) * fc_ceil_div(all_lanes, h.lanes) < 4) {
        if (h.lanes > panel && h.lanes >= h.depths) h.lanes = fc_half(h.lanes, panel);
        else if (h.depths > FC_BLOCK) h.depths = fc_half(h.depths, FC_BLOCK);
        else if (h.lanes > panel) h.lanes = fc_half(h.lanes, panel);
        else break;
    }
    h.s = fc_strip_choose(c);
    h.s.chunk = h.depths / FC_BLOCK;
    h.s.part = h.lanes;
    while (h.s.rows > 1 && fc_direct_chunk_bytes(c, &h) > goal) h.s.rows = fc_half(h.s.rows, 1);
    while (h.depths > FC_BLOCK && fc_direct_chunk_bytes(c, &h) > goal) h.s.chunk = (h.depths = fc_half(h.depths, FC_BLOCK)) / FC_BLOCK;
    while (h.lanes > panel && fc_direct_chunk_bytes(c, &h) > goal) h.s.part = h.lanes = fc_half(h.lanes, panel);
    while (h.s.columns > 1 && fc_direct_chunk_bytes(c, &h) > goal) h.s.columns = fc_half(h.s.columns, h.s.columns > 2 * tile ? tile : 1);
    return h;
}

static void write_weights(const struct fc_corr *c, const struct fc_gradient *g, int64_t group, int64_t depth, int64_t lane,
                          void *weight)
{
    struct fc_weights w = fc_weights_of(c, weight, group, lane, depth);
    w.lanes = g->lanes;
    w.depths = g->depths;
    w.packed = g->sums.total;
    for (int64_t panel = 0; panel * c->k->lanes < g->lanes; panel++) c->k->unpack_weights(&w, panel);
}

/* The outer products of `rows` rows from `row` on, `columns` pixels from `column` on; all of the row if several. */
static void add_pixels(const struct fc_corr *c, struct fc_gradient *g, const struct fc_box *y, int64_t row,
                       int64_t rows, int64_t column, int64_t columns, const ptrdiff_t *offset, const ptrdiff_t *row_offset,
                       const char *input, const char *gradient)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t taps = fc_volume(c->taps);
    struct fc_tile t = { .offset = row_offset + row, .runs = rows, .len = columns, .a_step = c->stride[2] * FC_BLOCK,
                         .init = fc_gradient_init(g) };
    const char *dy = gradient + (row * y->columns + column) * FC_BLOCK * size;
    for (int64_t block = 0; block < fc_blocks(g->depths); block++) {
        for (int64_t tap = 0; tap < taps; tap++) {
            t.a = input + (offset[block * taps + tap] + column * t.a_step) * size;
            fc_gradient_add(g, t, block, tap, dy, y->rows * y->columns * FC_BLOCK);
        }
    }
    fc_sums_count(&g->sums, rows * columns);
}

/* Those of one strip, FC_SUM_BLOCK at a time. */
static void add_strip(const struct fc_corr *c, const struct fc_strip *s, struct fc_gradient *g, const struct fc_box *y,
                      const ptrdiff_t *offset, ptrdiff_t *row_offset, const char *input, const char *gradient)
{
    for (int64_t r = 0; r < y->rows; r++) row_offset[r] = r * c->stride[1] * fc_strip_reach(c, 2, s->columns) * FC_BLOCK;
    const int64_t columns = fc_min(y->columns, FC_SUM_BLOCK), rows = fc_max(1, FC_SUM_BLOCK / y->columns);
    for (int64_t row = 0; row < y->rows; row += rows)
        for (int64_t column = 0; column < y->columns; column += columns)
            add_pixels(c, g, y, row, fc_min(rows, y->rows - row), column, fc_min(columns, y->columns - column), offset,
                       row_offset, input, gradient);
}

/* A chunk, and where its operands and sums lie. */
struct chunk {
    const struct fc_corr *c;
    const struct fc_chunk *h;
    int64_t group, depth, lane, depths, lanes;
    ptrdiff_t *offset, *rows;
    char *input, *gradient, *sums;
};

static int64_t strips_of(const struct fc_corr *c, const struct fc_strip *s)
{
    return c->batch * c->to_size[0] * fc_ceil_div(c->to_size[1], s->rows) * fc_ceil_div(c->to_size[2], s->columns);
}

/* The box of dy that is strip i. */
static struct fc_box strip_box(const struct fc_corr *c, const struct fc_strip *s, int64_t i)
{
    const int64_t high = fc_ceil_div(c->to_size[1], s->rows), wide = fc_ceil_div(c->to_size[2], s->columns);
    struct fc_box y = { .slices = 1, .image = i / wide / high / c->to_size[0],
                        .start = { i / wide / high % c->to_size[0], i / wide % high * s->rows, i % wide * s->columns } };
    y.rows = fc_min(s->rows, c->to_size[1] - y.start[1]);
    y.columns = fc_min(s->columns, c->to_size[2] - y.start[2]);
    return y;
}

/* A strip of dy and the inputs it meets. */
static void pack_strip(const struct chunk *u, struct fc_box y)
{
    const struct fc_corr *c = u->c;
    struct fc_box x = fc_strip_input(c, &u->h->s, y.start);
    x.image = y.image;
    x.channel = u->group * c->depths + u->depth;
    x.channels = u->depths;
    y.channel = u->group * c->lanes + u->lane;
    y.channels = u->lanes;
    fc_box_pack(c->k, &c->from, c->from_size, &x, u->input);
    fc_box_pack(c->k, &c->to, c->to_size, &y, u->gradient);
}

/* The sums that are kept at once, from (depth, lane) of the chunk on. */
static void add_strips(const struct chunk *u, struct fc_gradient *g, int64_t depth, int64_t lane)
{
    const struct fc_strip *s = &u->h->s;
    for (int64_t i = 0; i < strips_of(u->c, s); i++) {
        if (fc_stopping()) return;
        const struct fc_box y = strip_box(u->c, s, i);
        if (depth + lane == 0) pack_strip(u, y);    /* if not, the only strip is packed */
        add_strip(u->c, s, g, &y, u->offset + depth / FC_BLOCK * g->taps, u->rows, u->input,
                  u->gradient + lane * y.rows * y.columns * (ptrdiff_t)u->c->size);
    }
}

void fc_direct_gradient(const struct fc_corr *c, const struct fc_chunk *h, int64_t group, int64_t depth, int64_t lane, void *weight, char *memory)
{
    const struct fc_strip *s = &h->s;
    struct chunk u = { c, h, group, depth, lane, fc_min(h->depths, c->depths - depth), fc_min(h->lanes, c->lanes - lane),
                       .offset = (ptrdiff_t *)memory };
    u.rows = (ptrdiff_t *)(memory + fc_strip_offsets_bytes(c, s));
    u.input = (char *)u.rows + rows_bytes(s);
    u.gradient = u.input + fc_strip_input_bytes(c, s);
    u.sums = u.gradient + fc_strip_output_bytes(c, s);
    fc_strip_offsets(c, s, c->taps, 0, u.offset);
    const struct fc_gradient most = kept(c, s, u.depths, u.lanes);
    for (int64_t l = 0; l < u.lanes; l += most.lanes) {
        for (int64_t d = 0; d < u.depths; d += most.depths) {
            struct fc_gradient g = kept(c, s, u.depths - d, u.lanes - l);
            fc_gradient_start(&g, u.sums, fc_terms(c));
            add_strips(&u, &g, d, l);
            if (fc_stopping()) return;
            fc_sums_finish(&g.sums);
            write_weights(c, &g, group, depth + d, lane + l, weight);
        }
    }
}

struct job {
    const struct fc_corr *c;
    struct fc_chunk h;
    int64_t depth_chunks, lane_chunks;
    void *weight;
    char *workspace;
    size_t bytes;
};

static struct fc_chunk chunk_of(const struct fc_corr *c) { return fc_direct_chunk(c, 256, 256, 2 * fc_workspace_goal()); }

static void gradient_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const int64_t lane = task % job->lane_chunks * job->h.lanes, depth = task / job->lane_chunks % job->depth_chunks * job->h.depths;
    fc_direct_gradient(job->c, &job->h, task / job->lane_chunks / job->depth_chunks, depth, lane, job->weight,
                       job->workspace + (size_t)worker * job->bytes);
}

fc_status fc_direct_backward_weights(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    if (fc_pointwise_gradient_applies(&c)) return fc_pointwise_gradient(plan, data, &c);
    struct job job = { .c = &c, .h = chunk_of(&c), .weight = data->weight, .workspace = data->workspace,
                                .bytes = plan->workspace };
    job.depth_chunks = fc_ceil_div(c.depths, job.h.depths);
    job.lane_chunks = fc_ceil_div(c.lanes, job.h.lanes);
    return fc_parallel(gradient_task, &job, c.groups * job.depth_chunks * job.lane_chunks, data->threads);
}

size_t fc_direct_gradient_workspace(const struct fc_corr *c)
{
    if (!fc_strip_fits(c)) return 0;
    if (fc_pointwise_gradient_applies(c)) return fc_pointwise_gradient_bytes(c);
    const struct fc_chunk h = chunk_of(c);
    const size_t bytes = fc_direct_chunk_bytes(c, &h);
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}
