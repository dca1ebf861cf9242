/* pointwise.c - 1 x 1 convolution, forward and backward-data, of arrays whose pixels are adjacent (NCHW).
 *
 * It is the matrix product y[lane][pixel] = w[lane][depth] x[depth][pixel]. Here the vectors hold pixels, so that
 * nothing has to be transposed, which for so few multiply-adds would cost as much as they do: the rows of a register tile
 * are output channels, read one by one from the weights as they are packed for direct convolution, and its results
 * are stored where they belong. Each output is the same sum in the same order as in direct.c, so the bits are the same.
 *
 * A task is a strip of pixels for some output channels. It becomes panels [depth][lanes of a panel]; the first tile of a panel
 * copies it on the way. If other output channels come later the panels stay in the level-2 cache, as the weights of the part do.
 * Pixels are counted through all images, so that only the last panel is not full; a single small plane would waste the
 * end of a vector.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/pointwise.h"

#include <string.h>

enum {
    DEPTHS = 256,    /* of a panel that stay in the level-1 cache for all rows of a panel of weights */
    LINE = 64        /* bytes */
};

struct strips {
    int64_t pixels, part;    /* multiples of a panel */
};

struct job {
    const struct fc_corr *c;
    struct strips s;
    int64_t strips, parts;
    fc_steps steps;
    char *workspace;
    size_t bytes;
};

static int64_t image_pixels(const struct fc_corr *c) { return c->to_size[1] * c->to_size[2]; }

/* The blocked layout ends in products of zeros, which turn a sum of -0 into +0: one of them does the same. */
static int64_t padded_depths(const struct fc_corr *c) { return c->depths + (c->depths % FC_BLOCK != 0); }

/* Panels whose last vectors may be partly empty, and their results. */
double fc_pointwise_cycles(const struct fc_corr *c)
{
    const double pixels = (double)fc_round_up(image_pixels(c), c->k->vector);
    return pixels * (double)c->lanes * ((double)padded_depths(c) / (2 * c->k->vector * 0.9) + 0.5);
}

/* Half of the goal for the pixels, half for the weights or the results of a panel. */
static struct strips choose_strips(const struct fc_corr *c)
{
    const int64_t half = (int64_t)fc_workspace_goal() / 2, panel = c->k->lanes;
    const int64_t fitting = fc_max(half / fc_max(padded_depths(c), panel) / (int64_t)c->size / panel, 1) * panel;
    return (struct strips){ .pixels = fc_min(fc_round_up(c->batch * image_pixels(c), panel), fitting),
                            .part = fc_min(fc_padded_lanes(c), fc_round_up(fitting, fc_max(panel, FC_BLOCK))) };
}

/* The panels of a strip, or one chunk of depths if that is more. */
static size_t input_bytes(const struct fc_corr *c, const struct strips *s)
{
    return fc_align((size_t)fc_max(padded_depths(c) * s->pixels, DEPTHS * c->k->lanes) * c->size);
}

/* The number of the strip that is packed, its panels, and results of a panel; a row more, because vectors are read that reach
 * beyond the last one. */
static size_t bytes(const struct fc_corr *c)
{
    const struct strips s = choose_strips(c);
    return 64 + input_bytes(c, &s) + (size_t)((s.part + 1) * c->k->lanes) * c->size;
}

size_t fc_pointwise_bytes(const struct fc_corr *c) { return fc_pointwise_extents(c, c->batch) ? bytes(c) : 0; }

int fc_pointwise_extents(const struct fc_corr *c, int64_t batch)
{
    if (!c->k->copy_tile[0]) return 0;
    for (int a = 0; a < FC_AXES; a++)
        if (c->taps[a] != 1 || c->stride[a] != 1 || c->offset[a] || c->from_size[a] != c->to_size[a]) return 0;
    const int64_t pixels = batch * image_pixels(c);
    return c->to_size[0] == 1 && 8 * pixels >= 7 * fc_round_up(pixels, c->k->vector) && bytes(c) <= FC_WORKSPACE_LIMIT;
}

int fc_pointwise_applies(const struct fc_corr *c)
{
    return fc_pointwise_extents(c, c->batch) && c->to.space[2] == 1 && (c->to_size[1] == 1 || c->to.space[1] == c->to_size[2]) &&
           c->from.channel != 1 && c->from.block == FC_BLOCK * c->from.channel && c->to.block == FC_BLOCK * c->to.channel;
}

