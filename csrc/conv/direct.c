/* direct.c - blocked direct convolution: the sum as it stands, in register tiles.
 *
 * Forward and backward-data. A task is a strip of output rows for some output channels: the input rows it needs are
 * packed into scratch memory (with their padding), the tiles run over them, the result is unpacked. All of it fits into
 * half of the level-2 cache; the weights stream past, one panel for all rows of the strip. Where all input channels do
 * not fit at once they come in chunks, and the tiles continue from the output of the chunk before: the order of the
 * additions, depth block by block, tap by tap, is the same for every blocking, and so are the bits.
 *
 * Backward-weights. A task is a chunk of input channels times a chunk of output channels; it walks over all images and
 * strips and accumulates the outer products of the pixels (gradient.c).
 *
 * Applies to every problem whose smallest strip fits into the limit of scratch memory.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/pointwise.h"

/* ---- Strips -------------------------------------------------------------------------------------------------------*/

static int64_t reach(const struct fc_corr *c, int a, int64_t outputs)
{
    return (outputs - 1) * c->stride[a] + (c->taps[a] - 1) * c->dilation[a] + 1;
}

/* Of a single output row only those input rows are packed that a tap falls on: the dilation may be large. */
static int64_t packed_step(const struct fc_corr *c, const struct fc_strip *s) { return s->rows == 1 ? c->dilation[1] : 1; }
static int64_t packed_rows(const struct fc_corr *c, const struct fc_strip *s) { return s->rows == 1 ? c->taps[1] : reach(c, 1, s->rows); }

static int64_t strip_pixels(const struct fc_corr *c, const struct fc_strip *s)
{
    return c->taps[0] * packed_rows(c, s) * reach(c, 2, s->columns);
}

static size_t offsets_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->chunk * fc_volume(c->taps)) * sizeof(ptrdiff_t));
}
static size_t input_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->chunk * strip_pixels(c, s) * FC_BLOCK) * c->size);
}
static size_t output_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->part * s->rows * s->columns) * c->size);
}

/* The first 64 bytes hold the number of the strip that is packed. */
static size_t forward_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return 64 + offsets_bytes(c, s) + input_bytes(c, s) + output_bytes(c, s);
}

static size_t rows_bytes(const struct fc_strip *s) { return fc_align((size_t)s->rows * sizeof(ptrdiff_t)); }

static int64_t half(int64_t x, int64_t granule) { return fc_round_up(fc_ceil_div(x, 2), granule); }

/* Whether a single output pixel's reach is small enough for the sizes below to be meaningful. */
static int reach_fits(const struct fc_corr *c)
{
    const double bytes = (double)c->size * FC_BLOCK * (double)c->taps[0] * (double)c->taps[1] * (double)reach(c, 2, 1);
    return bytes < FC_WORKSPACE_LIMIT && fc_volume(c->taps) < FC_WORKSPACE_LIMIT / (int64_t)sizeof(ptrdiff_t);
}

/* The largest strip that stays within the goal: fewer rows first, then a chunk of the depth, fewer lanes, columns. */
static struct fc_strip choose_strip(const struct fc_corr *c)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), tile = c->k->tile_rows;
    struct fc_strip s = { c->to_size[1], c->to_size[2], fc_blocks(c->depths), fc_padded_lanes(c) };
    const size_t goal = fc_workspace_goal();
    /* columns first where a single row would never fit: every reach is then below the limit and nothing overflows */
    while (s.columns > tile && (double)s.columns * (double)c->stride[2] > FC_WORKSPACE_LIMIT / 64) s.columns = half(s.columns, 1);
    while (s.rows > 1 && reach(c, 1, s.rows) > FC_WORKSPACE_LIMIT / 64) s.rows = half(s.rows, 1);
    while (s.rows > 1 && forward_bytes(c, &s) > goal) s.rows = half(s.rows, 1);
    while (s.chunk > 1 && forward_bytes(c, &s) > goal) s.chunk = half(s.chunk, 1);
    while (s.part > panel && forward_bytes(c, &s) > goal) s.part = half(s.part, panel);
    while (s.columns > 1 && forward_bytes(c, &s) > goal) s.columns = half(s.columns, s.columns > 2 * tile ? tile : 1);
    return s;
}

