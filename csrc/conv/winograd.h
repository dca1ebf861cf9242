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

/* Rows of the input packed at once: those of a block's tile rows in one plane. */
static inline int64_t fc_tiling_rows(const struct fc_tiling *b) { return fc_min(b->rows, b->high) * b->m + 2; }
static inline int64_t fc_tiling_columns(const struct fc_tiling *b) { return b->columns * b->m + 2; }

/* Of 16 channels. */
static inline size_t fc_tiling_input_bytes(const struct fc_corr *c, const struct fc_tiling *b)
{
    return fc_align((size_t)(FC_BLOCK * fc_tiling_rows(b) * fc_tiling_columns(b)) * c->size);
}
static inline size_t fc_elements_bytes(const struct fc_corr *c, const struct fc_tiling *b, int64_t channels)
{
    return fc_align((size_t)(fc_round_up(channels, FC_BLOCK) * fc_elements(b) * fc_tiling_tiles(b)) * c->size);
}
static inline int64_t fc_panel_lanes(const struct fc_corr *c) { return fc_max(FC_BLOCK, c->k->lanes); }

/* At most `tiles` tiles: whole rows of tiles, as many as there is room for, or a part of one row. */
struct fc_tiling fc_tiling_of(const struct fc_corr *c, int m, int64_t tiles);

/* A run of a block's tile rows that lies in one plane. */
struct fc_segment {
    int64_t image, slice, row, rows;    /* tile rows of the plane */
    int64_t tile;                       /* of its first, within the block */
};

/* Starting from {0}: 0 behind the last segment of tile rows [first, first + rows). */
int fc_next_segment(const struct fc_corr *c, const struct fc_tiling *b, int64_t first, int64_t rows, struct fc_segment *s);

/* Where a task is: tile rows and columns. */
struct fc_place {
    int64_t first, rows, column, columns;
};

/* The tiles of channels [channel, channel + channels) -> V; `input` has fc_tiling_input_bytes. */
void fc_transform_input(const struct fc_corr *c, const struct fc_tiling *b, const struct fc_place *p, int64_t channel,
                        int64_t channels, char *input, char *v);

/* Backward-weights (winograd_gradient.c): scratch memory of a thread, and the pass. */
size_t fc_winograd_gradient_bytes(const struct fc_corr *c, int m);
fc_status fc_winograd_gradient(const fc_conv_plan *plan, const fc_conv_data *data, int m);

#endif
