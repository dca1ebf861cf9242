/* pool_template.h - one row of windows of a pooling: their maxima or their sums, and what is done with them.
 *
 *     y[p] = max or sum over runs r and taps t of x[p*x_step + run[r].offset + t*x_tap]
 *
 * Maxima: a tap replaces the best so far if it is greater or not a number. So a tie goes to the first tap, NaN is never
 * lost, and of several NaN the last stays. Windows start from -infinity and the index of their first tap. The index is
 * an integer in the bits of a lane: it is only moved, never calculated with, and so exact up to 2^32 (2^64).
 * Looking for NaN doubles the work of a tap. So the taps are also summed up, and only if a sum shows that NaN or infinity
 * may be among them are the windows looked at again with care.
 *
 * Sums: each run for itself, then the sums of the runs; the runs are the blocks that keep the rounding error small.
 *
 * Four results at a time, so that four independent chains hide the latency of the comparison or addition; all channels
 * of these before the next, so that memory is read in order.
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

/* Returns 0, and writes nothing, if `careful` is 0 but has to be 1. */
V_INLINE int FC_NAME(max_pixels)(const struct fc_pool_row *w, ptrdiff_t p, ptrdiff_t lane, const int pixels, const int indexed,
                                 const int careful)
{
    const real *x = (const real *)w->x + p * w->x_step + lane;
    real *y = (real *)w->y + p * w->y_step + lane, *index = (real *)w->index + p * w->lanes + lane;
    v_t best[4], at[4], sum[4];
    UNROLL for (int i = 0; i < pixels; i++) {
        best[i] = w->continues ? v_load(y + i * w->y_step) : v_set1((real)-__builtin_inf());
        sum[i] = w->continues ? best[i] : v_zero();
        if (indexed) at[i] = w->continues ? v_load(index + i * w->lanes) : v_set1(FC_NAME(lane_of)(w->run[0].index));
    }
    for (ptrdiff_t r = 0; r < w->runs; r++) {
        const real *from = x + w->run[r].offset;
        int64_t tap = w->run[r].index;
        for (ptrdiff_t t = 0; t < w->run[r].taps; t++, from += w->x_tap, tap += w->index_tap) {
            UNROLL for (int i = 0; i < pixels; i++) {
                const v_t value = v_load(from + i * w->x_step);
                if (!careful) sum[i] = v_add(sum[i], value);
                if (indexed) {
                    const v_mask better = careful ? v_beats(value, best[i]) : v_greater(value, best[i]);
                    at[i] = v_select(better, v_set1(FC_NAME(lane_of)(tap)), at[i]);
                }
                best[i] = careful ? v_select(v_beats(value, best[i]), value, best[i]) : v_max(value, best[i]);
            }
        }
    }
    for (int i = 1; i < pixels; i++) sum[0] = v_add(sum[0], sum[i]);
    if (!careful && !v_finite(sum[0])) return 0;
    UNROLL for (int i = 0; i < pixels; i++) {
        v_store(y + i * w->y_step, best[i]);
        if (indexed) v_store(index + i * w->lanes, at[i]);
    }
    return 1;
}

V_INLINE void FC_NAME(max_lanes)(const struct fc_pool_row *w, ptrdiff_t p, const int pixels, const int indexed)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL)
        if (!FC_NAME(max_pixels)(w, p, lane, pixels, indexed, 0)) FC_NAME(max_pixels)(w, p, lane, pixels, indexed, 1);
}

static void FC_NAME(pool_max)(const struct fc_pool_row *w)
{
    ptrdiff_t p = 0;
    for (; p + 4 <= w->count; p += 4) FC_NAME(max_lanes)(w, p, 4, 0);
    for (; p + 2 <= w->count; p += 2) FC_NAME(max_lanes)(w, p, 2, 0);
    for (; p < w->count; p++) FC_NAME(max_lanes)(w, p, 1, 0);
}

