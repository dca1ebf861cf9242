/* winograd_template.h - the transforms of Winograd convolution F(m x m, 3 x 3), m = 2 and 4, a = m + 2.
 *
 *     Y = A' [ (G g G') . (B' d B) ] A        g: 3 x 3 weights, d: a x a input tile, Y: m x m outputs, . elementwise
 *
 * Toom-Cook interpolation at the points 0, +-1 and infinity for m = 2, at 0, +-p, +-q and infinity with p = 5/8,
 * q = 3/2 for m = 4: every entry of A and B is then a dyadic fraction, exact in either type, and the error is 1.7 times
 * that of direct summation instead of 4 times with the points 0, +-1, +-2. With M(x) = x (x^2 - p^2)(x^2 - q^2):
 *
 *     row of B' for the point s: coefficients of M(x) / (x - s), lowest power first;     last row: those of M
 *     column of A' for s: 1, s, s^2, s^3;                                                last column: 0 0 0 1
 *     row of G for s: (1, s, s^2) / product of (s - t) over the other points t;          last row: 0 0 1
 *
 * A 2-D transform is the 1-D one on the columns, then on the rows. One vector holds VL channels of one pixel, so there
 * is nothing to shuffle, and no product with a zero entry, which would turn infinity into NaN where nothing was wrong.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_WINOGRAD_POINTS
#define FC_WINOGRAD_POINTS
#define P1 0.625
#define P2 0.390625              /* p^2 */
#define P3 0.244140625           /* p^3 */
#define Q1 1.5
#define Q2 2.25
#define Q3 3.375
#define PQ 0.87890625            /* p^2 q^2 */
#define PQ_SUM 2.640625          /* p^2 + q^2 */
#define F_0 (1.0 / PQ)                           /* 1 / f(0) */
#define F_P (1.0 / (2 * P2 * (P2 - Q2)))         /* 1 / f(+-p) */
#define F_Q (1.0 / (2 * Q2 * (Q2 - P2)))         /* 1 / f(+-q) */
enum fc_transform { WEIGHTS, WEIGHTS_BACK };
#endif

#define K(x) v_set1((real)(x))

/* Rows `pair_first` and `pair_last` of B', which share what they need of d: those of 0 and infinity, or of +- one point. */
V_INLINE void FC_NAME(input_pair)(const int m, const int pair, const v_t d[], v_t o[2])
{
    if (m == 2) {
        o[0] = pair == 0 ? v_sub(d[2], d[0]) : v_add(d[2], d[1]);
        o[1] = pair == 0 ? v_sub(d[3], d[1]) : v_sub(d[2], d[1]);
    } else if (pair == 0) {
        o[0] = v_fma(K(PQ), d[0], v_fnma(K(PQ_SUM), d[2], d[4]));
        o[1] = v_fma(K(PQ), d[1], v_fnma(K(PQ_SUM), d[3], d[5]));
    } else {
        const v_t other = K(pair == 1 ? Q2 : P2), point = K(pair == 1 ? P1 : Q1);
        const v_t even = v_fnma(other, d[2], d[4]), odd = v_fnma(other, d[1], d[3]);
        o[0] = v_fma(point, odd, even);
        o[1] = v_fnma(point, odd, even);
    }
}

/* The same for A', two rows of outputs: those that need the sums, or the differences, of what belongs to +- one point. */
V_INLINE void FC_NAME(output_pair)(const int m, const int pair, const v_t d[], v_t o[2])
{
    if (m == 2) {
        o[0] = v_add(d[0], v_add(d[1], d[2]));
        o[1] = v_add(v_sub(d[1], d[2]), d[3]);
    } else if (pair == 0) {
        const v_t sum_p = v_add(d[1], d[2]), sum_q = v_add(d[3], d[4]);
        o[0] = v_add(d[0], v_add(sum_p, sum_q));
        o[1] = v_fma(K(Q2), sum_q, v_mul(K(P2), sum_p));
    } else {
        const v_t difference_p = v_sub(d[1], d[2]), difference_q = v_sub(d[3], d[4]);
        o[0] = v_fma(K(Q1), difference_q, v_mul(K(P1), difference_p));
        o[1] = v_fma(K(Q3), difference_q, v_fma(K(P3), difference_p, d[5]));
    }
}

