/* im2col.c - convolution as a matrix product, the matrix of patches made block by block.
 *
 * Row j = (depth, tap) of the patch matrix holds, for every output pixel, the input value under that tap. A block of
 * it, [j / 16][pixel][16], lives in scratch memory only: it is never larger than the level-2 cache, whatever the layer.
 * Depth and tap are one index padded to 16 together, so thin inputs (1, 3, 6 channels) waste little.
 *
 * Forward and backward-data. A task is a block of output pixels of one image and group: for each chunk of j the patches
 * are made and multiplied with every panel of lanes; the tiles continue from chunk to chunk.
 * Backward-weights. A task is a chunk of j times a chunk of lanes; it walks over all blocks of pixels (gradient.c).
 *
 * Applies to every problem.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <string.h>

/* ---- Blocks -------------------------------------------------------------------------------------------------------*/

struct block {
    int64_t pixels;    /* consecutive output pixels, row by row */
    int64_t chunk;     /* rounds of 16 rows of the patch matrix */
    int64_t part;      /* lanes of one task, a multiple of 16 and of a panel */
};

static int64_t rows_of(const struct fc_corr *c) { return c->depths * fc_volume(c->taps); }
static int64_t steps(const struct fc_corr *c) { return fc_round_up(rows_of(c), FC_BLOCK); }

static size_t line_bytes(const struct fc_corr *c, const struct block *b) { return fc_align((size_t)(FC_BLOCK * b->pixels) * c->size); }
static size_t patch_bytes(const struct fc_corr *c, const struct block *b)
{
    return fc_align((size_t)(b->chunk * FC_BLOCK * b->pixels) * c->size);
}
static size_t lanes_bytes(const struct fc_corr *c, const struct block *b) { return fc_align((size_t)(b->part * b->pixels) * c->size); }
static size_t offsets_bytes(const struct block *b) { return fc_align((size_t)b->chunk * sizeof(ptrdiff_t)); }

static size_t block_bytes(const struct fc_corr *c, const struct block *b)
{
    return offsets_bytes(b) + line_bytes(c, b) + patch_bytes(c, b) + lanes_bytes(c, b);
}

static struct block choose_block(const struct fc_corr *c)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), tile = c->k->tile_rows;
    struct block b = { fc_min(fc_volume(c->to_size), 16 * tile), fc_min(steps(c) / FC_BLOCK, 512 / FC_BLOCK),
                       fc_min(fc_padded_lanes(c), fc_round_up(1024, panel)) };
    const size_t goal = fc_workspace_goal();
    while (b.part > panel && block_bytes(c, &b) > goal) b.part = fc_round_up(b.part / 2, panel);
    return b;
}

/* The patch matrix for pixels [first, first + pixels) ------------------------------------------------------------- */

/* Row j of the matrix: where its input lies relative to an output pixel's. */
struct tap {
    int64_t depth, at[FC_AXES];
};

static struct tap tap_of(const struct fc_corr *c, int64_t j)
{
    const int64_t volume = fc_volume(c->taps), plane = c->taps[1] * c->taps[2];
    const int64_t t = j % volume, in_plane = t % plane;
    return (struct tap){ j / volume, { t / plane * c->dilation[0] - c->offset[0],
                                       in_plane / c->taps[2] * c->dilation[1] - c->offset[1],
                                       in_plane % c->taps[2] * c->dilation[2] - c->offset[2] } };
}

/* `count` pixels of an output row from `o` on under one tap. */
static void tap_row(const struct fc_corr *c, int64_t image, int64_t channel, const struct tap *tap, const int64_t *o, int64_t count, char *line)
{
    int64_t at[FC_AXES];
    for (int a = 0; a < FC_AXES; a++) at[a] = o[a] * c->stride[a] + tap->at[a];
    fc_border_line(c, image, channel, at, count, line);
}

