/* tiles.c - cuts a row of pixels into register tiles of nearly equal width.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

/* The widths differ by at most one: a narrow last tile would run at a fraction of the speed. */
void fc_tiles_run(const struct fc_tiles *t, int64_t columns, int vectors)
{
    const ptrdiff_t size = (ptrdiff_t)fc_sizeof(t->k->dtype);
    const int64_t tiles = fc_ceil_div(columns, t->k->tile_rows), width = columns / tiles, wider = columns % tiles;
    struct fc_tile tile = { .a = t->a, .a_row = t->a_row, .offset = t->offset, .runs = t->runs, .b = t->b, .b_skip = t->b_skip, .c = t->c,
                            .c_row = t->c_row, .c_block = t->c_block, .init = t->init, .ahead = t->ahead };
    if (t->ahead) tile.ahead_step = fc_ceil_div(vectors * t->k->vector * size, tiles);
    for (int64_t i = 0; i < tiles; i++) {
        const int64_t rows = width + (i < wider);
        t->k->tile[vectors - 1][rows - 1](&tile);
        tile.a = (const char *)tile.a + rows * t->a_row * size;
        tile.c = (char *)tile.c + rows * t->c_row * size;
        if (t->ahead) tile.ahead = (const char *)tile.ahead + t->runs * FC_BLOCK * tile.ahead_step;
    }
}
