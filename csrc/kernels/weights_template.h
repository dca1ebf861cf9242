/* weights_template.h - weights to panels of output lanes, the order in which the register tile reads them, and back.
 *
 * [panel][depth / 16][tap][16][lanes of the panel]; depth = input channels (output channels in backward-data), zeros
 * where there is none. With `flat` depth and tap are one index, [panel][(depth, tap) / 16][16][lanes]: im2col's order,
 * which pads their product instead of the depth. Panels are FC_MAX_VECTORS vectors wide; the last one is only as wide
 * as it needs, which leaves panel p at p * lanes * steps.
 * SPDX-License-Identifier: BSD-3-Clause
 */

enum { FC_NAME(PANEL) = FC_MAX_VECTORS * VL };

static int64_t FC_NAME(panel_width)(const struct fc_weights *w, int64_t lane)
{
    return w->lanes - lane > VL ? FC_NAME(PANEL) : VL;
}

static int64_t FC_NAME(tap_count)(const struct fc_weights *w) { return w->taps[0] * w->taps[1] * w->taps[2]; }

static ptrdiff_t FC_NAME(tap_at)(const struct fc_weights *w, int64_t tap)
{
    const int64_t plane = w->taps[1] * w->taps[2], in_plane = tap % plane;
    return tap / plane * w->tap[0] + in_plane / w->taps[2] * w->tap[1] + in_plane % w->taps[2] * w->tap[2];
}

/* Rounds of 16 steps of the reduction. */
static int64_t FC_NAME(rounds)(const struct fc_weights *w)
{
    const int64_t taps = FC_NAME(tap_count)(w);
    return w->flat ? (w->depths * taps + FC_BLOCK - 1) / FC_BLOCK : (w->depths + FC_BLOCK - 1) / FC_BLOCK * taps;
}

/* Where the 16 steps of a round lie in the source; returns how many of them exist. */
static int64_t FC_NAME(round_at)(const struct fc_weights *w, int64_t round, ptrdiff_t at[])
{
    const int64_t taps = FC_NAME(tap_count)(w);
    if (w->flat) {
        const int64_t first = round * FC_BLOCK, exist = FC_NAME(smaller)(FC_BLOCK, w->depths * taps - first);
        for (int64_t i = 0; i < exist; i++) at[i] = (first + i) / taps * w->depth + FC_NAME(tap_at)(w, (first + i) % taps);
        return exist;
    }
    const int64_t depth = round / taps * FC_BLOCK;
    const ptrdiff_t tap = FC_NAME(tap_at)(w, round % taps);
    for (int64_t i = 0; i < FC_BLOCK; i++) at[i] = (depth + i) * w->depth + tap;
    return FC_NAME(smaller)(FC_BLOCK, w->depths - depth);
}

/* ---- Fast paths: where the steps of one lane, or the taps of one lane and depth, are adjacent in the source, VL lanes of
 * VL of them are transposed in registers. ------------------------------------------------------------------------- */

/* `count` adjacent elements of every lane <-> rows of lanes: element e belongs to row
 * (e % period) * tap_rows + (e / period) * depth_rows from `panel` on. */
struct FC_NAME(run) {
    real *source;
    ptrdiff_t lane;
    int64_t lanes, count, period, tap_rows, depth_rows, width;
    ptrdiff_t ahead;    /* pack_run: to the elements of a later run, prefetched, because runs are too far apart for the hardware to see it */
    real *panel;
};

/* The row of one element after the other, without a division for each. */
struct FC_NAME(row) {
    real *at;
    int64_t left;       /* elements of this period, this one included */
    ptrdiff_t step, wrap;
};

static struct FC_NAME(row) FC_NAME(first_row)(const struct FC_NAME(run) *r, int64_t lane)
{
    return (struct FC_NAME(row)){ r->panel + lane, r->period, r->tap_rows * r->width,
                                  (r->depth_rows - (r->period - 1) * r->tap_rows) * r->width };
}