/* The part of output row `pixel` lies in that belongs to [pixel, end); returns its length. */
static int64_t row_run(const struct fc_corr *c, int64_t pixel, int64_t end, int64_t *o)
{
    const int64_t width = c->to_size[2], plane = c->to_size[1] * width;
    o[0] = pixel / plane;
    o[1] = pixel % plane / width;
    o[2] = pixel % width;
    return fc_min(width - o[2], end - pixel);
}

/* Rounds [round, round + rounds) of the patches of `pixels` pixels, [round][pixel][16]. */
static void make_patches(const struct fc_corr *c, int64_t image, int64_t group, int64_t first, int64_t pixels, int64_t round,
                         int64_t rounds, char *lines, char *patches)
{
    const int64_t all = rows_of(c);
    for (int64_t i = 0; i < rounds; i++) {
        const int64_t row = (round + i) * FC_BLOCK, exist = fc_min(FC_BLOCK, all - row);
        for (int64_t lane = 0; lane < exist; lane++) {
            const struct tap tap = tap_of(c, row + lane);
            int64_t o[FC_AXES], count;
            for (int64_t p = 0; p < pixels; p += count) {
                count = row_run(c, first + p, first + pixels, o);
                tap_row(c, image, group * c->depths + tap.depth, &tap, o, count, lines + (size_t)(lane * pixels + p) * c->size);
            }
        }
        const struct fc_row r = { .strided = lines, .channel = pixels, .leap = FC_BLOCK * pixels, .pixel = 1, .channels = exist, .count = pixels,
                                  .blocked = patches + (size_t)(i * pixels * FC_BLOCK) * c->size };
        c->k->pack_row(&r);
    }
}

/* Blocked [block][pixel][16] to or from the tensor that the lanes belong to. */
static void move_lanes(const struct fc_corr *c, int64_t image, int64_t channel, int64_t channels, int64_t first, int64_t pixels,
                       char *blocked, void (*move)(const struct fc_row *))
{
    struct fc_row r = { .channel = c->to.channel, .leap = c->to.block, .pixel = c->to.space[2], .block = pixels * FC_BLOCK, .channels = channels,
                        .relu = c->relu };
    for (int64_t p = 0; p < pixels; p += r.count) {
        int64_t o[FC_AXES];
        r.count = row_run(c, first + p, first + pixels, o);
        const ptrdiff_t at = image * c->to.batch + fc_channel(&c->to, channel) + o[0] * c->to.space[0] + o[1] * c->to.space[1] +
                             o[2] * c->to.space[2];
        r.strided = (char *)c->to.data + at * (ptrdiff_t)c->size;
        r.blocked = blocked + (size_t)(p * FC_BLOCK) * c->size;
        move(&r);
    }
}

/* ---- Forward and backward-data ----------------------------------------------------------------------------------*/

struct forward_job {
    const struct fc_corr *c;
    struct block b;
    int64_t parts, pixel_blocks;
    char *workspace;
    size_t bytes;
};

static void forward_task(void *data, int64_t task, int worker)
{
    const struct forward_job *job = data;
    const struct fc_corr *c = job->c;
    const struct block *b = &job->b;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t part = task % job->parts * b->part, lanes = fc_min(b->part, c->lanes - part);
    const int64_t first = task / job->parts % job->pixel_blocks * b->pixels, plane = task / job->parts / job->pixel_blocks;
    const int64_t group = plane % c->groups, image = plane / c->groups, pixels = fc_min(b->pixels, fc_volume(c->to_size) - first);
    char *memory = job->workspace + (size_t)worker * job->bytes;
    ptrdiff_t *offset = (ptrdiff_t *)memory;
    char *lines = memory + offsets_bytes(b), *patches = lines + line_bytes(c, b), *output = patches + patch_bytes(c, b);
    for (int64_t i = 0; i < b->chunk; i++) offset[i] = i * pixels * FC_BLOCK;
    const int64_t all = steps(c) / FC_BLOCK;
    for (int64_t round = 0; round < all; round += b->chunk) {
        struct fc_tiles t = { .k = c->k, .a = patches, .a_row = FC_BLOCK, .offset = offset, .runs = fc_min(b->chunk, all - round),
                              .c_row = FC_BLOCK, .c_block = pixels * FC_BLOCK };
        make_patches(c, image, group, first, pixels, round, t.runs, lines, patches);
        for (int64_t lane = part; lane < part + lanes; lane += c->k->lanes) {
            const int vectors = fc_panel_vectors(c->k, lane, c->lanes);
            t.b = fc_packed_group(c, group, steps) + (lane * steps(c) + round * FC_BLOCK * vectors * c->k->vector) * size;
            t.c = output + ((lane - part) / FC_BLOCK * t.c_block + (lane - part) % FC_BLOCK) * size;
            t.init = round == 0 ? fc_packed_bias(c, group) + lane * size : NULL;
            fc_tiles_run(&t, pixels, vectors);
        }
    }
    move_lanes(c, image, group * c->lanes + part, lanes, first, pixels, output, c->k->unpack_row);
}

