/* depthwise_template.h - one row of a depthwise convolution: each of 16 channels with its own taps.
 *
 *     y[p][c] (+)= sum over taps  x[offset[tap] + p*x_step][c] * w[tap][c]
 *
 * Eight pixels at a time, so that eight independent sums hide the latency of the multiply-add and a weight vector is
 * loaded once for eight uses.
 * SPDX-License-Identifier: BSD-3-Clause
 */

V_INLINE void FC_NAME(depthwise_pixels)(const struct fc_depthwise *d, ptrdiff_t p, const int pixels, ptrdiff_t lane)
{
    const real *x = (const real *)d->x + p * d->x_step + lane, *w = (const real *)d->w + lane;
    real *y = (real *)d->y + p * FC_BLOCK + lane;
    v_t acc[8];
    UNROLL for (int i = 0; i < pixels; i++)
        acc[i] = v_load(d->init ? (const real *)d->init + lane : y + i * FC_BLOCK);
    for (ptrdiff_t tap = 0; tap < d->taps; tap++) {
        const v_t weight = v_load(w + tap * FC_BLOCK);
        const real *from = x + d->offset[tap];
        UNROLL for (int i = 0; i < pixels; i++) acc[i] = v_fma(v_load(from + i * d->x_step), weight, acc[i]);
    }
    UNROLL for (int i = 0; i < pixels; i++) v_store(y + i * FC_BLOCK, acc[i]);
}

static void FC_NAME(depthwise)(const struct fc_depthwise *d)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        ptrdiff_t p = 0;
        for (; p + 8 <= d->count; p += 8) FC_NAME(depthwise_pixels)(d, p, 8, lane);
        for (; p < d->count; p++) FC_NAME(depthwise_pixels)(d, p, 1, lane);
    }
}

/* sums[tap][p modulo VL][c] += sum over rows and pixels of x[offset[tap] + row*x_row + p*x_step][c] * y[row][p][c], up to
 * five taps and two of the classes of pixels at a time: a 3 x 3 window in two rounds. Planes, which have a vector of pixels, give the same sums. */
V_INLINE void FC_NAME(depthwise_products)(const real *const x[], ptrdiff_t x_step, const real *y, v_t acc[][2], const int taps, const int pixels)
{
    UNROLL for (int j = 0; j < pixels; j++) {
        const v_t g = v_load(y + j * FC_BLOCK);
        UNROLL for (int i = 0; i < taps; i++) acc[i][j] = v_fma(v_load(x[i] + j * x_step), g, acc[i][j]);
    }
}

V_INLINE void FC_NAME(depthwise_taps)(const struct fc_depthwise_grad *d, ptrdiff_t tap, ptrdiff_t class, ptrdiff_t lane, const int taps)
{
    const ptrdiff_t left = d->count - class, pairs = left < 2 ? 0 : (left - 2) / VL + 1, x_step = d->x_step;
    const int single = left > pairs * VL;    /* the last pixel of a row, without a partner */
    const ptrdiff_t x_rest = d->x_row - pairs * VL * x_step, y_rest = d->y_row - pairs * VL * FC_BLOCK;
    real *sums = (real *)d->sums + (tap * VL + class) * FC_BLOCK + lane;
    const real *y = (const real *)d->y + class * FC_BLOCK + lane, *x[5];
    v_t acc[5][2];
    UNROLL for (int i = 0; i < taps; i++) {
        x[i] = (const real *)d->x + d->offset[tap + i] + class * x_step + lane;
        UNROLL for (int j = 0; j < 2; j++) acc[i][j] = v_load(sums + (i * VL + j) * FC_BLOCK);
    }
    for (ptrdiff_t row = 0; row < d->rows; row++, y += y_rest) {
        for (ptrdiff_t k = 0; k < pairs; k++, y += VL * FC_BLOCK) {
            FC_NAME(depthwise_products)(x, x_step, y, acc, taps, 2);
            UNROLL for (int i = 0; i < taps; i++) x[i] += VL * x_step;
        }
        if (single) FC_NAME(depthwise_products)(x, x_step, y, acc, taps, 1);
        UNROLL for (int i = 0; i < taps; i++) x[i] += x_rest;
    }
    UNROLL for (int i = 0; i < taps; i++)
        UNROLL for (int j = 0; j < 2; j++) v_store(sums + (i * VL + j) * FC_BLOCK, acc[i][j]);
}

static void FC_NAME(depthwise_grad)(const struct fc_depthwise_grad *d)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        for (ptrdiff_t class = 0; class < VL && class < d->count; class += 2) {
            ptrdiff_t tap = 0;
            for (; tap + 5 <= d->taps; tap += 5) FC_NAME(depthwise_taps)(d, tap, class, lane, 5);
            for (; tap + 4 <= d->taps; tap += 4) FC_NAME(depthwise_taps)(d, tap, class, lane, 4);
            for (; tap < d->taps; tap++) FC_NAME(depthwise_taps)(d, tap, class, lane, 1);
        }
    }
}
