/* norm_template.h - one row of pixels of a batch normalisation: sums for the statistics, and what is made with them.
 *
 *     z = (x - m) s + t          y = z, or max(0, z)          g' = g, or g where z > 0 or z is NaN
 *     sums of d and d d, d = x - center          sums of g' and g' (x - center)
 *     dx = a g' + (b (x - m) + c), or a g' where the statistics do not depend on x
 *
 * Two forms: in `lanes` the 16 channels of a pixel are adjacent, in `planes` the pixels of a channel. Sums are kept in
 * double, WL of them for a channel: pixel p of an image goes to sum p % WL, pixels and images in order. In planes this is
 * one vector for a channel, in lanes WL vectors for WL channels; so both give the same bits.
 * z is computed anew wherever it is needed: that costs two operations, and reading y would cost memory traffic.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* The coefficients m, s, t, a, b, c. */
enum { FC_NAME(COEFFICIENTS) = 6 };

V_INLINE v_t FC_NAME(norm_z)(v_t x, const v_t *k) { return v_fma(v_sub(x, k[0]), k[1], k[2]); }

V_INLINE v_t FC_NAME(norm_y)(v_t x, const v_t *k, const int relu)
{
    const v_t z = FC_NAME(norm_z)(x, k);
    return relu ? v_max(v_zero(), z) : z;
}

V_INLINE v_t FC_NAME(norm_passed)(v_t g, v_t x, const v_t *k, const int relu)
{
    return relu ? v_select(v_beats(FC_NAME(norm_z)(x, k), v_zero()), g, v_zero()) : g;
}

V_INLINE v_t FC_NAME(norm_dx)(v_t g, v_t x, const v_t *k, const int relu, const int whole)
{
    g = FC_NAME(norm_passed)(g, x, k, relu);
    return whole ? v_fma(k[3], g, v_fma(k[4], v_sub(x, k[0]), k[5])) : v_mul(k[3], g);
}

V_INLINE void FC_NAME(norm_add)(v_t x, v_t g, v_wide center, v_wide *sum, v_wide *product, const int part, const int back)
{
    const v_wide d = v_wide_sub(v_widen(x, part), center);
    const v_wide term = back ? v_widen(g, part) : d;
    *sum = v_wide_add(*sum, term);
    *product = v_wide_fma(term, d, *product);
}

/* ---- Lanes: steps are from pixel to pixel; sums are [2][WL][16] ---------------------------------------------------*/

V_INLINE void FC_NAME(norm_lanes_load)(const struct fc_norm_row *r, ptrdiff_t lane, v_t *k)
{
    UNROLL for (int i = 0; i < FC_NAME(COEFFICIENTS); i++)
        k[i] = v_load((const real *)r->coefficients + i * r->coefficient + lane);
}

V_INLINE void FC_NAME(norm_lanes_pixel)(const struct fc_norm_row *r, ptrdiff_t p, ptrdiff_t lane, const v_t *k, v_wide center,
                                        v_wide *sum, v_wide *product, const int part, const int back, const int relu)
{
    const v_t x = v_load((const real *)r->x + p * r->x_step + lane);
    const v_t g = back ? FC_NAME(norm_passed)(v_load((const real *)r->grad + p * r->grad_step + lane), x, k, relu) : x;
    FC_NAME(norm_add)(x, g, center, sum, product, part, back);
}

