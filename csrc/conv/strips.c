/* strips.c - how much of a direct convolution is done at once, and where its input lies; see direct.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/direct.h"

/* Of a single output row only those input rows are packed that a tap falls on: the dilation may be large. */
static int64_t packed_step(const struct fc_corr *c, const struct fc_strip *s) { return s->rows == 1 ? c->dilation[1] : 1; }
static int64_t packed_rows(const struct fc_corr *c, const struct fc_strip *s) { return s->rows == 1 ? c->taps[1] : fc_strip_reach(c, 1, s->rows); }

static int64_t strip_pixels(const struct fc_corr *c, const struct fc_strip *s)
{
    return c->taps[0] * packed_rows(c, s) * fc_strip_reach(c, 2, s->columns);
}

size_t fc_strip_offsets_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->chunk * fc_volume(c->taps)) * sizeof(ptrdiff_t));
}
size_t fc_strip_input_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->chunk * strip_pixels(c, s) * FC_BLOCK) * c->size);
}
size_t fc_strip_output_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return fc_align((size_t)(s->part * s->rows * c->step[1] * s->columns * c->step[2]) * c->size);
}

/* The first 64 bytes hold the number of the strip that is packed. */
size_t fc_strip_bytes(const struct fc_corr *c, const struct fc_strip *s)
{
    return 64 + fc_strip_offsets_bytes(c, s) + fc_strip_input_bytes(c, s) + fc_strip_output_bytes(c, s);
}

/* Whether a single output pixel's reach is small enough for the sizes below to be meaningful. */
int fc_strip_fits(const struct fc_corr *c)
{
    const double bytes = (double)c->size * FC_BLOCK * (double)c->taps[0] * (double)c->taps[1] * (double)fc_strip_reach(c, 2, 1);
    return bytes < FC_WORKSPACE_LIMIT && fc_volume(c->taps) < FC_WORKSPACE_LIMIT / (int64_t)sizeof(ptrdiff_t);
}

/* The largest strip that stays within the goal: fewer rows first, then a chunk of the depth, fewer lanes, columns. */
struct fc_strip fc_strip_choose(const struct fc_corr *c)
{
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), tile = c->k->tile_rows;
    struct fc_strip s = { c->to_size[1], c->to_size[2], fc_blocks(c->depths), fc_padded_lanes(c) };
    const size_t goal = fc_workspace_goal();
    /* columns first where a single row would never fit: every reach is then below the limit and nothing overflows */
    while (s.columns > tile && (double)s.columns * (double)c->stride[2] > FC_WORKSPACE_LIMIT / 64) s.columns = fc_half(s.columns, 1);
    while (s.rows > 1 && fc_strip_reach(c, 1, s.rows) > FC_WORKSPACE_LIMIT / 64) s.rows = fc_half(s.rows, 1);
    while (c->step[2] > 1 && s.part > 4 * panel && fc_strip_output_bytes(c, &s) > goal / 2) s.part = fc_half(s.part, panel);
    while (s.rows > 1 && fc_strip_bytes(c, &s) > goal) s.rows = fc_half(s.rows, 1);
    while (s.chunk > 1 && fc_strip_bytes(c, &s) > goal) s.chunk = fc_half(s.chunk, 1);
    while (s.part > panel && fc_strip_bytes(c, &s) > goal) s.part = fc_half(s.part, panel);
    while (s.columns > 1 && fc_strip_bytes(c, &s) > goal) s.columns = fc_half(s.columns, s.columns > 2 * tile ? tile : 1);
    return s;
}

void fc_strip_offsets(const struct fc_corr *c, const struct fc_strip *s, const int64_t *taps, int by_tap, ptrdiff_t *offset)
{
    const int64_t rows = packed_rows(c, s), columns = fc_strip_reach(c, 2, s->columns), dilation = c->dilation[1] / packed_step(c, s);
    const int64_t all = fc_volume(taps);
    for (int64_t block = 0; block < s->chunk; block++)
        for (int64_t tap = 0; tap < all; tap++) {
            const int64_t t = tap / (taps[1] * taps[2]), r = tap / taps[2] % taps[1], q = tap % taps[2];
            offset[by_tap ? tap * s->chunk + block : block * all + tap] =
                (((block * taps[0] + t) * rows + r * dilation) * columns + q * c->dilation[2]) * FC_BLOCK;
        }
}

/* The input of the strip of outputs at `out`. */
struct fc_box fc_strip_input(const struct fc_corr *c, const struct fc_strip *s, const int64_t *out)
{
    struct fc_box b = { .slices = c->taps[0], .slice_step = c->dilation[0], .rows = packed_rows(c, s),
                        .row_gap = packed_step(c, s) - 1, .columns = fc_strip_reach(c, 2, s->columns), .border = c->border };
    for (int a = 0; a < FC_AXES; a++) b.start[a] = out[a] * c->stride[a] - c->offset[a];
    return b;
}
