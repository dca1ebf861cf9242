/* winograd.c - convolution with 3 x 3 kernels, stride 1, by Winograd's F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3).
 *
 * The transforms are in kernels/winograd_template.h. With a = m + 2 and a*a elements e of a transformed tile:
 *
 *     forward            M[e][tile][lane] = sum over depth of V[e][tile][depth] * U[e][depth][lane]
 *     backward-weights   dU[e][depth][lane] = sum over tiles of V[e][tile][depth] * D[e][tile][lane]
 *
 * V = transformed inputs, U = transformed weights, D = transformed output gradients: a*a matrix products, of which each
 * does the work of m*m*9 / (a*a) times as many direct multiply-adds (2.25 for m = 2, 4 for m = 4).
 *
 * Forward and backward-data. A task is a block of tiles, some rows of them, which may span images where the maps are
 * small, for some output channels. V of the whole block stays in scratch memory, and M, for a slice of the lanes where
 * they are very many. One element's matrices after the other: V[e] stays in the caches while U[e] streams past, each panel
 * prefetched while the one before it is multiplied, and all of U is read once for each block. Packing, transforms and
 * unpacking go 16 channels and a row of tiles at a time, in the first-level cache.
 * A tile with an output that is not finite is computed again directly: the transforms spread NaN and infinity over a
 * tile, and may overflow where the plain sum would not.
 *
 * Backward-weights is in winograd_gradient.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/winograd.h"

/* ---- Blocks -------------------------------------------------------------------------------------------------------*/

static size_t offsets_bytes(const struct fc_corr *c) { return fc_align((size_t)fc_blocks(c->depths) * sizeof(ptrdiff_t)); }

/* The first 64 bytes hold the number of the block whose V is there. */
static size_t forward_bytes(const struct fc_corr *c, const struct fc_tiling *b)
{
    return 64 + offsets_bytes(c) + fc_strip_bytes(c, b) + fc_elements_bytes(c, b, c->depths) +
           fc_elements_bytes(c, b, b->slice);
}

enum { FEW_TILES = 28, MANY_TILES = 56 };    /* below: U streams in too slowly to be hidden; above: nothing is gained */

/* As many tiles as half of the level-2 cache allows, but enough to use each weight FEW_TILES times. V is read once for each
 * slice of the lanes, so there is one slice if the limit allows that. */
static struct fc_tiling choose_block(const struct fc_corr *c, int m)
{
    int64_t tiles = MANY_TILES, slice = fc_padded_lanes(c);
    struct fc_tiling b;
    for (;;) {
        b = fc_tiling_of(c, m, tiles);
        b.slice = slice;
        const size_t bytes = forward_bytes(c, &b);
        if (bytes <= fc_workspace_goal()) break;
        if (tiles > FEW_TILES) tiles -= 14;
        else if (bytes <= FC_WORKSPACE_LIMIT) break;
        else if (slice > 2 * fc_panel_lanes(c)) slice = fc_round_up(slice / 2, fc_panel_lanes(c));
        else if (tiles > 1) tiles = (tiles + 1) / 2;
        else break;
    }
    return b;
}

/* ---- Forward and backward-data ----------------------------------------------------------------------------------*/

/* Rows of lanes of one element in a panel of U, one of them unused: see fc_element_step. */
static int64_t element_rows(const struct fc_corr *c) { return fc_round_up(c->depths, FC_BLOCK) + 1; }
static int64_t steps_of(const struct fc_corr *c, int m) { return element_rows(c) * (m + 2) * (m + 2); }
static int64_t steps_2(const struct fc_corr *c) { return steps_of(c, 2); }
static int64_t steps_4(const struct fc_corr *c) { return steps_of(c, 4); }
static fc_steps steps_for(int m) { return m == 2 ? steps_2 : steps_4; }

struct forward_job {
    const struct fc_corr *c;
    struct fc_tiling b;
    int64_t part, parts;    /* lanes of a task */
    const void *weight;
    char *workspace;
    size_t bytes;
};

static const double zeros[FC_MAX_VECTORS * FC_BLOCK];

/* U[e] of the panel at `lane`. */
static const char *panel_at(const struct fc_corr *c, int m, int64_t e, int64_t lane)
{
    const fc_steps steps = steps_for(m);
    const int64_t width = fc_panel_vectors(c->k, lane, c->lanes) * c->k->vector;
    return fc_packed_group(c, 0, steps) + (lane * steps(c) + e * element_rows(c) * width) * (ptrdiff_t)c->size;
}

