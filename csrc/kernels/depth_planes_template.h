/* depth_planes_template.h - depthwise convolution of planes whose columns are adjacent (NCHW), VL columns at a time.
 *
 *     forward            y[o][j] = init + sum over r, t of  x[o*s - ph + r][j*s - pw + t] * w[r][t]
 *     backward-weights   sums[r][t][j modulo VL] += sum over o, j of  x[o*s - ph + r][j*s - pw + t] * dy[o][j]
 *     backward-data      the same as forward with s = 1; depth_spread with s = 2
 *
 * for 3 x 3 windows, s = 1 or 2. Columns beside the plane are masked out, rows above and below are a row of zeros, so
 * edges cost what the middle costs, and padding counts as x = 0. Every sum has the order of depthwise_template.h, and
 * with it every bit.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* What is needed a few rows of a plane, or the next plane, later: so many rows of n vectors each. */
V_INLINE void FC_NAME(depth_fetch)(const real *x, ptrdiff_t step, const int rows, const int n, const int to_write)
{
    const ptrdiff_t ahead = 4096 / sizeof(real);
    UNROLL for (int i = 0; i < rows; i++)
        UNROLL for (int v = 0; v < n; v++) {
            if (to_write) v_prefetch_to_write(x + i * step + v * VL + ahead);
            else v_prefetch(x + i * step + v * VL + ahead);
        }
}

V_INLINE const real *FC_NAME(depth_row)(const struct fc_planes *a, const real *plane, ptrdiff_t h)
{
    return h < 0 || h >= a->height ? (const real *)a->scratch : plane + h * a->x_row;
}

/* The nine weights of a plane, each in all lanes. */
V_INLINE void FC_NAME(depth_weights)(const struct fc_depth_planes *d, ptrdiff_t plane, v_t *w)
{
    const real *of_plane = (const real *)d->w + plane * d->w_plane;
    UNROLL for (int r = 0; r < 3; r++)
        UNROLL for (int t = 0; t < 3; t++) w[3 * r + t] = v_set1(of_plane[r * d->w_row + t * d->w_column]);
}

/* VL outputs of each of g rows; with s = 2 not yet joined. A row of x is loaded once for all rows of outputs it is in. */
V_INLINE void FC_NAME(depth_vectors)(const real *const *row, const struct FC_NAME(columns) *c, const v_t *w, v_t init, v_t *acc,
                                     const int g, const int s, const int clipped)
{
    UNROLL for (int i = 0; i < g; i++) acc[i] = init;
    UNROLL for (int h = 0; h < (g - 1) * s + 3; h++) {
        v_t tap[3];
        (void)FC_NAME(row_taps)(row[h], c, v_zero(), tap, 3, s, clipped);
        UNROLL for (int i = 0; i < g; i++) {
            const int r = h - i * s;
            if (r < 0 || r > 2) continue;
            UNROLL for (int t = 0; t < 3; t++) acc[i] = v_fma(tap[t], w[3 * r + t], acc[i]);
        }
    }
}

/* Rows o .. o + g - 1 of a plane. */
V_INLINE void FC_NAME(depth_rows)(const struct fc_depth_planes *d, const struct FC_NAME(columns) *edges, const real *x, real *y,
                                  ptrdiff_t o, const v_t *w, v_t init, const int g, const int s)
{
    const struct fc_planes *a = &d->at;
    const v_t floor = v_set1(d->relu ? (real)0 : -(real)INFINITY);
    const real *row[6];
    UNROLL for (int h = 0; h < (g - 1) * s + 3; h++) row[h] = FC_NAME(depth_row)(a, x, o * s - a->pad[0] + h);
    for (ptrdiff_t j = 0; j < a->columns; j += VL) {
        struct FC_NAME(columns) c = { .start = j * s - a->pad[1], .beside = VL };
        v_t acc[4];
        FC_NAME(depth_fetch)(x + o * s * a->x_row + j * s, a->x_row, g * s, s, 0);
        FC_NAME(depth_fetch)(y + o * a->y_row + j, a->y_row, g, 1, 1);
        if (FC_NAME(within)(a, j, 3, s)) FC_NAME(depth_vectors)(row, &c, w, init, acc, g, s, 0);
        else FC_NAME(depth_vectors)(row, FC_NAME(edge_of)(a, j, edges, &c, 3, s), w, init, acc, g, s, 1);
        UNROLL for (int i = 0; i < g; i++)
            FC_NAME(store_first)(y + (o + i) * a->y_row + j, v_max(floor, s == 1 ? acc[i] : v_join(acc[i])), a->columns - j);
    }
}

