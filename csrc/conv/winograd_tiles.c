/* winograd_tiles.c - blocks of tiles and their transformed inputs; see winograd.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/winograd.h"

#include <string.h>

static void count_blocks(const struct fc_corr *c, struct fc_tiling *b)
{
    b->row_blocks = fc_ceil_div(c->batch * c->to_size[0] * b->high, b->rows);
    b->column_blocks = fc_ceil_div(b->wide, b->columns);
}

struct fc_tiling fc_tiling_of(const struct fc_corr *c, int m, int64_t tiles)
{
    struct fc_tiling b = { .m = m, .high = fc_ceil_div(c->to_size[1], m), .wide = fc_ceil_div(c->to_size[2], m) };
    const int64_t parts = fc_ceil_div(b.wide, tiles);
    b.columns = fc_ceil_div(b.wide, parts);
    b.rows = fc_max(1, fc_min(tiles / b.columns, c->batch * c->to_size[0] * b.high));
    count_blocks(c, &b);
    return b;
}

int fc_prefetches(const struct fc_corr *c)
{
    const double pixels = (double)fc_volume(c->from_size) * (double)c->depths + (double)fc_volume(c->to_size) * (double)c->lanes;
    return pixels * (double)c->batch * (double)c->size > 1.75 * (double)fc_cache_sizes().l2;
}

int fc_next_segment(const struct fc_corr *c, const struct fc_tiling *b, int64_t first, int64_t rows, struct fc_segment *s)
{
    const int64_t done = s->tile / b->columns + s->rows;
    if (done >= rows) return 0;
    const int64_t plane = (first + done) / b->high;
    *s = (struct fc_segment){ .image = plane / c->to_size[0], .slice = plane % c->to_size[0], .row = (first + done) % b->high,
                           .tile = done * b->columns };
    s->rows = fc_min(b->high - s->row, rows - done);
    return 1;
}

/* Tile rows [0, s->rows) of 16 channels, whose first rows of pixels are `in`. The two rows that a tile row shares with the
 * next one are packed once. */
static void transform_rows(const struct fc_corr *c, const struct fc_tiling *b, struct fc_box in, int64_t rows,
                           struct fc_winograd w, char *strip)
{
    const ptrdiff_t size = (ptrdiff_t)c->size, line = w.row * size;
    char *next = strip;
    for (int64_t r = 0; r < rows; r++) {
        in.rows = r ? b->m : b->m + 2;
        fc_box_pack(c->k, &c->from, c->from_size, &in, next);
        c->k->winograd[b->m / 4].input(&w);
        in.start[1] += in.rows;
        w.to = (char *)w.to + b->columns * FC_BLOCK * size;
        if (r + 1 < rows) memcpy(strip, strip + b->m * line, 2 * (size_t)line);
        next = strip + 2 * line;
    }
}

void fc_transform_input(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_place *p, int64_t channel, int64_t channels,
                            char *strip, char *v)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t blocks = fc_blocks(channels), tiles = fc_tiling_tiles(b);
    struct fc_segment s = {0};
    while (fc_next_segment(c, b, p->first, p->rows, &s)) {
        struct fc_box in = { .image = s.image, .slices = 1, .prefetch = fc_prefetches(c), .columns = p->columns * b->m + 2, .border = c->border,
                             .start = { s.slice - c->offset[0], s.row * b->m - c->offset[1], p->column * b->m - c->offset[2] } };
        struct fc_winograd w = { .from = strip, .row = in.columns * FC_BLOCK, .element = fc_element_step(c, b, channels), .count = p->columns, .lanes = FC_BLOCK };
        for (int64_t block = 0; block < blocks; block++) {
            in.channel = channel + block * FC_BLOCK;
            in.channels = fc_min(FC_BLOCK, channels - block * FC_BLOCK);
            w.to = v + (block * tiles + s.tile) * FC_BLOCK * size;
            transform_rows(c, b, in, s.rows, w, strip);
        }
    }
}