static void FC_NAME(pool_max_index)(const struct fc_pool_row *w)
{
    ptrdiff_t p = 0;
    for (; p + 4 <= w->count; p += 4) FC_NAME(max_lanes)(w, p, 4, 1);
    for (; p + 2 <= w->count; p += 2) FC_NAME(max_lanes)(w, p, 2, 1);
    for (; p < w->count; p++) FC_NAME(max_lanes)(w, p, 1, 1);
}

V_INLINE void FC_NAME(sum_pixels)(const struct fc_pool_row *w, ptrdiff_t p, ptrdiff_t lane, const int pixels)
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
    ptrdiff_t p = 0;
    for (; p + 4 <= w->count; p += 4)
        for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) FC_NAME(sum_pixels)(w, p, lane, 4);
    for (; p + 2 <= w->count; p += 2)
        for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) FC_NAME(sum_pixels)(w, p, lane, 2);
    for (; p < w->count; p++)
        for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) FC_NAME(sum_pixels)(w, p, lane, 1);
}

/* The sum of one window that is a whole plane, in the order of planes_total (sums_template.h); all its runs are here. */
static void FC_NAME(pool_total)(const struct fc_pool_row *w)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        v_t sum[VL];
        UNROLL for (int i = 0; i < VL; i++) sum[i] = v_zero();
        int64_t element = 0;
        for (ptrdiff_t r = 0; r < w->runs; r++) {
            const real *x = (const real *)w->x + w->run[r].offset + lane;
            for (ptrdiff_t t = 0; t < w->run[r].taps; t++, element++)
                sum[element % VL] = v_add(sum[element % VL], v_load(x + t * w->x_tap));
        }
        UNROLL for (int n = VL / 2; n > 0; n /= 2)
            for (int i = 0; i < n; i++) sum[i] = v_add(sum[i], sum[i + n]);
        v_store((real *)w->y + lane, sum[0]);
    }
}

/* Whether 1 / x is exact: x is plus or minus a power of two. */
V_INLINE int FC_NAME(is_power)(real x)
{
    const union { real value; FC_NAME(lane) bits; } u = { .value = x };
    return (u.bits & (((FC_NAME(lane))1 << (FC_BITS == 32 ? 23 : 52)) - 1)) == 0;
}

/* to = from / divisor. A product with an exact reciprocal is the same number as the quotient. */
static void FC_NAME(divide)(const struct fc_pixels *from, const struct fc_pixels *to, int64_t count, int64_t lanes, double divisor)
{
    const int power = FC_NAME(is_power)((real)divisor);
    const v_t by = v_set1(power ? 1 / (real)divisor : (real)divisor);
    for (ptrdiff_t p = 0; p < count; p++) {
        const real *x = (const real *)(const void *)from->data + p * from->step;
        real *y = (real *)(void *)to->data + p * to->step;
        for (ptrdiff_t lane = 0; lane < lanes; lane += VL)
            v_store(y + lane, power ? v_mul(v_load(x + lane), by) : v_div(v_load(x + lane), by));
    }
}

/* Indices of VL channels of VL pixels, by channel. */
V_INLINE void FC_NAME(transpose_indices)(const real *from, ptrdiff_t step, ptrdiff_t pixels, FC_NAME(lane) *to)
{
    v_t rows[VL];
    UNROLL for (int i = 0; i < VL; i++) rows[i] = i < pixels ? v_load(from + i * step) : v_zero();
    FC_NAME(transpose)(rows);
    UNROLL for (int i = 0; i < VL; i++) v_store((real *)(void *)(to + i * VL), rows[i]);
}

/* to[i*step] = first + i*increment + index[i]. */
V_INLINE void FC_NAME(widen)(int64_t *restrict to, ptrdiff_t step, const FC_NAME(lane) *restrict index, int64_t first,
                             int64_t increment, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) to[i * step] = first + i * increment + (int64_t)index[i];
}