static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    if (fc_volume(c->to_size) == 0) return FC_OK;
    struct forward_job job = { .c = c, .b = choose_block(c), .workspace = data->workspace, .bytes = plan->workspace };
    job.parts = fc_ceil_div(c->lanes, job.b.part);
    job.pixel_blocks = fc_ceil_div(fc_volume(c->to_size), job.b.pixels);
    return fc_parallel(forward_task, &job, c->batch * c->groups * job.pixel_blocks * job.parts, data->threads);
}

/* ---- Backward-weights ---------------------------------------------------------------------------------------------*/

/* Rows and lanes of the gradient that one task computes. */
static void choose_chunk(const struct fc_corr *c, struct block *b)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), rounds = steps(c) / FC_BLOCK;
    b->chunk = fc_min(rounds, 256 / FC_BLOCK);
    b->part = fc_min(fc_padded_lanes(c), fc_round_up(128, panel));
    while (b->chunk > 1 && c->groups * fc_ceil_div(rounds, b->chunk) * fc_ceil_div(c->lanes, b->part) < 4)
        b->chunk = fc_ceil_div(b->chunk, 2);
}

static struct fc_gradient gradient_of(const struct fc_corr *c, int64_t rounds, int64_t lanes)
{
    return (struct fc_gradient){ .k = c->k, .lanes = lanes, .depths = rounds * FC_BLOCK, .taps = 1 };
}

struct gradient_job {
    const struct fc_corr *c;
    struct block b;
    int64_t row_chunks, lane_chunks;
    void *weight;
    char *workspace;
    size_t bytes;
};

/* dW [lane][j] from the accumulators [panel][j / 16][16][lanes of the panel]: j is the flat index of depth and tap. */
static void write_weights(const struct fc_corr *c, const struct fc_gradient *g, int64_t group, int64_t round, int64_t lane, void *weight)
{
    struct fc_weights w = fc_weights_of(c, weight, group, lane, 0);
    w.source = (char *)w.source + (ptrdiff_t)(round * FC_BLOCK) * (ptrdiff_t)c->size;
    w.lanes = g->lanes;
    w.depth = 1;
    w.depths = fc_min(g->depths, rows_of(c) - round * FC_BLOCK);
    w.taps[0] = w.taps[1] = w.taps[2] = 1;
    w.packed = g->sums.total;
    for (int64_t panel = 0; panel * c->k->lanes < g->lanes; panel++) c->k->unpack_weights(&w, panel);
}