V_INLINE void FC_NAME(depth_forward)(const struct fc_depth_planes *d, const int s)
{
    const struct fc_planes *a = &d->at;
    const int group = s == 1 ? 4 : 2;
    const ptrdiff_t last = (a->columns - 1) / VL * VL;
    const struct FC_NAME(columns) edges[2] = { FC_NAME(columns_of)(a, 0, 3, s, 0), FC_NAME(columns_of)(a, last, 3, s, 0) };
    for (ptrdiff_t plane = 0; plane < a->planes; plane++) {
        const real *x = (const real *)a->x + plane * a->x_plane;
        real *y = (real *)a->y + plane * a->y_plane;
        const v_t init = v_set1(d->init ? ((const real *)d->init)[plane] : (real)0);
        v_t w[9];
        FC_NAME(depth_weights)(d, plane, w);
        ptrdiff_t o = a->first;
        for (; o + group <= a->end; o += group) FC_NAME(depth_rows)(d, edges, x, y, o, w, init, group, s);
        for (; o < a->end; o++) FC_NAME(depth_rows)(d, edges, x, y, o, w, init, 1, s);
    }
}

static void FC_NAME(depth_planes)(const struct fc_depth_planes *d)
{
    if (d->at.stride[1] == 1) FC_NAME(depth_forward)(d, 1);
    else FC_NAME(depth_forward)(d, 2);
}

/* ---- Backward-weights ---------------------------------------------------------------------------------------------*/

/* The masks of `left` outputs, none of which lets in what belongs to an output that does not exist: there dy is 0, but
 * the pixel may be infinite. */
V_INLINE struct FC_NAME(columns) FC_NAME(depth_columns)(const struct fc_planes *a, ptrdiff_t j, const int s)
{
    const ptrdiff_t left = a->columns - j;
    struct FC_NAME(columns) c = { .start = j * s - a->pad[1], .beside = VL };
    UNROLL for (int i = 0; i < 4; i++) {
        const ptrdiff_t at = c.start + FC_NAME(load_at)(i, VL, s), room = a->width - at, wanted = s == 1 ? left : 2 * left - i % 2 * VL;
        c.exists[i] = i < FC_NAME(load_count)(3, s) ? v_span(-at, room < wanted ? room : wanted) : v_none();
    }
    return c;
}

V_INLINE void FC_NAME(depth_products)(const real *const *row, const struct FC_NAME(columns) *c, v_t g, v_t *acc, const int s,
                                      const int clipped)
{
    UNROLL for (int r = 0; r < 3; r++) {
        v_t tap[3];
        (void)FC_NAME(row_taps)(row[r], c, v_zero(), tap, 3, s, clipped);
        UNROLL for (int t = 0; t < 3; t++) acc[3 * r + t] = v_fma(tap[t], g, acc[3 * r + t]);
    }
}

/* The sums are kept in the order of the outputs; with s = 2 they are collected in that of v_even and v_odd. */
V_INLINE void FC_NAME(depth_gradient)(const struct fc_depth_planes *d, const int s)
{
    const struct fc_planes *a = &d->at;
    const ptrdiff_t last = (a->columns - 1) / VL * VL;
    const struct FC_NAME(columns) edges[2] = { FC_NAME(depth_columns)(a, 0, s), FC_NAME(depth_columns)(a, last, s) };
    for (ptrdiff_t plane = 0; plane < a->planes; plane++) {
        const real *x = (const real *)a->x + plane * a->x_plane, *y = (const real *)a->y + plane * a->y_plane;
        real *sums = (real *)d->sums + plane * 9 * VL;
        v_t acc[9];
        UNROLL for (int t = 0; t < 9; t++) acc[t] = s == 1 ? v_load(sums + t * VL) : v_part(v_load(sums + t * VL));
        for (ptrdiff_t o = a->first; o < a->end; o++) {
            const real *row[3], *of_row = y + o * a->y_row;
            UNROLL for (int r = 0; r < 3; r++) row[r] = FC_NAME(depth_row)(a, x, o * s - a->pad[0] + r);
            for (ptrdiff_t j = 0; j < a->columns; j += VL) {
                struct FC_NAME(columns) c = { .start = j * s - a->pad[1], .beside = VL };
                const v_t g = FC_NAME(load_first)(of_row + j, a->columns - j), parted = s == 1 ? g : v_part(g);
                FC_NAME(depth_fetch)(x + o * s * a->x_row + j * s, a->x_row, s, s, 0);
                FC_NAME(depth_fetch)(of_row + j, 0, 1, 1, 0);
                if (FC_NAME(within)(a, j, 3, s)) {
                    FC_NAME(depth_products)(row, &c, parted, acc, s, 0);
                } else {
                    if (j && j != last) c = FC_NAME(depth_columns)(a, j, s);
                    FC_NAME(depth_products)(row, j == 0 ? &edges[0] : j == last ? &edges[1] : &c, parted, acc, s, 1);
                }
            }
        }
        UNROLL for (int t = 0; t < 9; t++) v_store(sums + t * VL, s == 1 ? acc[t] : v_join(acc[t]));
    }
}