/* A panel of pixels, counted through all images, and the output channels it is multiplied for. */
struct panel {
    int64_t group, pixel, count;
    int64_t lane, lanes;
    char *packed, *results;    /* results: of panels that are not stored in place */
    int is_packed, is_first;   /* is_first: of the strip, so that the weights have not been read yet */
};

static const char *pixels_at(const struct fc_corr *c, const struct panel *p, int64_t depth, int64_t pixel)
{
    const int64_t width = c->from_size[2], all = image_pixels(c), in_image = pixel % all;
    return fc_element(&c->from, c->size, pixel / all, p->group * c->depths + depth, 0, in_image / width, in_image % width);
}

static char *result_at(const struct fc_corr *c, const struct panel *p, int64_t lane, int64_t pixel)
{
    const int64_t all = image_pixels(c);
    return fc_element(&c->to, c->size, pixel / all, p->group * c->lanes + lane, 0, 0, pixel % all);
}

/* Whether the vectors of the panel can be read where they are. */
static int is_adjacent(const struct fc_corr *c, const struct panel *p)
{
    const int64_t column = p->pixel % image_pixels(c) % c->from_size[2];
    return p->count == c->k->lanes && c->from.space[2] == 1 && column + p->count <= c->from_size[2];
}

/* Whether its results can be stored where they belong, vector by vector. */
static int is_whole(const struct fc_corr *c, const struct panel *p)
{
    return p->count % c->k->vector == 0 && p->pixel % image_pixels(c) + p->count <= image_pixels(c);
}

/* `len` depths from `depth` on; zeros behind the last pixel and below the last depth. */
static void pack(const struct fc_corr *c, const struct panel *p, int64_t depth, int64_t len)
{
    const int64_t lanes = c->k->lanes, exist = fc_min(len, c->depths - depth), from = p->count < lanes ? 0 : exist;
    memset(p->packed + from * lanes * (ptrdiff_t)c->size, 0, (size_t)((len - from) * lanes) * c->size);
    struct fc_panels l = { .depth = c->from.channel, .pixel = c->from.space[2], .depths = exist, .panels = p->packed };
    for (; l.first < p->count; l.first += l.count) {
        const int64_t pixel = p->pixel + l.first;
        l.count = fc_min(p->count - l.first, c->from_size[2] - pixel % image_pixels(c) % c->from_size[2]);
        l.from = pixels_at(c, p, depth, pixel);
        c->k->pack_panels(&l);
    }
}

/* The results of a panel, image by image. */
static void store_results(const struct fc_corr *c, const struct panel *p)
{
    struct fc_lines l = { .from_channel = c->k->lanes, .to_channel = c->to.channel, .channels = p->lanes, .lines = 1 };
    for (int64_t done = 0; done < p->count; done += l.count) {
        l.from = p->results + (size_t)done * c->size;
        l.to = result_at(c, p, p->lane, p->pixel + done);
        l.count = fc_min(p->count - done, image_pixels(c) - (p->pixel + done) % image_pixels(c));
        c->k->planar_copy(&l);
    }
}

/* What tile `n` of `tiles` fetches while it runs: rows of one panel are too far apart for the processor to see what follows. One
 * line of each depth of the next panel's pixels, or of as many channels of its results. */
static void fetch_ahead(const struct fc_corr *c, const struct panel *p, int64_t depth, int64_t len, int64_t n, int64_t tiles,
                        struct fc_tile *t)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t panel = c->k->lanes, next = p->pixel + panel;
    const int64_t x = p->is_packed ? 0 : fc_ceil_div(panel * size * c->from.space[2], LINE);
    const int64_t y = depth ? 0 : fc_ceil_div(panel * size, LINE), fetches = fc_min(tiles, x + y * fc_ceil_div(p->lanes, len));
    const int64_t i = fc_ceil_div(n * fetches, tiles), j = i - x;
    t->ahead = NULL;
    t->ahead_step = 0;
    if (next + panel > c->batch * image_pixels(c) || i >= fetches || i * tiles / fetches != n) return;
    t->ahead = j < 0 ? pixels_at(c, p, depth, next + (i + 1) * panel / x - 1)
                     : result_at(c, p, p->lane + j / y * len, next + (j % y + 1) * panel / y - 1);
    t->ahead_step = (j < 0 ? c->from.channel : c->to.channel) * size;
}