static void FC_NAME(positions_transposed)(const struct fc_positions *w, ptrdiff_t lane)
{
    const real *from = (const real *)w->index + lane;
    const ptrdiff_t channels = FC_NAME(smaller)(VL, w->channels - lane);
    for (ptrdiff_t p = 0; p < w->count; p += VL) {
        FC_NAME(lane) index[VL * VL];
        const ptrdiff_t pixels = FC_NAME(smaller)(VL, w->count - p);
        const int64_t first = w->first + p * w->step;
        FC_NAME(transpose_indices)(from + p * w->lanes, w->lanes, pixels, index);
        for (ptrdiff_t c = 0; c < channels; c++) {
            int64_t *to = w->to + (lane + c) * w->channel + p * w->pixel;
            if (w->pixel == 1 && pixels == VL) FC_NAME(widen)(to, 1, index + c * VL, first, w->step, VL);
            else FC_NAME(widen)(to, w->pixel, index + c * VL, first, w->step, pixels);
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
    for (ptrdiff_t p = 0; p < w->count; p++, index += w->lanes)
        FC_NAME(widen)(w->to + p * w->pixel, 1, index, w->first + p * w->step, 0, w->channels);
}

static void FC_NAME(codes)(const struct fc_codes *w)
{
    const FC_NAME(lane) *restrict index = w->index;
    for (ptrdiff_t p = 0; p < w->count; p++, index += w->lanes) {
        uint8_t *restrict to = w->to + p * w->pixel;
        if (w->channel == 1) for (ptrdiff_t c = 0; c < w->channels; c++) to[c] = (uint8_t)index[c];
        else for (ptrdiff_t c = 0; c < w->channels; c++) to[c * w->channel] = (uint8_t)index[c];
    }
}

/* dx of VL channels of column i: what the windows from column `from` to `last` give whose maximum has the code of i's tap. */
V_INLINE v_t FC_NAME(spread_pixel)(const struct fc_spread *s, ptrdiff_t i, ptrdiff_t from, ptrdiff_t last, ptrdiff_t lane)
{
    const ptrdiff_t at = s->row + s->pad[0], low = at - s->kernel[0] + s->stride[0];
    const ptrdiff_t first = low < 0 ? 0 : low / s->stride[0], past = at / s->stride[0] + 1;
    v_t sum = v_zero();
    for (ptrdiff_t o = first; o < (past < s->rows ? past : s->rows); o++) {
        const ptrdiff_t row_code = (at - o * s->stride[0]) * s->kernel[1] + i + s->pad[1];
        const real *y = (const real *)s->y + o * s->y_row + lane;
        const uint8_t *code = s->code + o * s->code_row + lane;
        for (ptrdiff_t j = from; j <= last; j++) {
            const v_mask here = v_bytes_are(v_load_bytes(code + j * s->code_pixel), (uint8_t)(row_code - j * s->stride[1]));
            sum = v_add_if(here, sum, v_load(y + j * s->y_pixel));
        }
    }
    return sum;
}

/* Windows that neither overlap nor leave a gap, one after the other: no division for each pixel. */
static void FC_NAME(spread_apart)(const struct fc_spread *s)
{
    const ptrdiff_t at = s->row + s->pad[0], o = at / s->stride[0], wide = s->stride[1], start = -s->pad[1];
    const uint8_t first_code = (uint8_t)((at - o * s->stride[0]) * wide);
    ptrdiff_t i = 0;
    for (ptrdiff_t j = 0; o < s->rows && j < s->columns; j++) {
        const real *y = (const real *)s->y + o * s->y_row + j * s->y_pixel;
        const uint8_t *code = s->code + o * s->code_row + j * s->code_pixel;
        for (; i < start + (j + 1) * wide && i < s->width; i++) {
            const uint8_t tap = (uint8_t)(first_code + i - start - j * wide);
            for (ptrdiff_t lane = 0; lane < s->lanes; lane += VL) {
                const v_mask here = v_bytes_are(v_load_bytes(code + lane), tap);
                v_store((real *)s->x + i * s->x_pixel + lane, v_add_if(here, v_zero(), v_load(y + lane)));
            }
        }
    }
    for (; i < s->width; i++)
        for (ptrdiff_t lane = 0; lane < s->lanes; lane += VL) v_store((real *)s->x + i * s->x_pixel + lane, v_zero());
}

static void FC_NAME(spread)(const struct fc_spread *s)
{
    if (s->kernel[0] == s->stride[0] && s->kernel[1] == s->stride[1]) {
        FC_NAME(spread_apart)(s);
        return;
    }
    for (ptrdiff_t i = 0; i < s->width; i++) {
        const ptrdiff_t at = i + s->pad[1], low = at - s->kernel[1] + s->stride[1], right = at / s->stride[1];
        const ptrdiff_t from = low < 0 ? 0 : low / s->stride[1], last = right < s->columns ? right : s->columns - 1;
        for (ptrdiff_t lane = 0; lane < s->lanes; lane += VL)
            v_store((real *)s->x + i * s->x_pixel + lane, FC_NAME(spread_pixel)(s, i, from, last, lane));
    }
}

/* The largest of `count` positions, all taken as unsigned: negative ones are larger than any extent. */
static uint64_t FC_NAME(largest)(const int64_t *position, ptrdiff_t step, int64_t count)
{
    uint64_t most = 0;
    if (step == 1) {
        for (ptrdiff_t i = 0; i < count; i++) most = (uint64_t)position[i] > most ? (uint64_t)position[i] : most;
    } else {
        for (ptrdiff_t i = 0; i < count; i++) most = (uint64_t)position[i * step] > most ? (uint64_t)position[i * step] : most;
    }
    return most;
}

/* Element of a position in its plane; the division is only needed where rows or slices do not follow each other. */
V_INLINE ptrdiff_t FC_NAME(element_at)(const struct fc_scatter *s, int64_t position)
{
    const int64_t plane = s->height * s->width, in_slice = position % plane;
    return position / plane * s->x_space[0] + in_slice / s->width * s->x_space[1] + in_slice % s->width * s->x_space[2];
}

V_INLINE void FC_NAME(scatter_row)(const struct fc_scatter *s, const int gapless, const int by_pixel)
{
    const ptrdiff_t outer = by_pixel ? s->count : s->channels, inner = by_pixel ? s->channels : s->count;
    const ptrdiff_t y_inner = by_pixel ? s->y_channel : s->y_pixel, y_outer = by_pixel ? s->y_pixel : s->y_channel;
    const ptrdiff_t at_inner = by_pixel ? s->position_channel : s->position_pixel, pixel = s->x_space[2];
    const ptrdiff_t at_outer = by_pixel ? s->position_pixel : s->position_channel;
    for (ptrdiff_t i = 0; i < outer; i++) {
        const real *restrict y = (const real *)s->y + i * y_outer;
        const int64_t *restrict position = s->position + i * at_outer;
        real *restrict x = (real *)s->x + (by_pixel ? 0 : i * s->x_channel);
        for (ptrdiff_t j = 0; j < inner; j++) {
            const int64_t at = position[j * at_inner];
            x[(by_pixel ? j : 0) + (gapless ? at * pixel : FC_NAME(element_at)(s, at))] += y[j * y_inner];
        }
    }
}

static void FC_NAME(scatter)(const struct fc_scatter *s)
{
    const int gapless = s->x_space[1] == s->width * s->x_space[2] && s->x_space[0] == s->height * s->x_space[1];
    if (!gapless) FC_NAME(scatter_row)(s, 0, s->x_channel == 1);
    else if (s->x_channel == 1) FC_NAME(scatter_row)(s, 1, 1);
    else FC_NAME(scatter_row)(s, 1, 0);
}
