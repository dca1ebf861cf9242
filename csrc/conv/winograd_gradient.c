/* winograd_gradient.c - backward-weights by Winograd's transforms; see winograd.c for the sum.
 *
 * A task is a chunk of depth times a chunk of lanes; it walks over all blocks of tiles. A chunk with
 * a sum that is not finite is computed again by direct.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/winograd.h"

enum { CHUNK_DEPTHS = 64, CHUNK_LANES = 64, FEW_TILES = 14, MANY_TILES = 112 };

static struct fc_gradient gradient_of(const struct fc_corr *c, int m, int64_t depths, int64_t lanes)
{
    return (struct fc_gradient){ .k = c->k, .lanes = lanes, .depths = depths, .taps = (m + 2) * (m + 2) };
}

/* Scratch memory: packed inputs or gradients, V, D, sums. */
static size_t gradient_bytes(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_chunk *h)
{
    const struct fc_gradient g = gradient_of(c, b->m, h->depths, h->lanes);
    return fc_strip_bytes(c, b) + fc_elements_bytes(c, b, h->depths) + fc_elements_bytes(c, b, h->lanes) +
           (size_t)fc_sum_levels(c->batch * c->to_size[0] * b->high * b->wide) * fc_gradient_bytes(&g);
}

/* What one thread computes at once. Every input is packed and transformed once for each chunk of lanes, every gradient
 * once for each chunk of depth; the sums and one block of tiles take a level-2 cache. */
static struct fc_chunk whole_chunk(const struct fc_corr *c)
{
    return (struct fc_chunk){ .depths = fc_min(fc_round_up(c->depths, FC_BLOCK), CHUNK_DEPTHS),
                              .lanes = fc_min(fc_padded_lanes(c), CHUNK_LANES) };
}

/* The part of it that is a task where threads share the work, and that direct.c computes where a sum is not finite. */
static struct fc_chunk part_chunk(const struct fc_corr *c)
{
    return fc_direct_chunk(c, CHUNK_DEPTHS, CHUNK_LANES, FC_WORKSPACE_LIMIT / 2);
}

/* Depends on nothing but the plan: where a block ends is where a partial sum ends. */
static struct fc_tiling gradient_block(const struct fc_corr *c, int m)
{
    const struct fc_chunk h = whole_chunk(c);
    int64_t tiles = MANY_TILES;
    struct fc_tiling b = fc_tiling_of(c, m, tiles);
    while (tiles > FEW_TILES && gradient_bytes(c, &b, &h) > 2 * fc_workspace_goal()) b = fc_tiling_of(c, m, tiles -= 14);
    return b;
}

struct gradient_job {
    const struct fc_corr *c;
    struct fc_tiling b;
    struct fc_chunk h, part;
    int64_t depth_chunks, lane_chunks;
    void *weight;
    char *workspace;
    size_t bytes;
};

/* As fc_transform_input, for dy and D. */
static void transform_gradient(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_place *p, int64_t channel,
                               int64_t channels, char *strip, char *d)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t blocks = fc_blocks(channels), tiles = fc_tiling_tiles(b);
    struct fc_segment s = {0};
    while (fc_next_segment(c, b, p->first, p->rows, &s)) {
        struct fc_box y = { .image = s.image, .slices = 1, .prefetch = fc_prefetches(c), .start = { s.slice, 0, p->column * b->m } };
        y.columns = fc_min(p->columns * b->m, c->to_size[2] - y.start[2]);
        struct fc_winograd w = { .from = strip, .row = y.columns * FC_BLOCK, .element = fc_element_step(c, b, channels), .count = p->columns, .lanes = FC_BLOCK,
                                 .width = y.columns };
        for (int64_t block = 0; block < blocks; block++) {
            y.channel = channel + block * FC_BLOCK;
            y.channels = fc_min(FC_BLOCK, channels - block * FC_BLOCK);
            for (int64_t r = 0; r < s.rows; r++) {
                y.start[1] = (s.row + r) * b->m;
                y.rows = w.height = fc_min(b->m, c->to_size[1] - y.start[1]);
                if (fc_is_block(&c->to, y.channels)) {
                    w.from = fc_element(&c->to, c->size, s.image, y.channel, s.slice, y.start[1], y.start[2]);
                    w.row = c->to.space[1];
                } else {
                    fc_box_pack(c->k, &c->to, c->to_size, &y, strip);
                }
                w.to = d + (block * tiles + s.tile + r * b->columns) * FC_BLOCK * size;
                c->k->winograd[b->m / 4].gradient(&w);
            }
        }
    }
}