static void fill_offsets(const struct fc_corr *c, const struct fc_strip *s, ptrdiff_t *offset)
{
    const int64_t rows = packed_rows(c, s), columns = reach(c, 2, s->columns), dilation = c->dilation[1] / packed_step(c, s);
    for (int64_t block = 0; block < s->chunk; block++)
        for (int64_t t = 0; t < c->taps[0]; t++)
            for (int64_t r = 0; r < c->taps[1]; r++)
                for (int64_t q = 0; q < c->taps[2]; q++)
                    *offset++ = (((block * c->taps[0] + t) * rows + r * dilation) * columns + q * c->dilation[2]) * FC_BLOCK;
}

/* The input of the strip of outputs at `out`. */
static struct fc_box input_box(const struct fc_corr *c, const struct fc_strip *s, const int64_t *out)
{
    struct fc_box b = { .slices = c->taps[0], .slice_step = c->dilation[0], .rows = packed_rows(c, s),
                        .row_gap = packed_step(c, s) - 1, .columns = reach(c, 2, s->columns), .border = c->border };
    for (int a = 0; a < FC_AXES; a++) b.start[a] = out[a] * c->stride[a] - c->offset[a];
    return b;
}

/* ---- Forward and backward-data ----------------------------------------------------------------------------------*/

struct forward_job {
    const struct fc_corr *c;
    struct fc_strip s;
    int64_t parts, row_strips, column_strips;
    char *workspace;
    size_t bytes;
};

struct piece {
    int64_t image, group, out[FC_AXES], rows, columns, lane, lanes;
};

static struct piece decode(const struct forward_job *job, int64_t task)
{
    const struct fc_corr *c = job->c;
    struct piece p;
    p.lane = task % job->parts * job->s.part;
    p.lanes = fc_min(job->s.part, c->lanes - p.lane);
    task /= job->parts;
    p.out[2] = task % job->column_strips * job->s.columns;
    task /= job->column_strips;
    p.out[1] = task % job->row_strips * job->s.rows;
    task /= job->row_strips;
    p.out[0] = task % c->to_size[0];
    task /= c->to_size[0];
    p.group = task % c->groups;
    p.image = task / c->groups;
    p.rows = fc_min(job->s.rows, c->to_size[1] - p.out[1]);
    p.columns = fc_min(job->s.columns, c->to_size[2] - p.out[2]);
    return p;
}

static int64_t steps(const struct fc_corr *c) { return fc_blocks(c->depths) * FC_BLOCK * fc_volume(c->taps); }

/* All tiles of a piece for one chunk of depth that is packed at `input`. */
static void run_tiles(const struct fc_corr *c, const struct fc_strip *s, const struct piece *p, int64_t first, int64_t blocks,
                      const ptrdiff_t *offset, const char *input, char *output)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t taps = fc_volume(c->taps), row = reach(c, 2, s->columns) * c->stride[1] * FC_BLOCK;
    struct fc_tiles t = { .k = c->k, .a_row = c->stride[2] * FC_BLOCK, .offset = offset, .runs = blocks * taps,
                          .c_block = p->rows * p->columns * FC_BLOCK };
    for (int64_t lane = p->lane; lane < p->lane + p->lanes; lane += c->k->lanes) {
        const int vectors = fc_panel_vectors(c->k, lane, c->lanes);
        t.b = fc_packed_group(c, p->group, steps) + (lane * steps(c) + first * taps * FC_BLOCK * vectors * c->k->vector) * size;
        t.init = first == 0 ? fc_packed_bias(c, p->group) + lane * size : NULL;
        const int64_t at = lane - p->lane;
        for (int64_t r = 0; r < p->rows; r++) {
            t.a = input + r * row * size;
            t.c = output + (at / FC_BLOCK * t.c_block + at % FC_BLOCK + r * p->columns * FC_BLOCK) * size;
            fc_tiles_run(&t, p->columns, vectors);
        }
    }
}

