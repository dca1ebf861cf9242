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

/* w[tap][c] += sum over pixels of x[offset[tap] + p*x_step][c] * y[p][c], four taps and two pixels at a time. */
V_INLINE void FC_NAME(depthwise_taps)(const struct fc_depthwise *d, ptrdiff_t tap, const int taps, ptrdiff_t lane)
{
    const real *y = (const real *)d->y + lane;
    const real *x[4];
    v_t acc[4][2];
    UNROLL for (int i = 0; i < taps; i++) {
        x[i] = (const real *)d->x + d->offset[tap + i] + lane;
        acc[i][0] = acc[i][1] = v_zero();
    }
    ptrdiff_t p = 0;
    for (; p + 2 <= d->count; p += 2) {
        UNROLL for (int j = 0; j < 2; j++) {
            const v_t g = v_load(y + (p + j) * FC_BLOCK);
            UNROLL for (int i = 0; i < taps; i++) acc[i][j] = v_fma(v_load(x[i] + (p + j) * d->x_step), g, acc[i][j]);
        }
    }
    if (p < d->count) {
        const v_t g = v_load(y + p * FC_BLOCK);
        UNROLL for (int i = 0; i < taps; i++) acc[i][0] = v_fma(v_load(x[i] + p * d->x_step), g, acc[i][0]);
    }
    real *w = (real *)d->w + tap * FC_BLOCK + lane;
    UNROLL for (int i = 0; i < taps; i++)
        v_store(w + i * FC_BLOCK, v_add(v_load(w + i * FC_BLOCK), v_add(acc[i][0], acc[i][1])));
}

static void FC_NAME(depthwise_grad)(const struct fc_depthwise *d)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        ptrdiff_t tap = 0;
        for (; tap + 4 <= d->taps; tap += 4) FC_NAME(depthwise_taps)(d, tap, 4, lane);
        for (; tap < d->taps; tap++) FC_NAME(depthwise_taps)(d, tap, 1, lane);
    }
}