/* And for A, with the pairs of B'. */
V_INLINE void FC_NAME(gradient_pair)(const int m, const int pair, const v_t d[], v_t o[2])
{
    if (pair == 0) {
        o[0] = d[0];
        o[1] = d[m - 1];
    } else if (m == 2) {
        o[0] = v_add(d[0], d[1]);
        o[1] = v_sub(d[0], d[1]);
    } else {
        const v_t point = K(pair == 1 ? P1 : Q1), square = K(pair == 1 ? P2 : Q2);
        const v_t even = v_fma(square, d[2], d[0]), odd = v_fma(square, d[3], d[1]);
        o[0] = v_fma(point, odd, even);
        o[1] = v_fnma(point, odd, even);
    }
}

/* The 1-D transforms of the weights of F(2, 3): G and G'. */
V_INLINE void FC_NAME(line2)(enum fc_transform kind, const v_t d[], v_t o[])
{
    const v_t half = K(0.5);
    if (kind == WEIGHTS) {
        const v_t even = v_mul(half, v_add(d[0], d[2])), odd = v_mul(half, d[1]);
        o[0] = v_sub(v_zero(), d[0]);
        o[1] = v_add(even, odd);
        o[2] = v_sub(even, odd);
        o[3] = d[2];
    } else {
        const v_t even = v_mul(half, v_add(d[1], d[2])), odd = v_mul(half, v_sub(d[1], d[2]));
        o[0] = v_sub(even, d[0]);
        o[1] = odd;
        o[2] = v_add(even, d[3]);
    }
}

/* Those of F(4, 3). */
V_INLINE void FC_NAME(line4)(enum fc_transform kind, const v_t d[], v_t o[])
{
    if (kind == WEIGHTS) {
        const v_t even_p = v_mul(K(F_P), v_fma(K(P2), d[2], d[0])), odd_p = v_mul(K(F_P * P1), d[1]);
        const v_t even_q = v_mul(K(F_Q), v_fma(K(Q2), d[2], d[0])), odd_q = v_mul(K(F_Q * Q1), d[1]);
        o[0] = v_mul(K(F_0), d[0]);
        o[1] = v_add(even_p, odd_p);
        o[2] = v_sub(even_p, odd_p);
        o[3] = v_add(even_q, odd_q);
        o[4] = v_sub(even_q, odd_q);
        o[5] = d[2];
    } else {
        const v_t sum_p = v_mul(K(F_P), v_add(d[1], d[2])), sum_q = v_mul(K(F_Q), v_add(d[3], d[4]));
        const v_t difference_p = v_mul(K(F_P * P1), v_sub(d[1], d[2]));
        o[0] = v_fma(K(F_0), d[0], v_add(sum_p, sum_q));
        o[1] = v_fma(K(F_Q * Q1), v_sub(d[3], d[4]), difference_p);
        o[2] = v_add(d[5], v_fma(K(Q2), sum_q, v_mul(K(P2), sum_p)));
    }
}

V_INLINE int FC_NAME(pair_first)(const int pair) { return pair ? 2 * pair - 1 : 0; }
V_INLINE int FC_NAME(pair_last)(const int m, const int pair) { return pair ? 2 * pair : m + 1; }

/* Column j of a tile: the two elements of a pair, from rows of pixels `row` apart. */
V_INLINE void FC_NAME(input_column)(const int m, const int pair, const real *from, ptrdiff_t row, v_t half[2][6], const int j)
{
    v_t d[6], o[2];
    UNROLL for (int i = 0; i < m + 2; i++, from += row) d[i] = v_load(from + j * FC_BLOCK);
    FC_NAME(input_pair)(m, pair, d, o);
    UNROLL for (int i = 0; i < 2; i++) half[i][j] = o[i];
}