static void forward_task(void *data, int64_t task, int worker)
{
    const struct forward_job *job = data;
    const struct fc_corr *c = job->c;
    const struct piece p = decode(job, task);
    char *memory = job->workspace + (size_t)worker * job->bytes;
    int64_t *packed_strip = (int64_t *)memory;
    ptrdiff_t *offset = (ptrdiff_t *)(memory + 64);
    char *input = memory + 64 + offsets_bytes(c, &job->s), *output = input + input_bytes(c, &job->s);
    if (*packed_strip < 0) fill_offsets(c, &job->s, offset);
    /* every strip is packed at its full size, so that one table of offsets serves all */
    struct fc_box in = input_box(c, &job->s, p.out);
    in.image = p.image;
    const int64_t all = fc_blocks(c->depths);
    for (int64_t first = 0; first < all; first += job->s.chunk) {
        const int64_t blocks = fc_min(job->s.chunk, all - first);
        if (job->s.chunk < all || *packed_strip != task / job->parts) {
            in.channel = p.group * c->depths + first * FC_BLOCK;
            in.channels = fc_min(blocks * FC_BLOCK, c->depths - first * FC_BLOCK);
            fc_box_pack(c->k, &c->from, c->from_size, &in, input);
            *packed_strip = task / job->parts;
        }
        run_tiles(c, &job->s, &p, first, blocks, offset, input, output);
    }
    struct fc_box out = { .image = p.image, .channel = p.group * c->lanes + p.lane, .channels = p.lanes, .slices = 1,
                          .start = { p.out[0], p.out[1], p.out[2] }, .rows = p.rows, .columns = p.columns, .relu = c->relu };
    fc_box_unpack(c->k, &c->to, &out, output);
}

static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    if (fc_volume(c->to_size) == 0) return FC_OK;
    if (fc_pointwise_applies(c)) return fc_pointwise_forward(plan, data, c, steps);
    struct forward_job job = { .c = c, .s = choose_strip(c), .workspace = data->workspace, .bytes = plan->workspace };
    job.row_strips = fc_ceil_div(c->to_size[1], job.s.rows);
    job.column_strips = fc_ceil_div(c->to_size[2], job.s.columns);
    const int64_t strips = c->batch * c->groups * c->to_size[0] * job.row_strips * job.column_strips;
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), wanted = 4 * data->threads;
    if (data->threads > 1 && strips < wanted)    /* a few strips: share each among threads */
        job.s.part = fc_min(job.s.part, fc_round_up(fc_ceil_div(c->lanes * strips, wanted), panel));
    job.parts = fc_ceil_div(c->lanes, job.s.part);
    for (int i = 0; i < data->threads; i++) *(int64_t *)(job.workspace + (size_t)i * job.bytes) = -1;
    return fc_parallel(forward_task, &job, strips * job.parts, data->threads);
}

/* ---- Backward-weights ---------------------------------------------------------------------------------------------*/

static struct fc_gradient gradient_of(const struct fc_corr *c, int64_t depths, int64_t lanes)
{
    return (struct fc_gradient){ .k = c->k, .lanes = lanes, .depths = depths, .taps = fc_volume(c->taps) };
}

size_t fc_direct_chunk_bytes(const struct fc_corr *c, const struct fc_chunk *h)
{
    const struct fc_gradient g = gradient_of(c, h->depths, h->lanes);
    return (size_t)fc_sum_levels(fc_terms(c)) * fc_gradient_bytes(&g) + forward_bytes(c, &h->s) + rows_bytes(&h->s);
}

