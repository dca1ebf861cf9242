/* winograd.h - blocks of tiles, which Winograd's forward pass and its backward-weights share (winograd_tiles.c).
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_WINOGRAD_H
#define FC_WINOGRAD_H

#include "conv/conv.h"

/* A block of tiles. Tile rows are numbered through all planes (images and depth slices): row q is row q % high of plane
 * q / high. */
struct fc_tiling {
    int m;
    int64_t high, wide;        /* tile rows and columns of a plane */
    int64_t rows, columns;     /* tile rows and columns of a block */
    int64_t slice;             /* lanes of M, a multiple of 16 and of a panel; forward only */
    int64_t row_blocks, column_blocks;
};

static inline int64_t fc_tiling_tiles(const struct fc_tiling *b) { return b->rows * b->columns; }
static inline int64_t fc_elements(const struct fc_tiling *b) { return (b->m + 2) * (b->m + 2); }

/* The pixels of one tile row and 16 channels: they are in the first-level cache between packing and transform. */
static inline size_t fc_strip_bytes(const struct fc_corr *c, const struct fc_tiling *b)
{
    return fc_align((size_t)(FC_BLOCK * (b->m + 2) * (b->columns * b->m + 2)) * c->size);
}
/* From one element's [block][tile][16] to the next one's: an odd number of cache lines. A transform touches all elements
 * of a tile at once, and would find them in a few sets of the cache if the distance were a multiple of a power of two. */
static inline int64_t fc_element_step(const struct fc_corr *c, const struct fc_tiling *b, int64_t channels)
{
    const int64_t line = 64 / (int64_t)c->size;
    return (fc_round_up(channels, FC_BLOCK) * fc_tiling_tiles(b) / line | 1) * line;
}
static inline size_t fc_elements_bytes(const struct fc_corr *c, const struct fc_tiling *b, int64_t channels)
{
    return fc_align((size_t)(fc_elements(b) * fc_element_step(c, b, channels)) * c->size);
}
static inline int64_t fc_panel_lanes(const struct fc_corr *c) { return fc_max(FC_BLOCK, c->k->lanes); }

/* At most `tiles` tiles: whole rows of tiles, as many as there is room for, or a part of one row. */
struct fc_tiling fc_tiling_of(const struct fc_corr *c, int m, int64_t tiles);

/* A run of a block's tile rows that lies in one plane. */
struct fc_segment {
    int64_t image, slice, row, rows;    /* tile rows of the plane */
    int64_t tile;                       /* of its first, within the block */
};

/* Whether so many channels of a tensor are a block in the native layout, which the transforms can read and write where it is. */
static inline int fc_is_block(const fc_tensor *t, int64_t channels)
{
    return t->channel == 1 && t->space[2] == FC_BLOCK && channels == FC_BLOCK;
}

/* Starting from {0}: 0 behind the last segment of tile rows [first, first + rows). */
int fc_next_segment(const struct fc_corr *c, const struct fc_tiling *b, int64_t first, int64_t rows, struct fc_segment *s);

/* Where a task is: tile rows and columns. */
struct fc_place {
    int64_t first, rows, column, columns;
};

/* The tiles of channels [channel, channel + channels) -> V; `strip` has fc_strip_bytes. */
void fc_transform_input(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_place *p, int64_t channel,
                        int64_t channels, char *strip, char *v);

/* Backward-weights (winograd_gradient.c): scratch memory of a thread, and the pass. */
size_t fc_winograd_gradient_bytes(const struct fc_corr *c, int m);
fc_status fc_winograd_gradient(const fc_conv_plan *plan, const fc_conv_data *data, int m);

#endif
