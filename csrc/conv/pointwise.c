/* pointwise.c - 1 x 1 convolution, forward and backward-data, of arrays whose pixels are adjacent (NCHW).
 *
 * It is the matrix product y[lane][pixel] = w[lane][depth] x[depth][pixel]. Here the vectors hold pixels, so that
 * nothing has to be transposed, which for so few multiply-adds would cost as much as they do: the rows of a register tile
 * are output channels, read one by one from the weights as they are packed for direct convolution, and its results
 * are stored where they belong. Each output is the same sum in the same order as in direct.c, so the bits are the same.
 *
 * A task is a strip of pixels for some output channels. The strip is copied into panels [depth][lanes of a panel], which
 * stay in the level-2 cache as the weights of the part do. Planes with few pixels would waste the ends of the vectors.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/pointwise.h"

#include <string.h>

enum { DEPTHS = 256 };    /* of a panel that stay in the level-1 cache for all rows of a panel of weights */

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

int fc_pointwise_extents(const struct fc_corr *c)
{
    for (int a = 0; a < FC_AXES; a++)
        if (c->taps[a] != 1 || c->stride[a] != 1 || c->offset[a] || c->from_size[a] != c->to_size[a]) return 0;
    const int64_t pixels = c->to_size[1] * c->to_size[2];
    return c->to_size[0] == 1 && 8 * pixels >= 7 * fc_round_up(pixels, c->k->vector);
}

int fc_pointwise_applies(const struct fc_corr *c)
{
    return fc_pointwise_extents(c) && c->to.space[2] == 1 && (c->to_size[1] == 1 || c->to.space[1] == c->to_size[2]) &&
           c->from.channel != 1 && c->from.block == FC_BLOCK * c->from.channel && c->to.block == FC_BLOCK * c->to.channel;
}

/* The blocked layout ends in products of zeros, which turn a sum of -0 into +0: one of them does the same. */
static int64_t padded_depths(const struct fc_corr *c) { return c->depths + (c->depths % FC_BLOCK != 0); }

static size_t input_bytes(const struct fc_corr *c, const struct strips *s) { return fc_align((size_t)(padded_depths(c) * s->pixels) * c->size); }
static size_t tile_bytes(const struct fc_corr *c) { return (size_t)(c->k->tile_rows * c->k->lanes) * c->size; }

/* The first 64 bytes hold the number of the strip that is packed. */
static size_t task_bytes(const struct fc_corr *c, const struct strips *s) { return 64 + input_bytes(c, s) + tile_bytes(c); }

/* Half of the goal for the pixels, half for the weights. */
static struct strips choose_strips(const struct fc_corr *c)
{
    const int64_t half = (int64_t)fc_workspace_goal() / 2, panel = c->k->lanes, row = padded_depths(c) * (int64_t)c->size;
    const int64_t fitting = fc_max(half / row / panel, 1) * panel;
    return (struct strips){ .pixels = fc_min(fc_round_up(c->to_size[1] * c->to_size[2], panel), fitting),
                            .part = fc_min(fc_padded_lanes(c), fc_round_up(fitting, fc_max(panel, FC_BLOCK))) };
}

size_t fc_pointwise_bytes(const struct fc_corr *c)
{
    const struct strips s = choose_strips(c);
    return fc_pointwise_extents(c) ? task_bytes(c, &s) : 0;
}

static ptrdiff_t panel_bytes(const struct fc_corr *c) { return (ptrdiff_t)((size_t)(padded_depths(c) * c->k->lanes) * c->size); }

/* `count` pixels from `first` on; zeros behind the last one and below the last depth. */
static void pack_strip(const struct fc_corr *c, int64_t image, int64_t group, int64_t first, int64_t count, char *panels)
{
    const int64_t width = c->from_size[2], lanes = c->k->lanes;
    for (int64_t panel = 0; panel * lanes < count; panel++) {
        const int64_t from = (panel + 1) * lanes > count ? 0 : c->depths;
        memset(panels + panel * panel_bytes(c) + from * lanes * (ptrdiff_t)c->size, 0, (size_t)((padded_depths(c) - from) * lanes) * c->size);
    }
    struct fc_panels l = { .depth = c->from.channel, .pixel = c->from.space[2], .depths = c->depths, .panels = panels,
                           .panel = padded_depths(c) * lanes };
    for (; l.first < count; l.first += l.count) {
        const int64_t row = (first + l.first) / width, column = (first + l.first) % width;
        l.count = fc_min(count - l.first, width - column);
        l.from = fc_element(&c->from, c->size, image, group * c->depths, 0, row, column);
        c->k->pack_panels(&l);
    }
}