/* The terms of `len` depths from `depth` on. The first tile copies the pixels into a panel. */
static void run_depths(const struct job *job, const struct panel *p, int64_t depth, int64_t len)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t panel = c->k->lanes, end = p->lane + p->lanes;
    const int64_t all_tiles = fc_ceil_div(p->lanes, panel) * fc_ceil_div(panel, c->k->tile_rows);
    int64_t n = 0;
    const int copying = !p->is_packed && is_adjacent(c, p) && depth + len <= c->depths, whole = is_whole(c, p);
    const int vectors = p->count > c->k->vector ? FC_MAX_VECTORS : 1;
    if (!copying && !p->is_packed) pack(c, p, depth, len);
    static const ptrdiff_t start = 0;
    struct fc_tile t = { .a_row = 1, .offset = &start, .runs = 1, .len = len, .b_step = c->from.channel, .copy = p->packed,
                         .b = copying ? pixels_at(c, p, depth, p->pixel) : p->packed, .c_row = whole ? c->to.channel : panel,
                         .c_block = FC_BLOCK, .relu = c->relu && depth + len == padded_depths(c) };
    for (int64_t lane = p->lane; lane < end; lane += panel) {
        const int64_t lanes = fc_min(panel, end - lane), tiles = fc_ceil_div(lanes, c->k->tile_rows);
        t.a_step = fc_panel_vectors(c->k, lane, c->lanes) * c->k->vector;
        const char *weights = fc_packed_group(c, p->group, job->steps) + (lane * job->steps(c) + depth * t.a_step) * size;
        const char *bias = fc_packed_bias(c, p->group) + lane * size;
        for (int64_t i = 0, row = 0; i < tiles; i++) {
            const int64_t rows = (lanes + i) / tiles;    /* they differ by at most one */
            t.a = weights + row * size;
            t.c = whole ? result_at(c, p, lane + row, p->pixel) : p->results + (lane - p->lane + row) * panel * size;
            t.init = depth == 0 ? bias + row * size : NULL;
            if (p->is_first && lane + panel < end && i * LINE < t.a_step * size) {
                t.ahead = weights + panel * job->steps(c) * size + i * LINE;
                t.ahead_step = t.a_step * size;
            } else {
                fetch_ahead(c, p, depth, len, n, all_tiles, &t);
            }
            (n++ == 0 && copying ? c->k->copy_tile : c->k->plane_tile[vectors - 1])[rows - 1](&t);
            t.b = p->packed;
            row += rows;
        }
    }
}

static void task(void *data, int64_t number, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const int64_t strip = number / job->parts, first = strip % job->strips * job->s.pixels, part = number % job->parts * job->s.part;
    const int64_t end = fc_min(c->batch * image_pixels(c), first + job->s.pixels);
    const int64_t depths = padded_depths(c), chunks = fc_ceil_div(depths, DEPTHS), keeps = job->parts > 1;
    char *memory = job->workspace + (size_t)worker * job->bytes;
    int64_t *packed_strip = (int64_t *)memory;
    struct panel p = { .group = strip / job->strips, .lane = part, .lanes = fc_min(job->s.part, c->lanes - part),
                       .packed = memory + 64, .results = memory + 64 + input_bytes(c, &job->s), .is_packed = keeps && *packed_strip == strip };
    *packed_strip = strip;
    for (p.pixel = first; p.pixel < end; p.pixel += p.count) {
        p.count = fc_min(c->k->lanes, end - p.pixel);
        p.is_first = p.pixel == first;
        for (int64_t i = 0, depth = 0; i < chunks; i++) {    /* they differ by at most one */
            const int64_t len = (depths + i) / chunks;
            run_depths(job, &p, depth, len);
            depth += len;
            if (keeps) p.packed += (size_t)(len * c->k->lanes) * c->size;
        }
        if (!is_whole(c, &p)) store_results(c, &p);
    }
}

fc_status fc_pointwise_forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c, fc_steps steps)
{
    struct job job = { .c = c, .s = choose_strips(c), .steps = steps, .workspace = data->workspace, .bytes = plan->workspace };
    job.strips = fc_ceil_div(c->batch * image_pixels(c), job.s.pixels);
    const int64_t strips = c->groups * job.strips, wanted = 4 * data->threads;
    if (data->threads > 1 && strips < wanted)    /* a few strips: share each among threads */
        job.s.part = fc_min(job.s.part, fc_round_up(fc_ceil_div(c->lanes * strips, wanted), fc_max(FC_BLOCK, c->k->lanes)));
    job.parts = fc_ceil_div(c->lanes, job.s.part);
    for (int i = 0; i < data->threads; i++) *(int64_t *)(job.workspace + (size_t)i * job.bytes) = -1;
    return fc_parallel(task, &job, strips * job.parts, data->threads);
}