static void gradient_task(void *data, int64_t task, int worker)
{
    const struct gradient_job *job = data;
    const struct fc_corr *c = job->c;
    const struct block *b = &job->b;
    const int64_t lane = task % job->lane_chunks * b->part, round = task / job->lane_chunks % job->row_chunks * b->chunk;
    const int64_t group = task / job->lane_chunks / job->row_chunks, all = fc_volume(c->to_size);
    struct fc_gradient g = gradient_of(c, fc_min(b->chunk, steps(c) / FC_BLOCK - round), fc_min(b->part, c->lanes - lane));
    char *lines = job->workspace + (size_t)worker * job->bytes, *patches = lines + line_bytes(c, b);
    char *gradient = patches + patch_bytes(c, b), *sums = gradient + lanes_bytes(c, b);
    fc_gradient_start(&g, sums, fc_terms(c));
    const ptrdiff_t start = 0;
    for (int64_t n = 0; n < c->batch; n++) {
        for (int64_t first = 0; first < all; first += b->pixels) {
            if (fc_stopping()) return;
            const int64_t pixels = fc_min(b->pixels, all - first);
            make_patches(c, n, group, first, pixels, round, fc_blocks(g.depths), lines, patches);
            move_lanes(c, n, group * c->lanes + lane, g.lanes, first, pixels, gradient, c->k->pack_row);
            for (int64_t i = 0; i < fc_blocks(g.depths); i++) {
                const struct fc_tile t = { .a = patches + (size_t)(i * pixels * FC_BLOCK) * c->size, .offset = &start, .runs = 1,
                                           .len = pixels, .a_step = FC_BLOCK, .init = fc_gradient_init(&g) };
                fc_gradient_add(&g, t, i, 0, gradient, pixels * FC_BLOCK);
            }
            fc_sums_count(&g.sums, pixels);
        }
    }
    fc_sums_finish(&g.sums);
    write_weights(c, &g, group, round, lane, job->weight);
}

static fc_status backward_weights(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    struct gradient_job job = { .c = &c, .b = choose_block(&c), .weight = data->weight, .workspace = data->workspace,
                                .bytes = plan->workspace };
    choose_chunk(&c, &job.b);
    job.row_chunks = fc_ceil_div(steps(&c) / FC_BLOCK, job.b.chunk);
    job.lane_chunks = fc_ceil_div(c.lanes, job.b.part);
    return fc_parallel(gradient_task, &job, c.groups * job.row_chunks * job.lane_chunks, data->threads);
}

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t forward_workspace(const struct fc_corr *c)
{
    const struct block b = choose_block(c);
    return block_bytes(c, &b);
}

static size_t gradient_workspace(const struct fc_corr *c)
{
    struct block b = choose_block(c);
    choose_chunk(c, &b);
    const struct fc_gradient g = gradient_of(c, b.chunk, b.part);
    return block_bytes(c, &b) + (size_t)fc_sum_levels(fc_terms(c)) * fc_gradient_bytes(&g);
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

/* Multiply-adds on a matrix padded to 16 rows, 2 cycles to make each of its elements; in backward-weights it is made once
 * for each 128 lanes, and the gradient packed once for each 256 rows. */
static double cycles(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const struct fc_kernels *k = plan->kernels;
    const int gradient = plan->pass == FC_BACKWARD_WEIGHTS;
    struct fc_corr c;
    double total = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        if (!fc_phase(plan, NULL, i, &c)) continue;
        const double pixels = (double)fc_volume(c.to_size), rows = (double)steps(&c), lanes = (double)fc_round_up(c.lanes, k->vector);
        const double made = gradient ? (double)fc_ceil_div(c.lanes, 128) : 1, packed = gradient ? (double)fc_ceil_div(steps(&c), 256) : 1;
        total += pixels * rows * (lanes / (2 * k->vector * (gradient ? 0.75 : 0.85)) + 2 * made) + 1.5 * pixels * lanes * packed;
        if (gradient) total += 2 * rows * lanes / (double)c.batch * 16 / k->vector;
    }
    return (double)p->groups * total;
}

static void pack_panel(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to)
{
    struct fc_weights w = fc_weights_of(c, weight, group, lane, 0);
    w.packed = to;
    w.flat = 1;
    c->k->pack_weights(&w, 0);
}

static const struct fc_packer packer = { steps, pack_panel };

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    return plan->pass == FC_BACKWARD_WEIGHTS ? backward_weights(plan, data) : fc_each_phase(plan, data, steps, forward);
}

const struct fc_algorithm fc_im2col = {
    .name = FC_IM2COL, .label = "im2col", .variant = "matrix product of blocks", .refuses = refuses, .cycles = cycles,
    .workspace = workspace, .packer = &packer, .run = run,
};