/* Two rows of the transformed tiles, for all tiles: that many vectors stay in registers, and the two columns a tile shares
 * with the next one are transformed once. Pointers step from row to row and from element to element: multiples of the
 * strides, each in a register of its own, would be more than there are. */
V_INLINE void FC_NAME(input_rows)(const struct fc_winograd *w, const int m, const int pair, ptrdiff_t lane)
{
    const int a = m + 2;
    const real *from = (const real *)w->from + lane;
    real *first = (real *)w->to + lane + FC_NAME(pair_first)(pair) * a * w->element;
    real *last = (real *)w->to + lane + FC_NAME(pair_last)(m, pair) * a * w->element;
    const ptrdiff_t row = w->row, element = w->element;
    v_t half[2][6];
    UNROLL for (int j = 0; j < 2; j++) FC_NAME(input_column)(m, pair, from, row, half, j);
    for (ptrdiff_t t = 0; t < w->count; t++, from += m * FC_BLOCK, first += FC_BLOCK, last += FC_BLOCK) {
        UNROLL for (int j = 2; j < a; j++) FC_NAME(input_column)(m, pair, from, row, half, j);
        UNROLL for (int i = 0; i < 2; i++) {
            v_t o[6], both[2];
            UNROLL for (int p = 0; p < a / 2; p++) {
                FC_NAME(input_pair)(m, p, half[i], both);
                o[FC_NAME(pair_first)(p)] = both[0];
                o[FC_NAME(pair_last)(m, p)] = both[1];
            }
            real *to = i ? last : first;
            UNROLL for (int j = 0; j < a; j++, to += element) v_store(to, o[j]);
            half[i][0] = half[i][m];
            half[i][1] = half[i][m + 1];
        }
    }
}

V_INLINE void FC_NAME(winograd_input)(const struct fc_winograd *w, const int m)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        UNROLL for (int pair = 0; pair < m / 2 + 1; pair++) FC_NAME(input_rows)(w, m, pair, lane);
    }
}

/* Two rows of a tile's outputs. 0 * y is zero for the finite y alone: one sum of them, `doubt`, tells whether all are. */
V_INLINE v_t FC_NAME(output_rows)(const struct fc_winograd *w, const int m, const int pair, const real *from, real *to, v_t bias,
                                  ptrdiff_t height, ptrdiff_t width, v_t doubt)
{
    const int a = m + 2;
    v_t half[2][6], d[6], o[2];
    UNROLL for (int j = 0; j < a; j++) {
        const real *at = from + j * w->element;
        UNROLL for (int i = 0; i < a; i++, at += a * w->element) d[i] = v_load(at);
        FC_NAME(output_pair)(m, pair, d, o);
        UNROLL for (int i = 0; i < 2; i++) half[i][j] = o[i];
    }
    UNROLL for (int i = 0; i < 2; i++) {
        const int row = pair + i * m / 2;
        UNROLL for (int p = 0; p < m / 2; p++) {
            FC_NAME(output_pair)(m, p, half[i], o);
            UNROLL for (int j = 0; j < 2; j++) {
                const v_t y = v_add(o[j], bias);
                const int column = p + j * m / 2;
                doubt = v_fma(y, v_zero(), doubt);
                if (row < height && column < width) v_store(to + row * w->row + column * FC_BLOCK, y);
            }
        }
    }
    return doubt;
}

V_INLINE int FC_NAME(winograd_output)(const struct fc_winograd *w, const void *bias, const int m)
{
    v_t doubt = v_zero();
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        const v_t b = v_load((const real *)bias + lane);
        const real *from = (const real *)w->from + lane;
        real *to = (real *)w->to + lane;
        const ptrdiff_t whole = w->height < m ? 0 : FC_NAME(smaller)(w->count, w->width / m);
        UNROLL for (int pair = 0; pair < m / 2; pair++) {
            ptrdiff_t t = 0;
            for (; t < whole; t++)
                doubt = FC_NAME(output_rows)(w, m, pair, from + t * FC_BLOCK, to + t * m * FC_BLOCK, b, m, m, doubt);
            for (; t < w->count; t++)
                doubt = FC_NAME(output_rows)(w, m, pair, from + t * FC_BLOCK, to + t * m * FC_BLOCK, b, w->height, w->width - t * m, doubt);
        }
    }
    return v_finite(doubt);
}