/* dU += V' D for one block of tiles. Columns a last, narrower block does not have are left out row by row. */
static void add_block(const struct fc_corr *c, const struct fc_tiling *b, struct fc_gradient *g, int64_t rows, int64_t columns,
                      const char *v, const char *d)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t tiles = fc_tiling_tiles(b), depth_blocks = fc_blocks(g->depths);
    const int64_t v_step = fc_element_step(c, b, g->depths), d_step = fc_element_step(c, b, g->lanes);
    const int whole = columns == b->columns;
    const ptrdiff_t start = 0;
    const void *init = fc_gradient_init(g);
    for (int64_t e = 0; e < fc_elements(b); e++) {
        for (int64_t block = 0; block < depth_blocks; block++) {
            for (int64_t r = 0; r < (whole ? 1 : rows); r++) {
                const ptrdiff_t at = r * b->columns * FC_BLOCK;
                const struct fc_tile t = { .a = v + (e * v_step + block * tiles * FC_BLOCK + at) * size, .offset = &start, .runs = 1,
                                           .len = whole ? rows * columns : columns, .a_step = FC_BLOCK,
                                           .init = r == 0 ? init : NULL };
                fc_gradient_add(g, t, block, e, d + (e * d_step + at) * size, tiles * FC_BLOCK);
            }
        }
    }
    fc_sums_count(&g->sums, rows * columns);
}

/* Where transform_back leaves dW of a panel and a depth. */
static char *weights_at(const struct fc_corr *c, const struct fc_gradient *g, int64_t lane, int64_t depth)
{
    const int64_t width = fc_panel_vectors(c->k, lane, g->lanes) * c->k->vector;
    return g->sums.acc + 9 * (lane * fc_round_up(g->depths, FC_BLOCK) + depth * width) * (ptrdiff_t)c->size;
}

/* dU -> dW: G' dU G for each depth and panel, into the memory of acc, which may be that of dU: dW trails behind. As
 * [panel][block][tap][16][lanes]. */
static void transform_back(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_gradient *g)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t all = fc_round_up(g->depths, FC_BLOCK);
    for (int64_t l = 0; l < g->lanes; l += c->k->lanes) {
        const int64_t width = fc_panel_vectors(c->k, l, g->lanes) * c->k->vector;
        for (int64_t d = 0; d < all; d++) {
            const int64_t block = d / FC_BLOCK, row = d % FC_BLOCK;
            const char *u = g->sums.total + (l * all * g->taps + (block * g->taps * FC_BLOCK + row) * width) * size;
            char *to = weights_at(c, g, l, block * FC_BLOCK) + row * width * size;
            c->k->winograd[b->m / 4].weights_back(u, FC_BLOCK * width, to, FC_BLOCK * width, width);
        }
    }
}

/* Whether the part of dW at (depth, lane) is: dU may not have been, or this sum overflowed. */
static int is_finite(const struct fc_corr *c, const struct fc_gradient *g, const struct fc_chunk *part, int64_t depth, int64_t lane)
{
    const int64_t depths = fc_min(part->depths, fc_round_up(g->depths, FC_BLOCK) - depth), end = fc_min(lane + part->lanes, g->lanes);
    int finite = 1;
    for (int64_t l = lane; l < end; l += c->k->lanes)
        finite &= c->k->finite(weights_at(c, g, l, depth), depths * 9 * fc_panel_vectors(c->k, l, g->lanes) * c->k->vector);
    return finite;
}

static void write_weights(const struct fc_corr *c, const struct fc_gradient *g, int64_t depth, int64_t lane, void *weight)
{
    struct fc_weights w = fc_weights_of(c, weight, 0, lane, depth);
    w.lanes = g->lanes;
    w.depths = g->depths;
    w.packed = g->sums.acc;
    for (int64_t panel = 0; panel * c->k->lanes < g->lanes; panel++) c->k->unpack_weights(&w, panel);
}

/* The sums of the chunk at (depth, lane) -> dW. What is not finite is computed again by the plain sum, part by part, so
 * that it does not matter which parts were one chunk. */
