/* planar_template.h - convolution with the pixels of a plane in the lanes: for few channels.
 *
 *     y[row][p] = init[row] + sum over steps  w[step][row] * x[offset[step] + p]
 *
 * A row is an output channel, a step one tap of one input channel. Weights are broadcast, pixels loaded as they lie in
 * the plane, so nothing is transposed and no lane is lost to channels that do not exist. Tiles of many rows are two
 * vectors wide, those of few rows FC_FEW_VECTORS: a weight is then broadcast for more products, and there are enough
 * sums to hide the latency of the multiply-add.
 * SPDX-License-Identifier: BSD-3-Clause
 */

V_INLINE void FC_NAME(store_first)(real *y, v_t a, ptrdiff_t n)
{
    if (n >= VL) v_store(y, a);
    else v_store_n(y, a, n);
}

/* Pixels [p, p + nv * VL), of which those beyond count are computed and not stored. */
V_INLINE void FC_NAME(planar_tile)(const struct fc_planar *t, ptrdiff_t p, const int mr, const int nv)
{
    v_t acc[FC_TILE_ROWS][4];
    const real *init = t->init, *w = t->w, *x = (const real *)t->x + p;
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_set1(init[i]);
    }
    for (ptrdiff_t step = 0; step < t->steps; step++, w += mr) {
        const real *from = x + t->offset[step];
        v_t xv[4];
        UNROLL for (int v = 0; v < nv; v++) xv[v] = v_load(from + v * VL);
        UNROLL for (int i = 0; i < mr; i++) {
            const v_t wi = v_set1(w[i]);
            UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_fma(wi, xv[v], acc[i][v]);
        }
    }
    const v_t floor = v_set1(t->relu ? (real)0 : -(real)INFINITY);
    UNROLL for (int i = 0; i < mr; i++) {
        real *y = (real *)t->y + i * t->y_row + p;
        UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_max(floor, acc[i][v]);
        UNROLL for (int v = 0; v < nv - 1; v++) v_store(y + v * VL, acc[i][v]);
        FC_NAME(store_first)(y + (nv - 1) * VL, acc[i][nv - 1], t->count - p - (nv - 1) * VL);
    }
}

V_INLINE void FC_NAME(planar_row)(const struct fc_planar *t, const int mr)
{
    const ptrdiff_t count = t->count;
    ptrdiff_t p = 0;
    if (mr <= FC_FEW_ROWS)
        for (; p + (FC_FEW_VECTORS - 1) * VL < count; p += FC_FEW_VECTORS * VL) FC_NAME(planar_tile)(t, p, mr, FC_FEW_VECTORS);
    for (; p + VL < count; p += 2 * VL) FC_NAME(planar_tile)(t, p, mr, 2);
    if (p < count) FC_NAME(planar_tile)(t, p, mr, 1);
}

#define FC_PLANAR(mr, nv) \
    static void FC_NAME(planar_##mr)(const struct fc_planar *t) { FC_NAME(planar_row)(t, mr); }
FC_EACH_ROWS(FC_PLANAR, 0)
#undef FC_PLANAR

/* Backward-weights: sums[row][step][lane] += sum over lines and pixels of  y[row][line][p] * x[offset[step] + line*x_line + p]
 * where pixel p goes to lane p modulo VL; planar_fold adds the lanes up. */

V_INLINE void FC_NAME(planar_products)(const real *const x[], const real *y, ptrdiff_t y_row, ptrdiff_t p, ptrdiff_t n, const int mr,
                                       const int nt, v_t acc[][FC_FEW_VECTORS])
{
    v_t xv[FC_FEW_VECTORS];
    UNROLL for (int j = 0; j < nt; j++) xv[j] = n == VL ? v_load(x[j] + p) : v_load_n(x[j] + p, n);
    UNROLL for (int i = 0; i < mr; i++) {
        const v_t yi = n == VL ? v_load(y + p + i * y_row) : v_load_n(y + p + i * y_row, n);
        UNROLL for (int j = 0; j < nt; j++) acc[i][j] = v_fma(yi, xv[j], acc[i][j]);
    }
}

V_INLINE void FC_NAME(planar_grad_tile)(const struct fc_planar_grad *t, ptrdiff_t step, const int mr, const int nt)
{
    v_t acc[FC_FEW_ROWS][FC_FEW_VECTORS];
    real *sums = (real *)t->sums + step * VL;
    const real *y = t->y, *x[FC_FEW_VECTORS];
    const ptrdiff_t y_row = t->y_row, whole = t->count / VL * VL, rest = t->count % VL;
    UNROLL for (int j = 0; j < nt; j++) x[j] = (const real *)t->x + t->offset[step + j];
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int j = 0; j < nt; j++) acc[i][j] = v_load(sums + (i * t->steps + j) * VL);
    }
    for (ptrdiff_t line = 0; line < t->lines; line++, y += t->y_line) {
        for (ptrdiff_t p = 0; p < whole; p += VL) FC_NAME(planar_products)(x, y, y_row, p, VL, mr, nt, acc);
        if (rest) FC_NAME(planar_products)(x, y, y_row, whole, rest, mr, nt, acc);
        UNROLL for (int j = 0; j < nt; j++) x[j] += t->x_line;
    }
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int j = 0; j < nt; j++) v_store(sums + (i * t->steps + j) * VL, acc[i][j]);
    }
}