/* M[e] = V[e] U[e] for all elements, lanes [lane, lane + lanes), the first `count` tiles. */
static void multiply(const struct forward_job *job, int64_t lane, int64_t lanes, int64_t count, const ptrdiff_t *offset,
                     const char *v, char *m)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t tiles = fc_tiling_tiles(&job->b), depths = fc_round_up(c->depths, FC_BLOCK);
    struct fc_tiles t = { .k = c->k, .a_row = FC_BLOCK, .offset = offset, .runs = depths / FC_BLOCK, .c_row = FC_BLOCK,
                          .c_block = tiles * FC_BLOCK, .init = (const char *)zeros };
    for (int64_t e = 0; e < fc_elements(&job->b); e++) {
        t.a = v + e * fc_element_step(c, &job->b, c->depths) * size;
        for (int64_t l = lane; l < lane + lanes; l += c->k->lanes) {
            const int vectors = fc_panel_vectors(c->k, l, c->lanes);
            const int last = l + c->k->lanes >= lane + lanes;
            t.b = panel_at(c, job->b.m, e, l);
            t.ahead = last ? panel_at(c, job->b.m, (e + 1) % fc_elements(&job->b), lane) : panel_at(c, job->b.m, e, l + c->k->lanes);
            t.c = m + (e * fc_element_step(c, &job->b, job->b.slice) + (l - lane) / FC_BLOCK * t.c_block + (l - lane) % FC_BLOCK) * size;
            fc_tiles_run(&t, count, vectors);
        }
    }
}

/* Tile row `row` of segment s has outputs that are not finite: those tiles again, by the plain sum. */
static void repair(const struct forward_job *job, const struct fc_place *p, const struct fc_segment *s, int64_t row, int64_t lane,
                   const struct fc_winograd *w)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t m = job->b.m, slice = fc_border_position(c->border, s->slice - c->offset[0], c->from_size[0]);
    const fc_tensor *t = &c->from;
    struct fc_repair r = { .x = (const char *)t->data + (s->image * t->batch + fc_max(slice, 0) * t->space[0]) * size,
                           .x_depth = t->channel, .x_block = t->block, .x_row = t->space[1], .x_column = t->space[2],
                           .w = (const char *)job->weight + (c->w_start + lane * c->w_lane) * size, .w_lane = c->w_lane,
                           .w_depth = c->w_depth, .w_row = c->w_tap[1], .w_column = c->w_tap[2],
                           .lanes = fc_min(FC_BLOCK, c->lanes - lane), .depths = c->depths,
                           .bias = fc_packed_bias(c, 0) + lane * size, .y_row = w->row, .height = w->height };
    for (int64_t i = 0; i < m + 2; i++)
        r.row[i] = slice < 0 ? -1 : fc_border_position(c->border, (s->row + row) * m - c->offset[1] + i, c->from_size[1]);
    for (int64_t i = 0; i < p->columns; i++) {
        for (int64_t j = 0; j < m + 2; j++)
            r.column[j] = fc_border_position(c->border, (p->column + i) * m - c->offset[2] + j, c->from_size[2]);
        r.y = (char *)w->to + i * m * FC_BLOCK * size;
        r.width = fc_min(m, w->width - i * m);
        c->k->repair(&r, (int)m);
    }
}

/* One segment of 16 lanes: M -> outputs -> the tensor, where they can be written straight into it. */
static void write_block(const struct forward_job *job, const struct fc_place *p, const struct fc_segment *s, int64_t lane,
                        const char *m_of_block, char *strip)
{
    const struct fc_corr *c = job->c;
    const struct fc_tiling *b = &job->b;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t m = b->m;
    struct fc_box out = { .image = s->image, .channel = lane, .channels = fc_min(FC_BLOCK, c->lanes - lane), .slices = 1, .prefetch = fc_prefetches(c),
                          .start = { s->slice, s->row * m, p->column * m }, .relu = c->relu };
    out.columns = fc_min(p->columns * m, c->to_size[2] - out.start[2]);
    struct fc_winograd w = { .to = strip, .row = out.columns * FC_BLOCK, .element = fc_element_step(c, b, b->slice), .count = p->columns, .width = out.columns,
                             .lanes = fc_min(FC_BLOCK, fc_round_up(c->lanes - lane, c->k->vector)) };
    const int straight = fc_is_block(&c->to, out.channels) && !c->relu;
    if (straight) w.row = c->to.space[1];
    for (int64_t r = 0; r < s->rows; r++, out.start[1] += m) {
        out.rows = w.height = fc_min(m, c->to_size[1] - out.start[1]);
        if (straight) w.to = fc_element(&c->to, c->size, s->image, lane, s->slice, out.start[1], out.start[2]);
        w.from = m_of_block + (s->tile + r * b->columns) * FC_BLOCK * size;
        if (!c->k->winograd[m / 4].output(&w, fc_packed_bias(c, 0) + lane * size)) repair(job, p, s, r, lane, &w);
        if (!straight) fc_box_unpack(c->k, &c->to, &out, strip);
    }
}