struct fc_chunk fc_direct_chunk(const struct fc_corr *c, int64_t depths, int64_t lanes, size_t goal)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), tile = c->k->tile_rows;
    const int64_t all_depths = fc_round_up(c->depths, FC_BLOCK), all_lanes = fc_padded_lanes(c);
    struct fc_chunk h = { .depths = fc_min(all_depths, depths), .lanes = fc_min(all_lanes, fc_round_up(lanes, panel)) };
    while (c->groups * fc_ceil_div(all_depths, h.depths) * fc_ceil_div(all_lanes, h.lanes) < 4) {
        if (h.lanes > panel && h.lanes >= h.depths) h.lanes = half(h.lanes, panel);
        else if (h.depths > FC_BLOCK) h.depths = half(h.depths, FC_BLOCK);
        else if (h.lanes > panel) h.lanes = half(h.lanes, panel);
        else break;
    }
    h.s = choose_strip(c);
    h.s.chunk = h.depths / FC_BLOCK;
    h.s.part = h.lanes;
    while (h.s.rows > 1 && fc_direct_chunk_bytes(c, &h) > goal) h.s.rows = half(h.s.rows, 1);
    while (h.depths > FC_BLOCK && fc_direct_chunk_bytes(c, &h) > goal) h.s.chunk = (h.depths = half(h.depths, FC_BLOCK)) / FC_BLOCK;
    while (h.lanes > panel && fc_direct_chunk_bytes(c, &h) > goal) h.s.part = h.lanes = half(h.lanes, panel);
    while (h.s.columns > 1 && fc_direct_chunk_bytes(c, &h) > goal) h.s.columns = half(h.s.columns, h.s.columns > 2 * tile ? tile : 1);
    return h;
}

struct gradient_job {
    const struct fc_corr *c;
    struct fc_chunk h;
    int64_t depth_chunks, lane_chunks;
    void *weight;
    char *workspace;
    size_t bytes;
};

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
    for (int64_t r = 0; r < y->rows; r++) row_offset[r] = r * c->stride[1] * reach(c, 2, s->columns) * FC_BLOCK;
    const int64_t columns = fc_min(y->columns, FC_SUM_BLOCK), rows = fc_max(1, FC_SUM_BLOCK / y->columns);
    for (int64_t row = 0; row < y->rows; row += rows)
        for (int64_t column = 0; column < y->columns; column += columns)
            add_pixels(c, g, y, row, fc_min(rows, y->rows - row), column, fc_min(columns, y->columns - column), offset,
                       row_offset, input, gradient);
}

/* The strip of dy at `out` and the inputs it meets. */
static void pack_strip(const struct fc_corr *c, const struct fc_strip *s, const struct fc_gradient *g, int64_t image, int64_t depth,
                       int64_t lane, struct fc_box *y, char *input, char *gradient)
{
    struct fc_box x = input_box(c, s, y->start);
    x.image = y->image = image;
    x.channel = depth;
    x.channels = g->depths;
    y->channel = lane;
    y->channels = g->lanes;
    fc_box_pack(c->k, &c->from, c->from_size, &x, input);
    fc_box_pack(c->k, &c->to, c->to_size, y, gradient);
}

void fc_direct_gradient(const struct fc_corr *c, const struct fc_chunk *h, int64_t group, int64_t depth, int64_t lane, void *weight, char *memory)
{
    const struct fc_strip *s = &h->s;
    struct fc_gradient g = gradient_of(c, fc_min(h->depths, c->depths - depth), fc_min(h->lanes, c->lanes - lane));
    ptrdiff_t *offset = (ptrdiff_t *)memory, *rows = (ptrdiff_t *)(memory + offsets_bytes(c, s));
    char *input = (char *)rows + rows_bytes(s), *gradient = input + input_bytes(c, s), *sums = gradient + output_bytes(c, s);
    fill_offsets(c, s, offset);
    fc_gradient_start(&g, sums, fc_terms(c));
    const int64_t row_strips = fc_ceil_div(c->to_size[1], s->rows), column_strips = fc_ceil_div(c->to_size[2], s->columns);
    const int64_t per_image = c->to_size[0] * row_strips * column_strips;
    for (int64_t i = 0; i < c->batch * per_image; i++) {
        if (fc_stopping()) return;
        const int64_t in_image = i % per_image, in_slice = in_image % (row_strips * column_strips);
        struct fc_box y = { .slices = 1, .start = { in_image / (row_strips * column_strips), in_slice / column_strips * s->rows,
                                                    in_slice % column_strips * s->columns } };
        y.rows = fc_min(s->rows, c->to_size[1] - y.start[1]);
        y.columns = fc_min(s->columns, c->to_size[2] - y.start[2]);
        pack_strip(c, s, &g, i / per_image, group * c->depths + depth, group * c->lanes + lane, &y, input, gradient);
        add_strip(c, s, &g, &y, offset, rows, input, gradient);
    }
    fc_sums_finish(&g.sums);
    write_weights(c, &g, group, depth, lane, weight);
}