V_INLINE void FC_NAME(planar_grad_rows)(const struct fc_planar_grad *t, const int mr)
{
    ptrdiff_t step = 0;
    for (; step + FC_FEW_VECTORS <= t->steps; step += FC_FEW_VECTORS) FC_NAME(planar_grad_tile)(t, step, mr, FC_FEW_VECTORS);
    for (; step < t->steps; step++) FC_NAME(planar_grad_tile)(t, step, mr, 1);
}

#define FC_PLANAR(mr, nv) \
    static void FC_NAME(planar_grad_##mr)(const struct fc_planar_grad *t) { FC_NAME(planar_grad_rows)(t, mr); }
FC_EACH_FEW_ROWS(FC_PLANAR, 0)
#undef FC_PLANAR

/* Backward-weights with the output channels in the lanes: sums[step][lane] += sum over lines and pixels of
 * x[offset[step] + line*x_line + p] * y[line][p][lane], y blocked. */
V_INLINE void FC_NAME(planar_pixels)(const real *const x[], ptrdiff_t at, const real *y, ptrdiff_t y_block, const int pixels, const int mr,
                                     const int nv, v_t acc[][FC_MAX_VECTORS])
{
    v_t yv[2][FC_MAX_VECTORS];
    UNROLL for (int p = 0; p < pixels; p++) {
        UNROLL for (int v = 0; v < nv; v++) yv[p][v] = v_load(y + p * FC_BLOCK + LANE(v, y_block));
    }
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int p = 0; p < pixels; p++) {
            const v_t xi = v_set1(x[i][at + p]);
            UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_fma(xi, yv[p][v], acc[i][v]);
        }
    }
}

/* There are more pointers to steps than registers for them. A narrow tile, which waits for loads, takes two pixels for
 * each pointer it loads. */
V_INLINE void FC_NAME(planar_outer)(const struct fc_planar_outer *t, const int mr, const int nv)
{
    const real *x[FC_TILE_ROWS], *y = t->y;
    real *sums = t->sums;
    v_t acc[FC_TILE_ROWS][FC_MAX_VECTORS];
    UNROLL for (int i = 0; i < mr; i++) {
        x[i] = (const real *)t->x + t->offset[i];
        UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_load(sums + i * t->sums_step + v * VL);
    }
    const ptrdiff_t y_block = t->y_block;
    const int pixels = nv == 1 ? 2 : 1;
    for (ptrdiff_t line = 0; line < t->lines; line++) {
        ptrdiff_t at = line * t->x_line;
        const ptrdiff_t end = at + t->count;
        for (; at + pixels <= end; at += pixels, y += pixels * FC_BLOCK) FC_NAME(planar_pixels)(x, at, y, y_block, pixels, mr, nv, acc);
        for (; at < end; at++, y += FC_BLOCK) FC_NAME(planar_pixels)(x, at, y, y_block, 1, mr, nv, acc);
    }
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int v = 0; v < nv; v++) v_store(sums + i * t->sums_step + v * VL, acc[i][v]);
    }
}