static void finish(const struct gradient_job *job, const struct fc_gradient *g, int64_t depth, int64_t lane, char *memory)
{
    const struct fc_corr *c = job->c;
    const struct fc_chunk *part = &job->part;
    uint64_t spoilt = 0;    /* a bit for each part */
    int bit = 0;
    transform_back(c, &job->b, g);
    for (int64_t d = 0; d < g->depths; d += part->depths)
        for (int64_t l = 0; l < g->lanes; l += part->lanes) spoilt |= (uint64_t)!is_finite(c, g, part, d, l) << bit++;
    write_weights(c, g, depth, lane, job->weight);
    for (int64_t d = 0; d < g->depths; d += part->depths)
        for (int64_t l = 0; l < g->lanes; l += part->lanes, spoilt >>= 1)
            if (spoilt & 1) fc_direct_gradient(c, part, 0, depth + d, lane + l, job->weight, memory);
}

static void gradient_task(void *data, int64_t task, int worker)
{
    const struct gradient_job *job = data;
    const struct fc_corr *c = job->c;
    const struct fc_tiling *b = &job->b;
    const int64_t lane = task % job->lane_chunks * job->h.lanes, depth = task / job->lane_chunks * job->h.depths;
    struct fc_gradient g = gradient_of(c, b->m, fc_min(job->h.depths, c->depths - depth), fc_min(job->h.lanes, c->lanes - lane));
    char *memory = job->workspace + (size_t)worker * job->bytes;
    char *v = memory + fc_strip_bytes(c, b), *d = v + fc_elements_bytes(c, b, job->h.depths);
    const int64_t rows = c->batch * c->to_size[0] * b->high;
    fc_gradient_start(&g, d + fc_elements_bytes(c, b, job->h.lanes), rows * b->wide);
    for (int64_t first = 0; first < rows; first += b->rows) {
        for (int64_t column = 0; column < b->wide; column += b->columns) {
            if (fc_stopping()) return;
            const struct fc_place p = { first, fc_min(b->rows, rows - first), column, fc_min(b->columns, b->wide - column) };
            fc_transform_input(c, b, &p, depth, g.depths, memory, v);
            transform_gradient(c, b, &p, lane, g.lanes, memory, d);
            add_block(c, b, &g, p.rows, p.columns, v, d);
        }
    }
    fc_sums_finish(&g.sums);
    finish(job, &g, depth, lane, memory);
}

static int64_t halved(int64_t x, int64_t part) { return fc_max(part, x / 2 / part * part); }

/* Whole chunks for one thread; for several, the same number for each of them, or many: every cut means that something is
 * transformed once more. */
static void choose_chunks(struct gradient_job *job, int threads)
{
    const struct fc_corr *c = job->c;
    job->part = part_chunk(c);
    job->h = whole_chunk(c);
    for (;;) {
        job->depth_chunks = fc_ceil_div(c->depths, job->h.depths);
        job->lane_chunks = fc_ceil_div(c->lanes, job->h.lanes);
        const int64_t chunks = job->depth_chunks * job->lane_chunks;
        if (chunks % threads == 0 || chunks >= 4 * threads) break;
        if (job->h.lanes > job->part.lanes) job->h.lanes = halved(job->h.lanes, job->part.lanes);
        else if (job->h.depths > job->part.depths) job->h.depths = halved(job->h.depths, job->part.depths);
        else break;
    }
}

fc_status fc_winograd_gradient(const fc_conv_plan *plan, const fc_conv_data *data, int m)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    struct gradient_job job = { .c = &c, .b = gradient_block(&c, m), .weight = data->weight, .workspace = data->workspace,
                                .bytes = plan->workspace };
    choose_chunks(&job, data->threads);
    return fc_parallel(gradient_task, &job, job.depth_chunks * job.lane_chunks, data->threads);
}

size_t fc_winograd_gradient_bytes(const struct fc_corr *c, int m)
{
    const struct fc_chunk h = whole_chunk(c), part = part_chunk(c);
    const struct fc_tiling b = gradient_block(c, m);
    const size_t winograd = gradient_bytes(c, &b, &h), direct = fc_direct_chunk_bytes(c, &part);
    return winograd > direct ? winograd : direct;
}