V_INLINE real *FC_NAME(take_row)(struct FC_NAME(row) *row, int64_t period)
{
    real *at = row->at;
    const int last = --row->left == 0;
    row->at += last ? row->wrap : row->step;
    row->left = last ? period : row->left;
    return at;
}

static void FC_NAME(pack_run)(const struct FC_NAME(run) *r)
{
    for (int64_t lane = 0; lane < r->width; lane += VL) {
        const real *from = r->source + lane * r->lane;
        struct FC_NAME(row) row = FC_NAME(first_row)(r, lane);
        for (int64_t e = 0; e < r->count; e += VL) {
            const ptrdiff_t n = FC_NAME(smaller)(VL, r->count - e);
            v_t rows[VL];
            UNROLL for (int i = 0; i < VL; i++)
                rows[i] = lane + i < r->lanes ? (n == VL ? v_load(from + i * r->lane + e) : v_load_n(from + i * r->lane + e, n)) : v_zero();
            UNROLL for (int i = 0; i < VL; i++) v_prefetch(from + i * r->lane + e + r->ahead);
            FC_NAME(transpose)(rows);
            UNROLL for (int i = 0; i < VL; i++)
                if (i < n) v_store(FC_NAME(take_row)(&row, r->period), rows[i]);
        }
    }
}

static void FC_NAME(unpack_run)(const struct FC_NAME(run) *r)
{
    for (int64_t lane = 0; lane < r->lanes; lane += VL) {
        real *to = r->source + lane * r->lane;
        struct FC_NAME(row) row = FC_NAME(first_row)(r, lane);
        for (int64_t e = 0; e < r->count; e += VL) {
            const ptrdiff_t n = FC_NAME(smaller)(VL, r->count - e);
            v_t rows[VL];
            UNROLL for (int i = 0; i < VL; i++) rows[i] = i < n ? v_load(FC_NAME(take_row)(&row, r->period)) : v_zero();
            FC_NAME(transpose)(rows);
            UNROLL for (int i = 0; i < VL; i++)
                if (lane + i < r->lanes) v_store_n(to + i * r->lane + e, rows[i], n);
        }
    }
}

/* Taps one after the other, forwards (1) or backwards (-1); 0: neither. */
static int FC_NAME(tap_direction)(const struct fc_weights *w)
{
    const ptrdiff_t step = w->tap[2] < 0 ? -1 : 1;
    const int rows = w->tap[2] == step || w->taps[2] == 1;
    const int planes = w->tap[1] == step * w->taps[2] || w->taps[1] == 1;
    const int all = w->tap[0] == step * w->taps[2] * w->taps[1] || w->taps[0] == 1;
    return rows && planes && all ? (int)step : 0;
}

/* Runs over all steps of a panel: 16 depths at a time, all of them (flat), or one where only their taps are adjacent. */
static int FC_NAME(each_run)(const struct fc_weights *w, real *source, real *panel, int64_t lanes, int64_t width,
                             void (*move)(const struct FC_NAME(run) *))
{
    const int direction = FC_NAME(tap_direction)(w);
    const int64_t taps = FC_NAME(tap_count)(w);
    const int adjacent = direction == 1 && w->depth == taps;
    if (!direction || (w->flat && !adjacent)) return 0;
    const int64_t depths = w->flat ? w->depths : adjacent ? FC_BLOCK : 1;
    struct FC_NAME(run) r = { .lane = w->lane, .lanes = lanes, .width = width, .period = w->flat ? w->depths * taps : taps,
                              .tap_rows = w->flat ? 1 : direction * FC_BLOCK, .depth_rows = 1,
                              .ahead = (adjacent ? 1 : 4) * depths * w->depth };
    const ptrdiff_t first = direction < 0 ? FC_NAME(tap_at)(w, taps - 1) : 0;
    for (int64_t d = 0; d < w->depths; d += depths) {
        const int64_t row = d / FC_BLOCK * FC_BLOCK * taps + d % FC_BLOCK + (direction < 0 ? (taps - 1) * FC_BLOCK : 0);
        r.source = source + d * w->depth + first;
        r.count = FC_NAME(smaller)(depths, w->depths - d) * taps;
        r.panel = panel + row * width;
        move(&r);
    }
    return 1;
}