V_INLINE void FC_NAME(norm_lanes_part)(const struct fc_norm_row *r, ptrdiff_t lane, const v_t *k, const int part, const int back,
                                       const int relu)
{
    const v_wide center = v_wide_load(r->center + lane + part * WL);
    double *sums = r->sums + lane + part * WL, *products = sums + WL * FC_BLOCK;
    v_wide s[WL], q[WL];
    ptrdiff_t p = 0;
    while (p < r->count) {
        if ((r->first + p) % WL == 0 && p + WL <= r->count) {
            UNROLL for (int j = 0; j < WL; j++) {
                s[j] = v_wide_load(sums + j * FC_BLOCK);
                q[j] = v_wide_load(products + j * FC_BLOCK);
            }
            for (; p + WL <= r->count; p += WL) {
                UNROLL for (int j = 0; j < WL; j++)
                    FC_NAME(norm_lanes_pixel)(r, p + j, lane, k, center, s + j, q + j, part, back, relu);
            }
            UNROLL for (int j = 0; j < WL; j++) {
                v_wide_store(sums + j * FC_BLOCK, s[j]);
                v_wide_store(products + j * FC_BLOCK, q[j]);
            }
        } else {
            const ptrdiff_t at = (r->first + p) % WL * FC_BLOCK;
            s[0] = v_wide_load(sums + at);
            q[0] = v_wide_load(products + at);
            FC_NAME(norm_lanes_pixel)(r, p, lane, k, center, s, q, part, back, relu);
            v_wide_store(sums + at, s[0]);
            v_wide_store(products + at, q[0]);
            p++;
        }
    }
}

V_INLINE void FC_NAME(norm_lanes_sum)(const struct fc_norm_row *r, const int back, const int relu)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        v_t k[FC_NAME(COEFFICIENTS)];
        if (relu) FC_NAME(norm_lanes_load)(r, lane, k);
        UNROLL for (int part = 0; part < VL / WL; part++) FC_NAME(norm_lanes_part)(r, lane, k, part, back, relu);
    }
}

V_INLINE void FC_NAME(norm_lanes_write)(const struct fc_norm_row *r, const int back, const int relu, const int whole)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        const real *x = (const real *)r->x + lane, *g = (const real *)r->grad + lane;
        real *to = (real *)r->to + lane;
        v_t k[FC_NAME(COEFFICIENTS)];
        FC_NAME(norm_lanes_load)(r, lane, k);
        for (ptrdiff_t p = 0; p < r->count; p++) {
            const v_t value = relu || whole ? v_load(x + p * r->x_step) : v_zero();
            v_store(to + p * r->to_step, back ? FC_NAME(norm_dx)(v_load(g + p * r->grad_step), value, k, relu, whole)
                                              : FC_NAME(norm_y)(value, k, relu));
        }
    }
}

/* ---- Planes: steps are from channel to channel; sums are [2][16][WL], rows start at a multiple of WL --------------*/

V_INLINE void FC_NAME(norm_planes_load)(const struct fc_norm_row *r, ptrdiff_t channel, v_t *k)
{
    UNROLL for (int i = 0; i < FC_NAME(COEFFICIENTS); i++)
        k[i] = v_set1(((const real *)r->coefficients)[i * r->coefficient + channel]);
}

/* The last n < VL pixels: only the sums that they belong to change. */
V_INLINE void FC_NAME(norm_planes_last)(v_t x, v_t g, ptrdiff_t n, v_wide center, double *sums, double *products, const int back)
{
    UNROLL for (int part = 0; part < VL / WL; part++) {
        v_wide s = v_wide_load(sums), q = v_wide_load(products);
        double sum[WL], product[WL];
        FC_NAME(norm_add)(x, g, center, &s, &q, part, back);
        v_wide_store(sum, s);
        v_wide_store(product, q);
        for (ptrdiff_t j = 0; j < WL && part * WL + j < n; j++) {
            sums[j] = sum[j];
            products[j] = product[j];
        }
    }
}

V_INLINE void FC_NAME(norm_planes_sum)(const struct fc_norm_row *r, const int back, const int relu)
{
    for (ptrdiff_t c = 0; c < r->channels; c++) {
        const real *x = (const real *)r->x + c * r->x_step, *g = (const real *)r->grad + c * r->grad_step;
        double *sums = r->sums + c * WL, *products = sums + FC_BLOCK * WL;
        const v_wide center = v_wide_set1(r->center[c]);
        v_wide s = v_wide_load(sums), q = v_wide_load(products);
        v_t k[FC_NAME(COEFFICIENTS)];
        if (relu) FC_NAME(norm_planes_load)(r, c, k);
        ptrdiff_t p = 0;
        for (; p + VL <= r->count; p += VL) {
            const v_t value = v_load(x + p), grad = back ? FC_NAME(norm_passed)(v_load(g + p), value, k, relu) : value;
            UNROLL for (int part = 0; part < VL / WL; part++) FC_NAME(norm_add)(value, grad, center, &s, &q, part, back);
        }
        v_wide_store(sums, s);
        v_wide_store(products, q);
        if (p == r->count) continue;
        const v_t value = v_load_n(x + p, r->count - p);
        const v_t grad = back ? FC_NAME(norm_passed)(v_load_n(g + p, r->count - p), value, k, relu) : value;
        FC_NAME(norm_planes_last)(value, grad, r->count - p, center, sums, products, back);
    }
}