#define FC_PLANAR(mr, nv) \
    static void FC_NAME(planar_outer_##mr##x##nv)(const struct fc_planar_outer *t) { FC_NAME(planar_outer)(t, mr, nv); }
FC_EACH_ROWS(FC_PLANAR, 1)
FC_EACH_ROWS(FC_PLANAR, 2)
#undef FC_PLANAR

/* to[i] = the sum of the VL lanes of sums[i]. Zipping a vector with the one half the array away and adding the halves
 * leaves half as many vectors, in the order of transpose(): after log2(VL) rounds, one with a sum in each lane. */
static void FC_NAME(planar_fold)(const void *sums, int64_t count, void *to)
{
    const real *from = sums;
    for (ptrdiff_t i = 0; i < count; i += VL, from += VL * VL) {
        v_t s[VL];
        UNROLL for (int j = 0; j < VL; j++) s[j] = i + j < count ? v_load(from + j * VL) : v_zero();
        UNROLL for (int half = VL / 2; half > 0; half /= 2) {
            UNROLL for (int j = 0; j < half; j++)
                s[j] = v_add(v_zip_lo(s[j], s[j + half]), v_zip_hi(s[j], s[j + half]));
        }
        FC_NAME(store_first)((real *)to + i, s[0], count - i);
    }
}

V_INLINE v_t FC_NAME(load_first)(const real *x, ptrdiff_t n) { return n >= VL ? v_load(x) : n > 0 ? v_load_n(x, n) : v_zero(); }

/* Elements 0, 2, 4, ... or 0, 4, 8, ... of the first n; zeros beyond. */
V_INLINE v_t FC_NAME(every_second)(const real *x, ptrdiff_t n)
{
    return v_join(v_even(FC_NAME(load_first)(x, n), FC_NAME(load_first)(x + VL, n - VL)));
}
V_INLINE v_t FC_NAME(every_fourth)(const real *x, ptrdiff_t n)
{
    return v_join(v_even(FC_NAME(every_second)(x, n), FC_NAME(every_second)(x + 2 * VL, n - 2 * VL)));
}

/* `count` elements, `step` apart -> adjacent; may write up to VL - 1 elements more. */
V_INLINE void FC_NAME(plane_elements)(real *to, const real *from, ptrdiff_t step, ptrdiff_t count)
{
    const ptrdiff_t reach = (count - 1) * step + 1;
    if (step == 1)
        for (ptrdiff_t i = 0; i < count; i += VL) v_store(to + i, FC_NAME(load_first)(from + i, count - i));
    else if (step == 2)
        for (ptrdiff_t i = 0; i < count; i += VL) v_store(to + i, FC_NAME(every_second)(from + i * 2, reach - i * 2));
    else if (step == 4)
        for (ptrdiff_t i = 0; i < count; i += VL) v_store(to + i, FC_NAME(every_fourth)(from + i * 4, reach - i * 4));
    else
        for (ptrdiff_t i = 0; i < count; i++) to[i] = from[i * step];
}

/* Most often less than a vector, for which a loop, that compilers turn into a call of memset, would take too long. */
V_INLINE void FC_NAME(plane_zeros)(real *to, ptrdiff_t count)
{
    if (count > 0) v_store(to, v_zero());
    for (ptrdiff_t i = VL; i < count; i += VL) v_store(to + i, v_zero());
}

/* Line after line, so that what one writes too much the next one overwrites. */
static void FC_NAME(planar_plane)(const struct fc_plane *p)
{
    const ptrdiff_t width = p->before + p->count + p->after;
    const real *from = p->from;
    real *to = p->to;
    for (ptrdiff_t line = 0; line < p->above + p->lines + p->below; line++, to += p->pitch) {
        if (line < p->above || line >= p->above + p->lines) {
            FC_NAME(plane_zeros)(to, width);
            continue;
        }
        FC_NAME(plane_zeros)(to, p->before);
        FC_NAME(plane_elements)(to + p->before, from, p->step, p->count);
        FC_NAME(plane_zeros)(to + p->before + p->count, p->after);
        from += p->from_line;
    }
}

/* Lines of planes -> lines of a tensor whose pixels are adjacent. */
static void FC_NAME(planar_copy)(const struct fc_lines *l)
{
    for (ptrdiff_t c = 0; c < l->channels; c++) {
        for (ptrdiff_t line = 0; line < l->lines; line++) {
            const real *x = (const real *)l->from + c * l->from_channel + line * l->from_line;
            real *y = (real *)l->to + c * l->to_channel + line * l->to_line;
            for (ptrdiff_t i = 0; i < l->count; i += VL) FC_NAME(store_first)(y + i, v_load(x + i), l->count - i);
        }
    }
}