/* Lanes adjacent in the source: rows of lanes are copied. */
static void FC_NAME(pack_rows)(const struct fc_weights *w, const real *source, real *to, int64_t lanes, int64_t width)
{
    for (int64_t round = 0; round < FC_NAME(rounds)(w); round++, to += FC_BLOCK * width) {
        ptrdiff_t at[FC_BLOCK];
        const int64_t steps = FC_NAME(round_at)(w, round, at);
        for (int64_t i = 0; i < steps; i++) {
            for (int64_t lane = 0; lane < width; lane += VL) {
                const ptrdiff_t n = lanes - lane;
                v_store(to + i * width + lane, n >= VL ? v_load(source + at[i] + lane) : n > 0 ? v_load_n(source + at[i] + lane, n) : v_zero());
            }
        }
    }
}

/* ---- Panels -----------------------------------------------------------------------------------------------------*/

/* Zeros for the steps of the last block that do not exist. */
static void FC_NAME(pad_panel)(const struct fc_weights *w, real *panel, int64_t width)
{
    const int64_t rounds = FC_NAME(rounds)(w), last = w->flat ? 1 : FC_NAME(tap_count)(w);
    for (int64_t round = rounds - last; round < rounds; round++) {
        ptrdiff_t at[FC_BLOCK];
        const int64_t exist = FC_NAME(round_at)(w, round, at);
        for (int64_t i = (round * FC_BLOCK + exist) * width; i < (round + 1) * FC_BLOCK * width; i += VL) v_store(panel + i, v_zero());
    }
}

static void FC_NAME(pack_weights)(const struct fc_weights *w, int64_t panel)
{
    const int64_t lane = panel * FC_NAME(PANEL), width = FC_NAME(panel_width)(w, lane);
    const int64_t lanes = FC_NAME(smaller)(w->lanes - lane, width), rounds = FC_NAME(rounds)(w);
    real *source = (real *)w->source + lane * w->lane, *to = (real *)w->packed + lane * rounds * FC_BLOCK;
    FC_NAME(pad_panel)(w, to, width);
    if (w->lane == 1) {
        FC_NAME(pack_rows)(w, source, to, lanes, width);
        return;
    }
    if (FC_NAME(each_run)(w, source, to, lanes, width, FC_NAME(pack_run))) return;
    for (int64_t round = 0; round < rounds; round++, to += FC_BLOCK * width) {
        ptrdiff_t at[FC_BLOCK];
        const int64_t steps = FC_NAME(round_at)(w, round, at);
        for (int64_t i = 0; i < steps; i++)
            for (int64_t j = 0; j < width; j++) to[i * width + j] = j < lanes ? source[at[i] + j * w->lane] : 0;
    }
}

static void FC_NAME(unpack_weights)(const struct fc_weights *w, int64_t panel)
{
    const int64_t lane = panel * FC_NAME(PANEL), width = FC_NAME(panel_width)(w, lane);
    const int64_t lanes = FC_NAME(smaller)(w->lanes - lane, width), rounds = FC_NAME(rounds)(w);
    real *source = (real *)w->source + lane * w->lane, *from = (real *)w->packed + lane * rounds * FC_BLOCK;
    if (FC_NAME(each_run)(w, source, from, lanes, width, FC_NAME(unpack_run))) return;
    for (int64_t round = 0; round < rounds; round++, from += FC_BLOCK * width) {
        ptrdiff_t at[FC_BLOCK];
        const int64_t steps = FC_NAME(round_at)(w, round, at);
        for (int64_t i = 0; i < steps; i++)
            for (int64_t j = 0; j < lanes; j++) source[at[i] + j * w->lane] = from[i * width + j];
    }
}

/* `count` elements, `step` apart -> adjacent. */
static void FC_NAME(copy_line)(void *to, const void *from, ptrdiff_t step, int64_t count)
{
    real *y = to;
    const real *x = from;
    if (step == 1) {
        for (ptrdiff_t i = 0; i < count; i++) y[i] = x[i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++) y[i] = x[i * step];
    }
}