/* One tile, two rows of elements at a time; pixels that do not exist count as zero. */
V_INLINE void FC_NAME(gradient_tile)(const struct fc_winograd *w, const int m, const real *from, real *to, ptrdiff_t height, ptrdiff_t width)
{
    const int a = m + 2;
    const ptrdiff_t element = w->element;
    UNROLL for (int pair = 0; pair < a / 2; pair++) {
        v_t half[2][6], d[6], o[6], both[2];
        UNROLL for (int j = 0; j < m; j++) {
            UNROLL for (int i = 0; i < m; i++) d[i] = i < height && j < width ? v_load(from + i * w->row + j * FC_BLOCK) : v_zero();
            FC_NAME(gradient_pair)(m, pair, d, both);
            UNROLL for (int i = 0; i < 2; i++) half[i][j] = both[i];
        }
        UNROLL for (int i = 0; i < 2; i++) {
            UNROLL for (int p = 0; p < a / 2; p++) {
                FC_NAME(gradient_pair)(m, p, half[i], both);
                o[FC_NAME(pair_first)(p)] = both[0];
                o[FC_NAME(pair_last)(m, p)] = both[1];
            }
            real *line = to + (i ? FC_NAME(pair_last)(m, pair) : FC_NAME(pair_first)(pair)) * a * element;
            UNROLL for (int j = 0; j < a; j++, line += element) v_store(line, o[j]);
        }
    }
}

V_INLINE void FC_NAME(winograd_gradient)(const struct fc_winograd *w, const int m)
{
    for (ptrdiff_t lane = 0; lane < w->lanes; lane += VL) {
        const real *from = (const real *)w->from + lane;
        real *to = (real *)w->to + lane;
        const ptrdiff_t whole = w->height < m ? 0 : FC_NAME(smaller)(w->count, w->width / m);
        ptrdiff_t t = 0;
        for (; t < whole; t++) FC_NAME(gradient_tile)(w, m, from + t * m * FC_BLOCK, to + t * FC_BLOCK, m, m);
        for (; t < w->count; t++)
            FC_NAME(gradient_tile)(w, m, from + t * m * FC_BLOCK, to + t * FC_BLOCK, w->height, w->width - t * m);
    }
}

/* 3 x 3 weights, or a x a elements, of `lanes` lanes, `step` apart -> the other. */
V_INLINE void FC_NAME(winograd_square)(const real *from, ptrdiff_t step, real *to, ptrdiff_t to_step, int64_t lanes,
                                       const int m, enum fc_transform kind)
{
    const int a = m + 2, n_in = kind == WEIGHTS ? 3 : a, n_out = kind == WEIGHTS ? a : 3;
    for (ptrdiff_t lane = 0; lane < lanes; lane += VL) {
        v_t half[6][6], d[6], o[6];
        UNROLL for (int j = 0; j < n_in; j++) {
            UNROLL for (int i = 0; i < n_in; i++) d[i] = v_load(from + lane + (i * n_in + j) * step);
            m == 2 ? FC_NAME(line2)(kind, d, o) : FC_NAME(line4)(kind, d, o);
            UNROLL for (int i = 0; i < n_out; i++) half[i][j] = o[i];
        }
        UNROLL for (int i = 0; i < n_out; i++) {
            m == 2 ? FC_NAME(line2)(kind, half[i], o) : FC_NAME(line4)(kind, half[i], o);
            UNROLL for (int j = 0; j < n_out; j++) v_store(to + lane + (i * n_out + j) * to_step, o[j]);
        }
    }
}