/* `lanes` lanes from `from` on of the panel of weights that begins at `lane`, times a panel of pixels. */
static void run_panel(const struct job *job, int64_t group, int64_t lane, int64_t from, int64_t lanes, const char *x, int64_t vectors, char *y,
                      ptrdiff_t y_row)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t step = fc_panel_vectors(c->k, lane, c->lanes) * c->k->vector, depths = padded_depths(c);
    const int64_t tiles = fc_ceil_div(lanes, c->k->tile_rows);
    const char *weights = fc_packed_group(c, group, job->steps) + (lane * job->steps(c) + from) * size;
    const char *bias = fc_packed_bias(c, group) + (lane + from) * size;
    static const ptrdiff_t start = 0;
    struct fc_tile t = { .a_row = 1, .offset = &start, .runs = 1, .a_step = step, .c_row = y_row, .c_block = FC_BLOCK };
    for (int64_t d = 0; d < depths; d += DEPTHS) {
        t.len = fc_min(DEPTHS, depths - d);
        t.b = x + d * c->k->lanes * size;
        for (int64_t i = 0, row = 0; i < tiles; i++) {
            const int64_t rows = (lanes + i) / tiles;    /* they differ by at most one */
            t.a = weights + (d * step + row) * size;
            t.c = y + row * y_row * size;
            t.init = d == 0 ? bias + row * size : NULL;
            t.relu = c->relu && d + DEPTHS >= depths;
            c->k->plane_tile[vectors - 1][rows - 1](&t);
            row += rows;
        }
    }
}

static void task(void *data, int64_t number, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t strip = number / job->parts, image = strip / job->strips / c->groups, group = strip / job->strips % c->groups;
    const int64_t first = strip % job->strips * job->s.pixels, part = number % job->parts * job->s.part;
    const int64_t all = c->to_size[1] * c->to_size[2], end = fc_min(all, first + job->s.pixels), panel = c->k->lanes;
    char *memory = job->workspace + (size_t)worker * job->bytes;
    int64_t *packed_strip = (int64_t *)memory;
    char *input = memory + 64, *tile = input + input_bytes(c, &job->s);
    if (*packed_strip != strip) pack_strip(c, image, group, first, end - first, input);
    *packed_strip = strip;
    for (int64_t pixel = first; pixel < end; pixel += panel, input += panel_bytes(c)) {
        const int64_t count = fc_min(panel, end - pixel), vectors = count > c->k->vector ? FC_MAX_VECTORS : 1;
        for (int64_t lane = part; lane < fc_min(part + job->s.part, c->lanes); lane += panel) {
            const int64_t lanes = fc_min(panel, c->lanes - lane), rows = c->k->tile_rows;
            char *y = fc_element(&c->to, c->size, image, group * c->lanes + lane, 0, 0, pixel);
            if (count == vectors * c->k->vector) {
                run_panel(job, group, lane, 0, lanes, input, vectors, y, c->to.channel);
                continue;
            }
            for (int64_t row = 0; row < lanes; row += rows) {
                run_panel(job, group, lane, row, fc_min(rows, lanes - row), input, vectors, tile, panel);
                for (int64_t r = row; r < fc_min(row + rows, lanes); r++)
                    memcpy(y + r * c->to.channel * size, tile + (r - row) * panel * size, (size_t)(count * size));
            }
        }
    }
}

fc_status fc_pointwise_forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c, fc_steps steps)
{
    struct job job = { .c = c, .s = choose_strips(c), .steps = steps, .workspace = data->workspace, .bytes = plan->workspace };
    job.strips = fc_ceil_div(c->to_size[1] * c->to_size[2], job.s.pixels);
    const int64_t strips = c->batch * c->groups * job.strips, wanted = 4 * data->threads;
    if (data->threads > 1 && strips < wanted)    /* a few strips: share each among threads */
        job.s.part = fc_min(job.s.part, fc_round_up(fc_ceil_div(c->lanes * strips, wanted), fc_max(FC_BLOCK, c->k->lanes)));
    job.parts = fc_ceil_div(c->lanes, job.s.part);
    for (int i = 0; i < data->threads; i++) *(int64_t *)(job.workspace + (size_t)i * job.bytes) = -1;
    return fc_parallel(task, &job, strips * job.parts, data->threads);
}