static void forward_task(void *data, int64_t task, int worker)
{
    const struct forward_job *job = data;
    const struct fc_corr *c = job->c;
    const struct fc_tiling *b = &job->b;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t number = task / job->parts, part = task % job->parts * job->part, end = fc_min(part + job->part, c->lanes);
    struct fc_place p = { .first = number / b->column_blocks * b->rows, .column = number % b->column_blocks * b->columns };
    p.rows = fc_min(b->rows, c->batch * c->to_size[0] * b->high - p.first);
    p.columns = fc_min(b->columns, b->wide - p.column);
    char *memory = job->workspace + (size_t)worker * job->bytes;
    int64_t *transformed = (int64_t *)memory;
    ptrdiff_t *offset = (ptrdiff_t *)(memory + 64);
    char *strip = memory + 64 + offsets_bytes(c), *v = strip + fc_strip_bytes(c, b);
    char *m = v + fc_elements_bytes(c, b, c->depths);
    if (*transformed != number) {
        for (int64_t i = 0; i < fc_blocks(c->depths); i++) offset[i] = i * fc_tiling_tiles(b) * FC_BLOCK;
        fc_transform_input(c, b, &p, 0, c->depths, strip, v);
        *transformed = number;
    }
    for (int64_t lane = part; lane < end; lane += b->slice) {
        const int64_t lanes = fc_min(b->slice, end - lane);
        multiply(job, lane, lanes, p.rows * b->columns, offset, v, m);
        for (int64_t l = 0; l < lanes; l += FC_BLOCK) {
            struct fc_segment s = {0};
            while (fc_next_segment(c, b, p.first, p.rows, &s)) write_block(job, &p, &s, lane + l, m + l * fc_tiling_tiles(b) * size, strip);
        }
    }
}

static int tile_size(const fc_conv_plan *plan) { return plan->algorithm == &fc_winograd_2 ? 2 : 4; }

static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    struct forward_job job = { .c = c, .b = choose_block(c, tile_size(plan)), .weight = data->weight, .workspace = data->workspace,
                               .bytes = plan->workspace };
    const int64_t blocks = job.b.row_blocks * job.b.column_blocks, wanted = 4 * data->threads;
    job.part = fc_padded_lanes(c);
    if (data->threads > 1 && blocks < wanted)    /* a few blocks: share each among threads */
        job.part = fc_min(job.part, fc_round_up(fc_ceil_div(c->lanes * blocks, wanted), fc_panel_lanes(c)));
    job.parts = fc_ceil_div(c->lanes, job.part);
    for (int i = 0; i < data->threads; i++) *(int64_t *)(job.workspace + (size_t)i * job.bytes) = -1;
    return fc_parallel(forward_task, &job, blocks * job.parts, data->threads);
}

/* 16 depths at a time: first as direct convolution wants them, [tap][16][lanes], then transformed. */
static void pack_panel(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to, int m)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t width = fc_panel_vectors(c->k, lane, c->lanes) * c->k->vector, depths = fc_round_up(c->depths, FC_BLOCK);
    double taps[9 * FC_BLOCK * FC_MAX_VECTORS * FC_BLOCK / 2];    /* room for the widest panel of either element type */
    for (int64_t block = 0; block < depths; block += FC_BLOCK) {
        struct fc_weights w = fc_weights_of(c, weight, group, lane, block);
        w.depths = fc_min(w.depths, FC_BLOCK);
        w.packed = taps;
        c->k->pack_weights(&w, 0);
        for (int64_t d = 0; d < FC_BLOCK; d++)
            c->k->winograd[m / 4].weights((char *)taps + d * width * size, FC_BLOCK * width, to + (block + d) * width * size, element_rows(c) * width, width);
    }
}
static void pack_panel_2(const struct fc_corr *c, const void *w, int64_t group, int64_t lane, char *to) { pack_panel(c, w, group, lane, to, 2); }
static void pack_panel_4(const struct fc_corr *c, const void *w, int64_t group, int64_t lane, char *to) { pack_panel(c, w, group, lane, to, 4); }

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t bytes_for(const struct fc_corr *c, int m, int gradient)
{
    const struct fc_tiling b = choose_block(c, m);
    const size_t bytes = gradient ? fc_winograd_gradient_bytes(c, m) : forward_bytes(c, &b);
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}
static size_t forward_2(const struct fc_corr *c) { return bytes_for(c, 2, 0); }
static size_t forward_4(const struct fc_corr *c) { return bytes_for(c, 4, 0); }
static size_t gradient_2(const struct fc_corr *c) { return bytes_for(c, 2, 1); }
static size_t gradient_4(const struct fc_corr *c) { return bytes_for(c, 4, 1); }