static void FC_NAME(depth_planes_grad)(const struct fc_depth_planes *d)
{
    if (d->at.stride[1] == 1) FC_NAME(depth_gradient)(d, 1);
    else FC_NAME(depth_gradient)(d, 2);
}

/* ---- Backward-data, stride 2 --------------------------------------------------------------------------------------
 * Here x is dy and y is dx. In position h + pad = 2 q lie the taps 2 (of dy[q - 1]) and 0 (of dy[q]), in 2 q + 1 lies tap 1
 * (of dy[q]), on both axes. So two rows and 2 VL columns of dx come from two rows and VL + 1 columns of dy: `pair` is what
 * has two taps on an axis, `single` what has one. With an odd pad the single one is first. */

V_INLINE void FC_NAME(depth_store_zipped)(real *to, v_t pair, v_t single, ptrdiff_t n, const int odd)
{
    const v_t first = odd ? single : pair, second = odd ? pair : single;
    FC_NAME(store_first)(to, v_zip_lo(first, second), n);
    if (n > VL) FC_NAME(store_first)(to + VL, v_zip_hi(first, second), n - VL);
}

/* Rows 2 i and 2 i + 1. */
V_INLINE void FC_NAME(depth_spread_rows)(const struct fc_depth_planes *d, const real *x, real *y, ptrdiff_t i, const v_t *w, const int odd)
{
    const struct fc_planes *a = &d->at;
    const ptrdiff_t e = i + (a->pad[0] + 1) / 2 - 1, odd_rows = a->pad[0] % 2;
    const real *row[2] = { FC_NAME(depth_row)(a, x, e), FC_NAME(depth_row)(a, x, e + 1) };
    const ptrdiff_t of_pair = 2 * i + odd_rows, of_single = 2 * i + 1 - odd_rows;
    for (ptrdiff_t j = 0; 2 * j < a->columns; j += VL) {
        const ptrdiff_t at = j + (a->pad[1] + 1) / 2 - 1, left = a->columns - 2 * j;
        v_t g[2][2];
        FC_NAME(depth_fetch)(x + e * a->x_row + j, a->x_row, 1, 1, 0);
        FC_NAME(depth_fetch)(y + 2 * i * a->y_row + 2 * j, a->y_row, 2, 2, 1);
        UNROLL for (int t = 0; t < 2; t++) {
            const int inside = at >= 0 && at + 1 + VL <= a->width;
            const v_mask exists = inside ? v_none() : v_span(-at - t, a->width - at - t);
            UNROLL for (int r = 0; r < 2; r++) g[r][t] = inside ? v_load(row[r] + at + t) : v_load_if(row[r] + at + t, exists, v_zero());
        }
        if (of_pair < a->rows) {
            v_t pair = v_fma(g[0][1], w[6], v_fma(g[0][0], w[8], v_zero())), single = v_fma(g[0][!odd], w[7], v_zero());
            pair = v_fma(g[1][1], w[0], v_fma(g[1][0], w[2], pair));
            single = v_fma(g[1][!odd], w[1], single);
            FC_NAME(depth_store_zipped)(y + of_pair * a->y_row + 2 * j, pair, single, left, odd);
        }
        if (of_single < a->rows) {
            const v_t low = odd_rows ? g[0][0] : g[1][0], high = odd_rows ? g[0][1] : g[1][1];
            const v_t pair = v_fma(high, w[3], v_fma(low, w[5], v_zero())), single = v_fma(odd ? low : high, w[4], v_zero());
            FC_NAME(depth_store_zipped)(y + of_single * a->y_row + 2 * j, pair, single, left, odd);
        }
    }
}

/* first and end count pairs of rows. */
static void FC_NAME(depth_planes_spread)(const struct fc_depth_planes *d)
{
    const struct fc_planes *a = &d->at;
    for (ptrdiff_t plane = 0; plane < a->planes; plane++) {
        const real *x = (const real *)a->x + plane * a->x_plane;
        real *y = (real *)a->y + plane * a->y_plane;
        v_t w[9];
        FC_NAME(depth_weights)(d, plane, w);
        if (a->pad[1] % 2)
            for (ptrdiff_t i = a->first; i < a->end; i++) FC_NAME(depth_spread_rows)(d, x, y, i, w, 1);
        else
            for (ptrdiff_t i = a->first; i < a->end; i++) FC_NAME(depth_spread_rows)(d, x, y, i, w, 0);
    }
}
