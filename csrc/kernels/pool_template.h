/* pool_template.h - one row of windows of a pooling, 16 channels: their maxima or their sums, and what is done with them.
 *
 *     y[p] = max or sum over runs r and taps t of x[p*x_step + run[r].offset + t*x_tap]
 *
 * Maxima: a tap replaces the best so far if it is greater or not a number. So a tie goes to the first tap, NaN is never
 * lost, and of several NaN the last stays. Windows start from -infinity and the index of their first tap. The index is
 * an integer in the bits of a lane: it is only moved, never calculated with, and so exact up to 2^32 (2^64).
 *
 * Sums: each run for itself, then the sums of the runs; the runs are the blocks that keep the rounding error small.
 *
 * Four results at a time, so that four independent chains hide the latency of the comparison or addition.
 * SPDX-License-Identifier: BSD-3-Clause
 */

#if FC_BITS == 32
typedef uint32_t FC_NAME(lane);
#else
typedef uint64_t FC_NAME(lane);
#endif

/* The index in the bits of a lane. */
V_INLINE real FC_NAME(lane_of)(int64_t index)
{
    const union { FC_NAME(lane) bits; real lane; } u = { .bits = (FC_NAME(lane))index };
    return u.lane;
}

V_INLINE void FC_NAME(max_pixels)(const struct fc_pool_row *w, ptrdiff_t p, const int pixels, const int indexed, ptrdiff_t lane)
{
    const real *x = (const real *)w->x + p * w->x_step + lane;
    real *y = (real *)w->y + p * w->y_step + lane, *index = (real *)w->index + p * FC_BLOCK + lane;
    v_t best[4], at[4];
    UNROLL for (int i = 0; i < pixels; i++) {
        best[i] = w->continues ? v_load(y + i * w->y_step) : v_set1((real)-__builtin_inf());
        if (indexed) at[i] = w->continues ? v_load(index + i * FC_BLOCK) : v_set1(FC_NAME(lane_of)(w->run[0].index));
    }
    for (ptrdiff_t r = 0; r < w->runs; r++) {
        const real *from = x + w->run[r].offset;
        int64_t tap = w->run[r].index;
        for (ptrdiff_t t = 0; t < w->run[r].taps; t++, from += w->x_tap, tap += w->index_tap) {
            UNROLL for (int i = 0; i < pixels; i++) {
                const v_t value = v_load(from + i * w->x_step);
                const v_mask better = v_beats(value, best[i]);
                best[i] = v_select(better, value, best[i]);
                if (indexed) at[i] = v_select(better, v_set1(FC_NAME(lane_of)(tap)), at[i]);
            }
        }
    }
    UNROLL for (int i = 0; i < pixels; i++) {
        v_store(y + i * w->y_step, best[i]);
        if (indexed) v_store(index + i * FC_BLOCK, at[i]);
    }
}

static void FC_NAME(pool_max)(const struct fc_pool_row *w)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        ptrdiff_t p = 0;
        for (; p + 4 <= w->count; p += 4) FC_NAME(max_pixels)(w, p, 4, 0, lane);
        for (; p < w->count; p++) FC_NAME(max_pixels)(w, p, 1, 0, lane);
    }
}

static void FC_NAME(pool_max_index)(const struct fc_pool_row *w)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        ptrdiff_t p = 0;
        for (; p + 4 <= w->count; p += 4) FC_NAME(max_pixels)(w, p, 4, 1, lane);
        for (; p < w->count; p++) FC_NAME(max_pixels)(w, p, 1, 1, lane);
    }
}

V_INLINE void FC_NAME(sum_pixels)(const struct fc_pool_row *w, ptrdiff_t p, const int pixels, ptrdiff_t lane)
{
    const real *x = (const real *)w->x + p * w->x_step + lane;
    real *y = (real *)w->y + p * w->y_step + lane;
    v_t sum[4], run[4];
    UNROLL for (int i = 0; i < pixels; i++) sum[i] = v_zero();
    for (ptrdiff_t r = 0; r < w->runs; r++) {
        const real *from = x + w->run[r].offset;
        UNROLL for (int i = 0; i < pixels; i++) run[i] = v_zero();
        for (ptrdiff_t t = 0; t < w->run[r].taps; t++, from += w->x_tap) {
            UNROLL for (int i = 0; i < pixels; i++) run[i] = v_add(run[i], v_load(from + i * w->x_step));
        }
        UNROLL for (int i = 0; i < pixels; i++) sum[i] = v_add(sum[i], run[i]);
    }
    UNROLL for (int i = 0; i < pixels; i++)
        v_store(y + i * w->y_step, w->continues ? v_add(v_load(y + i * w->y_step), sum[i]) : sum[i]);
}

static void FC_NAME(pool_sum)(const struct fc_pool_row *w)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        ptrdiff_t p = 0;
        for (; p + 4 <= w->count; p += 4) FC_NAME(sum_pixels)(w, p, 4, lane);
        for (; p < w->count; p++) FC_NAME(sum_pixels)(w, p, 1, lane);
    }
}