static size_t workspace(const fc_conv_plan *plan)
{
    const int m = tile_size(plan);
    if (plan->pass == FC_BACKWARD_WEIGHTS) return fc_most_bytes(plan, m == 2 ? gradient_2 : gradient_4);
    return fc_most_bytes(plan, m == 2 ? forward_2 : forward_4);
}

static const char *refuses(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    if (p->kernel[0] != 1 || p->kernel[1] != 3 || p->kernel[2] != 3) return "the kernel is not 3 x 3";
    if (p->stride[0] != 1 || p->stride[1] != 1 || p->stride[2] != 1) return "the stride is not 1";
    if (p->dilation[1] != 1 || p->dilation[2] != 1) return "the dilation is not 1";
    if (p->groups != 1) return "there are several groups";
    return NULL;
}

/* Of the transforms, for each tile and channel, and of moving the pixels. */
static double input_cycles(int m) { return m == 2 ? 3 : 8; }
static double output_cycles(int m) { return m == 2 ? 2.5 : 7; }
static double move_cycles(const struct fc_corr *c, double depths, double lanes)
{
    return 0.5 * ((double)fc_volume(c->from_size) * depths + (double)fc_volume(c->to_size) * lanes);
}

/* Matrix products at 85 % of the peak or, where U exceeds the cache, at the speed it streams in; plus the transforms. */
static double forward_cycles(const struct fc_corr *c, int m, double tiles, double weights)
{
    const double depths = (double)fc_round_up(c->depths, FC_BLOCK), lanes = (double)fc_round_up(c->lanes, c->k->vector);
    const double product = tiles * weights / (2 * c->k->vector * 0.85), bytes = weights * (double)c->size;
    const int resident = bytes < (double)fc_cache_sizes().l2;
    const double stream = resident ? 0 : bytes / 8 * (double)fc_max(1, (int64_t)tiles / FEW_TILES);
    const double transforms = tiles * (depths * input_cycles(m) + lanes * output_cycles(m)) / c->k->vector * 16;
    return (product > stream ? product : stream) + transforms + move_cycles(c, depths, lanes);
}

/* Products at 75 %, transforms once for each 64 channels of the other side, and for each batch dU and its way back. */
static double gradient_cycles(const struct fc_corr *c, int m, double tiles, double weights)
{
    const double depths = (double)fc_round_up(c->depths, FC_BLOCK), lanes = (double)fc_round_up(c->lanes, c->k->vector);
    const double for_depths = depths * (double)fc_ceil_div(c->lanes, 64), for_lanes = lanes * (double)fc_ceil_div(c->depths, 64);
    const double transforms = tiles * (for_depths * input_cycles(m) + for_lanes * output_cycles(m)) / c->k->vector * 16;
    const double product = tiles * weights / (2 * c->k->vector * 0.75);
    return product + transforms + move_cycles(c, for_depths, for_lanes) + 0.45 * weights / (double)c->batch * 16 / c->k->vector;
}

static double cycles(const fc_conv_plan *plan)
{
    const int m = tile_size(plan);
    struct fc_corr c;
    if (!fc_phase(plan, NULL, 0, &c)) return 0;
    const double tiles = (double)(fc_ceil_div(c.to_size[1], m) * fc_ceil_div(c.to_size[2], m) * c.to_size[0]);
    const double weights = (double)((m + 2) * (m + 2) * fc_round_up(c.depths, FC_BLOCK) * fc_round_up(c.lanes, c.k->vector));
    return plan->pass == FC_BACKWARD_WEIGHTS ? gradient_cycles(&c, m, tiles, weights)
                                             : forward_cycles(&c, m, tiles, weights);
}

static const struct fc_packer packer_2 = { steps_2, pack_panel_2 }, packer_4 = { steps_4, pack_panel_4 };

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    return plan->pass == FC_BACKWARD_WEIGHTS ? fc_winograd_gradient(plan, data, tile_size(plan))
                                             : fc_each_phase(plan, data, plan->algorithm->packer->steps, forward);
}

const struct fc_algorithm fc_winograd_2 = {
    .name = FC_WINOGRAD_2, .label = "winograd", .variant = "F(2x2,3x3)", .refuses = refuses, .cycles = cycles, .workspace = workspace,
    .packer = &packer_2, .run = run,
};
const struct fc_algorithm fc_winograd_4 = {
    .name = FC_WINOGRAD_4, .label = "winograd", .variant = "F(4x4,3x3)", .refuses = refuses, .cycles = cycles, .workspace = workspace,
    .packer = &packer_4, .run = run,
};
