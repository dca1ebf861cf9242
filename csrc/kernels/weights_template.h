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

static void FC_NAME(pack_weights)(const struct fc_weights *w, int64_t panel)
{
    const int64_t lane = panel * FC_NAME(PANEL), width = FC_NAME(panel_width)(w, lane);
    const int64_t lanes = FC_NAME(smaller)(w->lanes - lane, width), rounds = FC_NAME(rounds)(w);
    const real *source = (const real *)w->source + lane * w->lane;
    real *to = (real *)w->packed + lane * rounds * FC_BLOCK;
    for (int64_t round = 0; round < rounds; round++) {
        ptrdiff_t at[FC_BLOCK];
        const int64_t steps = FC_NAME(round_at)(w, round, at);
        for (int64_t i = 0; i < FC_BLOCK; i++, to += width) {
            const int64_t exist = i < steps ? lanes : 0;
            for (int64_t j = 0; j < exist; j++) to[j] = source[at[i] + j * w->lane];
            for (int64_t j = exist; j < width; j++) to[j] = 0;
        }
    }
}

static void FC_NAME(unpack_weights)(const struct fc_weights *w, int64_t panel)
{
    const int64_t lane = panel * FC_NAME(PANEL), width = FC_NAME(panel_width)(w, lane);
    const int64_t lanes = FC_NAME(smaller)(w->lanes - lane, width), rounds = FC_NAME(rounds)(w);
    real *source = (real *)w->source + lane * w->lane;
    const real *from = (const real *)w->packed + lane * rounds * FC_BLOCK;
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