static void gradient_task(void *data, int64_t task, int worker)
{
    const struct gradient_job *job = data;
    const int64_t lane = task % job->lane_chunks * job->h.lanes, depth = task / job->lane_chunks % job->depth_chunks * job->h.depths;
    fc_direct_gradient(job->c, &job->h, task / job->lane_chunks / job->depth_chunks, depth, lane, job->weight,
                       job->workspace + (size_t)worker * job->bytes);
}

static fc_status backward_weights(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    if (fc_pointwise_gradient_applies(&c)) return fc_pointwise_gradient(plan, data, &c);
    struct gradient_job job = { .c = &c, .h = fc_direct_chunk(&c, 256, 256, 2 * fc_workspace_goal()), .weight = data->weight, .workspace = data->workspace,
                                .bytes = plan->workspace };
    job.depth_chunks = fc_ceil_div(c.depths, job.h.depths);
    job.lane_chunks = fc_ceil_div(c.lanes, job.h.lanes);
    return fc_parallel(gradient_task, &job, c.groups * job.depth_chunks * job.lane_chunks, data->threads);
}

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t forward_workspace(const struct fc_corr *c)
{
    if (!reach_fits(c)) return 0;
    const struct fc_strip s = choose_strip(c);
    const size_t blocked = forward_bytes(c, &s), pointwise = fc_pointwise_bytes(c), bytes = pointwise > blocked ? pointwise : blocked;
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}

static size_t gradient_workspace(const struct fc_corr *c)
{
    if (!reach_fits(c)) return 0;
    if (fc_pointwise_gradient_applies(c)) return fc_pointwise_gradient_bytes(c);
    const struct fc_chunk h = fc_direct_chunk(c, 256, 256, 2 * fc_workspace_goal());
    const size_t bytes = fc_direct_chunk_bytes(c, &h);
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}

static size_t workspace(const fc_conv_plan *plan)
{
    return fc_most_bytes(plan, plan->pass == FC_BACKWARD_WEIGHTS ? gradient_workspace : forward_workspace);
}

static const char *refuses(const fc_conv_plan *plan)
{
    (void)plan;
    return NULL;
}

/* Multiply-adds on padded blocks, two vectors a cycle at best, plus the packing of both sides. */
static double cycles(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const struct fc_kernels *k = plan->kernels;
    struct fc_corr c;
    const int gradient = plan->pass == FC_BACKWARD_WEIGHTS;
    double total = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        if (!fc_phase(plan, NULL, i, &c)) continue;
        if (gradient ? fc_pointwise_gradient_applies(&c) : fc_pointwise_extents(&c, 1)) {
            total += gradient ? fc_pointwise_gradient_cycles(&c) : fc_pointwise_cycles(&c);
            continue;
        }
        const double pixels = (double)fc_volume(c.to_size), inputs = (double)fc_volume(c.from_size);
        const double tile = (double)fc_min(c.to_size[2], k->tile_rows) < 6 ? 0.5 : gradient ? 0.8 : 0.9;
        const double depths = (double)fc_round_up(c.depths, FC_BLOCK), lanes = (double)fc_round_up(c.lanes, k->vector);
        total += pixels * depths * lanes * (double)fc_volume(c.taps) / (2 * k->vector * tile);
        total += 1.5 * (pixels * lanes + inputs * depths);
        if (gradient) total += 2 * depths * lanes * (double)fc_volume(c.taps) / (double)c.batch * 16 / k->vector;
    }
    return (double)p->groups * total;
}

static void pack_panel(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to)
{
    struct fc_weights w = fc_weights_of(c, weight, group, lane, 0);
    w.packed = to;
    c->k->pack_weights(&w, 0);
}

static const struct fc_packer packer = { steps, pack_panel };

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    return plan->pass == FC_BACKWARD_WEIGHTS ? backward_weights(plan, data) : fc_each_phase(plan, data, steps, forward);
}

const struct fc_algorithm fc_direct = {
    .name = FC_BLOCKED, .label = "direct", .variant = "blocked", .refuses = refuses, .cycles = cycles, .workspace = workspace,
    .packer = &packer, .run = run,
};