V_INLINE void FC_NAME(norm_planes_write)(const struct fc_norm_row *r, const int back, const int relu, const int whole)
{
    for (ptrdiff_t c = 0; c < r->channels; c++) {
        const real *x = (const real *)r->x + c * r->x_step, *g = (const real *)r->grad + c * r->grad_step;
        real *to = (real *)r->to + c * r->to_step;
        v_t k[FC_NAME(COEFFICIENTS)];
        FC_NAME(norm_planes_load)(r, c, k);
        for (ptrdiff_t p = 0; p < r->count; p += VL) {
            const ptrdiff_t n = r->count - p;
            v_t value = v_zero(), grad = v_zero();
            if (relu || whole) value = n < VL ? v_load_n(x + p, n) : v_load(x + p);
            if (back) grad = n < VL ? v_load_n(g + p, n) : v_load(g + p);
            const v_t result = back ? FC_NAME(norm_dx)(grad, value, k, relu, whole) : FC_NAME(norm_y)(value, k, relu);
            if (n < VL) v_store_n(to + p, result, n);
            else v_store(to + p, result);
        }
    }
}

/* ---- What the table holds -----------------------------------------------------------------------------------------*/

static void FC_NAME(norm_lanes_moments)(const struct fc_norm_row *r) { FC_NAME(norm_lanes_sum)(r, 0, 0); }
static void FC_NAME(norm_planes_moments)(const struct fc_norm_row *r) { FC_NAME(norm_planes_sum)(r, 0, 0); }

static void FC_NAME(norm_lanes_products)(const struct fc_norm_row *r)
{
    if (r->relu) FC_NAME(norm_lanes_sum)(r, 1, 1);
    else FC_NAME(norm_lanes_sum)(r, 1, 0);
}

static void FC_NAME(norm_planes_products)(const struct fc_norm_row *r)
{
    if (r->relu) FC_NAME(norm_planes_sum)(r, 1, 1);
    else FC_NAME(norm_planes_sum)(r, 1, 0);
}

static void FC_NAME(norm_lanes_output)(const struct fc_norm_row *r)
{
    if (r->relu) FC_NAME(norm_lanes_write)(r, 0, 1, 1);
    else FC_NAME(norm_lanes_write)(r, 0, 0, 1);
}

static void FC_NAME(norm_planes_output)(const struct fc_norm_row *r)
{
    if (r->relu) FC_NAME(norm_planes_write)(r, 0, 1, 1);
    else FC_NAME(norm_planes_write)(r, 0, 0, 1);
}

static void FC_NAME(norm_lanes_gradient)(const struct fc_norm_row *r)
{
    if (r->relu && r->whole) FC_NAME(norm_lanes_write)(r, 1, 1, 1);
    else if (r->relu) FC_NAME(norm_lanes_write)(r, 1, 1, 0);
    else if (r->whole) FC_NAME(norm_lanes_write)(r, 1, 0, 1);
    else FC_NAME(norm_lanes_write)(r, 1, 0, 0);
}

static void FC_NAME(norm_planes_gradient)(const struct fc_norm_row *r)
{
    if (r->relu && r->whole) FC_NAME(norm_planes_write)(r, 1, 1, 1);
    else if (r->relu) FC_NAME(norm_planes_write)(r, 1, 1, 0);
    else if (r->whole) FC_NAME(norm_planes_write)(r, 1, 0, 1);
    else FC_NAME(norm_planes_write)(r, 1, 0, 0);
}