/* Whether 1 / x is exact: x is plus or minus a power of two. */
V_INLINE int FC_NAME(is_power)(real x)
{
    const union { real value; FC_NAME(lane) bits; } u = { .value = x };
    return (u.bits & (((FC_NAME(lane))1 << (FC_BITS == 32 ? 23 : 52)) - 1)) == 0;
}

/* A product with an exact reciprocal is the same number as the quotient. */
static void FC_NAME(divide)(void *to, ptrdiff_t step, int64_t count, int64_t lanes, double divisor)
{
    const int power = FC_NAME(is_power)((real)divisor);
    const v_t by = v_set1(power ? 1 / (real)divisor : (real)divisor);
    for (ptrdiff_t p = 0; p < count; p++) {
        real *y = (real *)to + p * step;
        for (ptrdiff_t lane = 0; lane < lanes; lane += VL)
            v_store(y + lane, power ? v_mul(v_load(y + lane), by) : v_div(v_load(y + lane), by));
    }
}

/* Indices of VL channels of VL pixels, by channel. */
V_INLINE void FC_NAME(transpose_indices)(const real *from, ptrdiff_t pixels, FC_NAME(lane) *to)
{
    v_t rows[VL];
    UNROLL for (int i = 0; i < VL; i++) rows[i] = i < pixels ? v_load(from + i * FC_BLOCK) : v_zero();
    FC_NAME(transpose)(rows);
    UNROLL for (int i = 0; i < VL; i++) v_store((real *)(void *)(to + i * VL), rows[i]);
}

static void FC_NAME(positions_transposed)(const struct fc_positions *w, ptrdiff_t lane)
{
    const real *from = (const real *)w->index + lane;
    const ptrdiff_t channels = FC_NAME(smaller)(VL, w->channels - lane);
    for (ptrdiff_t p = 0; p < w->count; p += VL) {
        FC_NAME(lane) index[VL * VL];
        const ptrdiff_t pixels = FC_NAME(smaller)(VL, w->count - p);
        FC_NAME(transpose_indices)(from + p * FC_BLOCK, pixels, index);
        for (ptrdiff_t c = 0; c < channels; c++) {
            int64_t *to = w->to + (lane + c) * w->channel + p * w->pixel;
            for (ptrdiff_t i = 0; i < pixels; i++)
                to[i * w->pixel] = w->first + (p + i) * w->step + (int64_t)index[c * VL + i];
        }
    }
}

static void FC_NAME(positions)(const struct fc_positions *w)
{
    if (w->channel != 1) {
        for (ptrdiff_t lane = 0; lane < w->channels; lane += VL) FC_NAME(positions_transposed)(w, lane);
        return;
    }
    const FC_NAME(lane) *index = w->index;
    for (ptrdiff_t p = 0; p < w->count; p++, index += FC_BLOCK) {
        int64_t *to = w->to + p * w->pixel;
        const int64_t first = w->first + p * w->step;
        for (ptrdiff_t c = 0; c < w->channels; c++) to[c] = first + (int64_t)index[c];
    }
}

/* Element of a position in its plane; the division is only needed where rows or slices do not follow each other. */
V_INLINE ptrdiff_t FC_NAME(element_at)(const struct fc_scatter *s, int64_t position)
{
    const int64_t plane = s->height * s->width, in_slice = position % plane;
    return position / plane * s->x_space[0] + in_slice / s->width * s->x_space[1] + in_slice % s->width * s->x_space[2];
}

V_INLINE void FC_NAME(scatter_row)(const struct fc_scatter *s, const int gapless)
{
    const int by_pixel = s->x_channel == 1;
    const ptrdiff_t outer = by_pixel ? s->count : s->channels, inner = by_pixel ? s->channels : s->count;
    const ptrdiff_t y_outer = by_pixel ? s->y_pixel : s->y_channel, y_inner = by_pixel ? s->y_channel : s->y_pixel;
    const ptrdiff_t at_outer = by_pixel ? s->position_pixel : s->position_channel;
    const ptrdiff_t at_inner = by_pixel ? s->position_channel : s->position_pixel;
    const ptrdiff_t x_outer = by_pixel ? 0 : s->x_channel, x_inner = by_pixel ? s->x_channel : 0;
    for (ptrdiff_t i = 0; i < outer; i++) {
        const real *y = (const real *)s->y + i * y_outer;
        const int64_t *position = s->position + i * at_outer;
        real *x = (real *)s->x + i * x_outer;
        for (ptrdiff_t j = 0; j < inner; j++) {
            const int64_t at = position[j * at_inner];
            x[j * x_inner + (gapless ? at * s->x_space[2] : FC_NAME(element_at)(s, at))] += y[j * y_inner];
        }
    }
}

static void FC_NAME(scatter)(const struct fc_scatter *s)
{
    const int gapless = s->x_space[1] == s->width * s->x_space[2] && s->x_space[0] == s->height * s->x_space[1];
    if (gapless) FC_NAME(scatter_row)(s, 1);
    else FC_NAME(scatter_row)(s, 0);
}