static int FC_NAME(finite)(const void *x, int64_t n)
{
    v_t doubt = v_zero();
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const v_t a = v_load((const real *)x + i);
        doubt = v_add(doubt, v_sub(a, a));
    }
    return v_finite(doubt);
}

/* ---- Repair: the plain sum for a tile in which Winograd's intermediate values were not finite ------------------*/

/* Whether one of the lane's outputs is infinite or not a number. */
static int FC_NAME(spoilt)(const struct fc_repair *r, int64_t lane)
{
    for (int64_t i = 0; i < r->height; i++) {
        for (int64_t j = 0; j < r->width; j++) {
            const real y = ((const real *)r->y)[i * r->y_row + j * FC_BLOCK + lane];
            if (!(y - y == 0)) return 1;
        }
    }
    return 0;
}

/* The (m + 2) x (m + 2) inputs of one depth. */
static void FC_NAME(patch)(const struct fc_repair *r, int64_t depth, int m, real patch[6][6])
{
    for (int64_t i = 0; i < m + 2; i++) {
        for (int64_t j = 0; j < m + 2; j++) {
            const int64_t h = r->row[i], w = r->column[j];
            const int exists = h >= 0 && w >= 0;
            patch[i][j] = exists ? ((const real *)r->x)[depth / FC_BLOCK * r->x_block + depth % FC_BLOCK * r->x_depth + h * r->x_row + w * r->x_column] : 0;
        }
    }
}

static void FC_NAME(repair)(const struct fc_repair *r, int m)
{
    int64_t spoilt[FC_BLOCK], count = 0;
    real sum[FC_BLOCK][4][4], patch[6][6];
    for (int64_t lane = 0; lane < r->lanes; lane++) {
        if (!FC_NAME(spoilt)(r, lane)) continue;
        for (int i = 0; i < 16; i++) sum[count][i / 4][i % 4] = ((const real *)r->bias)[lane];
        spoilt[count++] = lane;
    }
    for (int64_t depth = 0; depth < r->depths && count; depth++) {
        FC_NAME(patch)(r, depth, m, patch);
        for (int64_t k = 0; k < count; k++) {
            const real *w = (const real *)r->w + spoilt[k] * r->w_lane + depth * r->w_depth;
            for (int tap = 0; tap < 9; tap++)
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < m; j++)
                        sum[k][i][j] += patch[i + tap / 3][j + tap % 3] * w[tap / 3 * r->w_row + tap % 3 * r->w_column];
        }
    }
    for (int64_t k = 0; k < count; k++)
        for (int64_t i = 0; i < r->height; i++)
            for (int64_t j = 0; j < r->width; j++)
                ((real *)r->y)[i * r->y_row + j * FC_BLOCK + spoilt[k]] = sum[k][i][j];
}

#define FC_WINOGRAD(m)                                                                                               \
    static void FC_NAME(winograd_input_##m)(const struct fc_winograd *w) { FC_NAME(winograd_input)(w, m); }           \
    static int FC_NAME(winograd_output_##m)(const struct fc_winograd *w, const void *bias)                            \
    {                                                                                                                \
        return FC_NAME(winograd_output)(w, bias, m);                                                                   \
    }                                                                                                                \
    static void FC_NAME(winograd_gradient_##m)(const struct fc_winograd *w) { FC_NAME(winograd_gradient)(w, m); }      \
    static void FC_NAME(winograd_weights_##m)(const void *w, ptrdiff_t tap, void *u, ptrdiff_t element, int64_t lanes) \
    {                                                                                                                \
        FC_NAME(winograd_square)(w, tap, u, element, lanes, m, WEIGHTS);                                               \
    }                                                                                                                \
    static void FC_NAME(winograd_weights_back_##m)(const void *u, ptrdiff_t element, void *w, ptrdiff_t tap, int64_t lanes) \
    {                                                                                                                \
        FC_NAME(winograd_square)(u, element, w, tap, lanes, m, WEIGHTS_BACK);                                          \
    }
FC_WINOGRAD(2)
FC_WINOGRAD(4)
#undef FC_WINOGRAD
#undef K
