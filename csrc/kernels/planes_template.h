/* planes_template.h - pooling of planes whose columns are adjacent in memory (NCHW), VL columns at a time.
 *
 *     forward     y[o][j] = max or sum over rows r, columns t of x[o*sh - ph + r][j*s - pw + t], clipped to x
 *     backward    dx[h][i] = sum of dy[o][j] / divisor, or of those dy[o][j] whose maximum was at [h][i]
 *
 * for windows of KW = 2 or 3 columns, s = 1 or 2 apart, constants of each instance. With s = 2 a vector of outputs
 * reads two vectors, of which it takes the even and the odd elements; backward zips such halves together again.
 * What lies beside the plane is masked out and counts as -infinity or 0, so that edges cost what the middle costs.
 *
 * Every order is that of pool_template.h, and with it every bit: the columns of a row first, then row after row. A
 * maximum is exact whatever the order, and "the first of equals" is that of the first row that has one. Rows in
 * which a NaN is met are computed once more, element by element.
 *
 * The place of a maximum is r*weight + t, kept as an element's value: exact below 2^24. With the weight KW it is the
 * code of the tap, with the width of x the distance of two positions.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* ---- Forward ------------------------------------------------------------------------------------------------------*/

/* Where the loads of VL outputs lie in a row: `start` is the first window's first column. With s = 1 one load for each
 * tap; with s = 2 two for the taps 0 and 1, and two for tap 2. */
struct FC_NAME(columns) {
    ptrdiff_t start;
    v_mask exists[4];
};

V_INLINE ptrdiff_t FC_NAME(load_at)(int i, const int s) { return s == 1 ? i : i % 2 * VL + i / 2 * 2; }
V_INLINE int FC_NAME(load_count)(const int kw, const int s) { return s == 1 ? kw : kw == 2 ? 2 : 4; }

V_INLINE struct FC_NAME(columns) FC_NAME(columns_of)(const struct fc_planes *w, ptrdiff_t j, const int kw, const int s)
{
    struct FC_NAME(columns) c = { .start = j * s - w->pad[1] };
    UNROLL for (int i = 0; i < 4; i++) {
        const ptrdiff_t at = c.start + FC_NAME(load_at)(i, s);
        c.exists[i] = i < FC_NAME(load_count)(kw, s) ? v_span(-at, w->width - at) : v_none();
    }
    return c;
}

/* The taps of one row for VL outputs; returns where a NaN is among them. */
V_INLINE v_mask FC_NAME(row_taps)(const real *row, const struct FC_NAME(columns) *c, v_t outside, v_t *tap, const int kw,
                                  const int s, const int clipped)
{
    v_t load[4];
    UNROLL for (int i = 0; i < FC_NAME(load_count)(kw, s); i++) {
        const real *from = row + c->start + FC_NAME(load_at)(i, s);
        load[i] = clipped ? v_load_if(from, c->exists[i], outside) : v_load(from);
    }
    if (s == 1) {
        UNROLL for (int t = 0; t < kw; t++) tap[t] = load[t];
        return v_unordered(load[0], load[kw - 1]);
    }
    tap[0] = v_even(load[0], load[1]);
    tap[1] = v_odd(load[0], load[1]);
    if (kw == 2) return v_unordered(load[0], load[1]);
    tap[2] = v_even(load[2], load[3]);
    return v_either(v_unordered(load[0], load[1]), v_unordered(tap[2], tap[2]));
}

/* The rows of a window that exist: from `first` of the window, which is `row` of x, `count` of them. */
struct FC_NAME(rows) {
    ptrdiff_t row, first, count;
};

V_INLINE struct FC_NAME(rows) FC_NAME(rows_of)(const struct fc_planes *w, ptrdiff_t o)
{
    const ptrdiff_t start = o * w->stride[0] - w->pad[0], first = start < 0 ? -start : 0;
    const ptrdiff_t left = w->height - start, end = left < w->kernel[0] ? left : w->kernel[0];
    return (struct FC_NAME(rows)){ start + first, first, end - first };
}

V_INLINE v_mask FC_NAME(max_columns)(const struct fc_planes *w, const real *x, const struct FC_NAME(rows) *rows,
                                     const struct FC_NAME(columns) *c, v_t skipped, v_t *value, v_t *place, const int kw,
                                     const int s, const int clipped, const int placed)
{
    const v_t outside = v_set1((real)-__builtin_inf());
    v_t best = outside, at = v_zero(), tap[3];
    v_mask odd = v_none();
    real before = (real)(rows->first * w->weight);
    for (ptrdiff_t r = 0; r < rows->count; r++, x += w->x_row, before += (real)w->weight) {
        odd = v_either(odd, FC_NAME(row_taps)(x, c, outside, tap, kw, s, clipped));
        v_t of_row = tap[0], t_of_row = skipped;
        UNROLL for (int t = 1; t < kw; t++) {
            if (placed) t_of_row = v_select(v_greater(tap[t], of_row), v_set1((real)t), t_of_row);
            of_row = v_max(tap[t], of_row);
        }
        if (placed) {
            t_of_row = v_add(t_of_row, v_set1(before));
            at = r ? v_select(v_greater(of_row, best), t_of_row, at) : t_of_row;
        }
        best = r ? v_max(of_row, best) : of_row;
    }
    *value = best;
    *place = at;
    return odd;
}

/* One row of maxima, one by one: NaN beats everything, the last one all others. */
static void FC_NAME(max_row_with_nan)(const struct fc_planes *w, const real *x, const struct FC_NAME(rows) *rows, real *y, real *place)
{
    for (ptrdiff_t j = 0; j < w->columns; j++) {
        const ptrdiff_t start = j * w->stride[1] - w->pad[1], skip = start < 0 ? -start : 0;
        const ptrdiff_t left = w->width - start, end = left < w->kernel[1] ? left : w->kernel[1];
        real best = (real)-__builtin_inf();
        ptrdiff_t at = rows->first * w->weight + skip;
        for (ptrdiff_t r = 0; r < rows->count; r++) {
            for (ptrdiff_t t = skip; t < end; t++) {
                const real value = x[r * w->x_row + start + t];
                if (!(value > best) && value == value) continue;
                best = value;
                at = (rows->first + r) * w->weight + t;
            }
        }
        y[j] = best;
        if (place) place[j] = (real)at;
    }
}

/* The places of a row as codes of taps, or as positions in the plane. */
V_INLINE void FC_NAME(write_places)(const struct fc_planes *w, ptrdiff_t plane, ptrdiff_t o, const real *restrict place)
{
    const ptrdiff_t to = plane * w->index_plane + o * w->index_row, count = w->columns, step = w->stride[1];
    if (w->code) {
        uint8_t *restrict code = w->code + to;
        for (ptrdiff_t j = 0; j < count; j++) code[j] = (uint8_t)(int32_t)place[j];
    } else {
        int64_t *restrict position = w->position + to;
        const int64_t first = (o * w->stride[0] - w->pad[0]) * w->width - w->pad[1];
        for (ptrdiff_t j = 0; j < count; j++) position[j] = first + j * step + (int32_t)place[j];
    }
}

/* Whether all loads of the outputs from j on lie in the row. */
V_INLINE int FC_NAME(within)(const struct fc_planes *w, ptrdiff_t j, const int kw, const int s)
{
    const ptrdiff_t start = j * s - w->pad[1];
    return start >= 0 && j + VL <= w->columns && start + FC_NAME(load_at)(FC_NAME(load_count)(kw, s) - 1, s) + VL <= w->width;
}

/* The masks of the outputs from j on: those of the first and last vector are at hand, seldom are others needed. */
V_INLINE const struct FC_NAME(columns) *FC_NAME(edge_of)(const struct fc_planes *w, ptrdiff_t j, const struct FC_NAME(columns) *first,
                                                         const struct FC_NAME(columns) *last, struct FC_NAME(columns) *other,
                                                         const int kw, const int s)
{
    if (j == 0) return first;
    if (j + VL >= w->columns) return last;
    *other = FC_NAME(columns_of)(w, j, kw, s);
    return other;
}

V_INLINE void FC_NAME(max_planes)(const struct fc_planes *w, const int kw, const int s, const int placed)
{
    real left[VL] = { (real)w->pad[1] }, *const place = w->scratch;    /* pad <= 1: of the first output only */
    const struct FC_NAME(columns) first = FC_NAME(columns_of)(w, 0, kw, s);
    const struct FC_NAME(columns) last = FC_NAME(columns_of)(w, (w->columns - 1) / VL * VL, kw, s);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        for (ptrdiff_t o = w->first; o < w->end; o++) {
            const struct FC_NAME(rows) rows = FC_NAME(rows_of)(w, o);
            const real *x = (const real *)w->x + plane * w->x_plane + rows.row * w->x_row;
            real *y = (real *)w->y + plane * w->y_plane + o * w->y_row;
            v_mask odd = v_none();
            for (ptrdiff_t j = 0; j < w->columns; j += VL) {
                v_t value, at;
                v_mask nan;
                struct FC_NAME(columns) c = { .start = j * s - w->pad[1] };
                if (FC_NAME(within)(w, j, kw, s)) {
                    nan = FC_NAME(max_columns)(w, x, &rows, &c, v_zero(), &value, &at, kw, s, 0, placed);
                } else {
                    const struct FC_NAME(columns) *edge = FC_NAME(edge_of)(w, j, &first, &last, &c, kw, s);
                    nan = FC_NAME(max_columns)(w, x, &rows, edge, j ? v_zero() : v_load(left), &value, &at, kw, s, 1, placed);
                }
                odd = v_either(odd, nan);
                if (j + VL <= w->columns) v_store(y + j, value);
                else v_store_n(y + j, value, w->columns - j);
                if (placed) v_store(place + j, at);
            }
            if (v_any(odd)) FC_NAME(max_row_with_nan)(w, x, &rows, y, placed ? place : NULL);
            if (placed) FC_NAME(write_places)(w, plane, o, place);
        }
    }
}

/* A sum becomes an average: by the divisor, or by the taps of its row and its column that count. */
V_INLINE v_t FC_NAME(averaged)(const struct fc_planes *w, v_t sum, ptrdiff_t row, ptrdiff_t column)
{
    if (w->factor != 0) return v_mul(sum, v_set1((real)w->factor));
    if (w->divisor != 0) return v_div(sum, v_set1((real)w->divisor));
    return v_div(sum, v_mul(v_set1(((const real *)w->row_taps)[row]), v_load((const real *)w->column_taps + column)));
}

V_INLINE v_t FC_NAME(sum_columns)(const struct fc_planes *w, const real *x, ptrdiff_t rows, const struct FC_NAME(columns) *c,
                                  const int kw, const int s, const int clipped)
{
    v_t sum = v_zero(), tap[3];
    for (ptrdiff_t r = 0; r < rows; r++, x += w->x_row) {
        (void)FC_NAME(row_taps)(x, c, v_zero(), tap, kw, s, clipped);
        v_t of_row = v_zero();
        UNROLL for (int t = 0; t < kw; t++) of_row = v_add(of_row, tap[t]);
        sum = v_add(sum, of_row);
    }
    return sum;
}

V_INLINE void FC_NAME(average_planes)(const struct fc_planes *w, const int kw, const int s)
{
    const struct FC_NAME(columns) first = FC_NAME(columns_of)(w, 0, kw, s);
    const struct FC_NAME(columns) last = FC_NAME(columns_of)(w, (w->columns - 1) / VL * VL, kw, s);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        for (ptrdiff_t o = w->first; o < w->end; o++) {
            const struct FC_NAME(rows) rows = FC_NAME(rows_of)(w, o);
            const real *x = (const real *)w->x + plane * w->x_plane + rows.row * w->x_row;
            real *y = (real *)w->y + plane * w->y_plane + o * w->y_row;
            for (ptrdiff_t j = 0; j < w->columns; j += VL) {
                v_t sum;
                struct FC_NAME(columns) c = { .start = j * s - w->pad[1] };
                if (FC_NAME(within)(w, j, kw, s)) sum = FC_NAME(sum_columns)(w, x, rows.count, &c, kw, s, 0);
                else sum = FC_NAME(sum_columns)(w, x, rows.count, FC_NAME(edge_of)(w, j, &first, &last, &c, kw, s), kw, s, 1);
                sum = FC_NAME(averaged)(w, sum, o, j);
                if (j + VL <= w->columns) v_store(y + j, sum);
                else v_store_n(y + j, sum, w->columns - j);
            }
        }
    }
}

static void FC_NAME(planes_max)(const struct fc_planes *w)
{
    const int wide = w->kernel[1] == 3, placed = w->code || w->position;
    if (w->stride[1] == 1) {
        if (placed) wide ? FC_NAME(max_planes)(w, 3, 1, 1) : FC_NAME(max_planes)(w, 2, 1, 1);
        else wide ? FC_NAME(max_planes)(w, 3, 1, 0) : FC_NAME(max_planes)(w, 2, 1, 0);
    } else {
        if (placed) wide ? FC_NAME(max_planes)(w, 3, 2, 1) : FC_NAME(max_planes)(w, 2, 2, 1);
        else wide ? FC_NAME(max_planes)(w, 3, 2, 0) : FC_NAME(max_planes)(w, 2, 2, 0);
    }
}

static void FC_NAME(planes_average)(const struct fc_planes *w)
{
    const int wide = w->kernel[1] == 3;
    if (w->stride[1] == 1) wide ? FC_NAME(average_planes)(w, 3, 1) : FC_NAME(average_planes)(w, 2, 1);
    else wide ? FC_NAME(average_planes)(w, 3, 2) : FC_NAME(average_planes)(w, 2, 2);
}

/* ---- Backward -----------------------------------------------------------------------------------------------------
 * Rows of dy are needed by up to three rows of dx. They wait in a ring of four, as shares of their windows or with the
 * codes of their maxima, with zeros (codes of no tap) on both sides: the windows that miss a column. */

enum { FC_NAME(RING) = 4, FC_NAME(BESIDE) = 5 * VL + 8 };    /* elements beside a row: VL before it, the others after */

struct FC_NAME(ring) {
    real *share[FC_NAME(RING)], *code[FC_NAME(RING)];
};

V_INLINE struct FC_NAME(ring) FC_NAME(ring_of)(const struct fc_planes *w)
{
    struct FC_NAME(ring) ring;
    const ptrdiff_t length = w->columns + FC_NAME(BESIDE);
    real *memory = w->scratch;
    for (int i = 0; i < FC_NAME(RING); i++) {
        ring.share[i] = memory + i * length + VL;
        ring.code[i] = memory + (FC_NAME(RING) + i) * length + VL;
    }
    for (ptrdiff_t i = 0; i < FC_NAME(RING) * length; i++) memory[i] = 0;
    if (w->code)
        for (ptrdiff_t i = 0; i < FC_NAME(RING) * length; i++) memory[FC_NAME(RING) * length + i] = -1;
    return ring;
}

V_INLINE void FC_NAME(bring_row)(const struct fc_planes *w, const struct FC_NAME(ring) *ring, ptrdiff_t plane, ptrdiff_t o, const int coded)
{
    const real *restrict y = (const real *)w->y + plane * w->y_plane + o * w->y_row;
    real *restrict share = ring->share[o % FC_NAME(RING)];
    for (ptrdiff_t j = 0; j < w->columns; j += VL) {
        const ptrdiff_t left = w->columns - j;
        const v_t value = left < VL ? v_load_n(y + j, left) : v_load(y + j), part = coded ? value : FC_NAME(averaged)(w, value, o, j);
        if (left < VL) v_store_n(share + j, part, left);
        else v_store(share + j, part);
    }
    if (!coded) return;
    const uint8_t *restrict code = w->code + plane * w->index_plane + o * w->index_row;
    real *restrict to = ring->code[o % FC_NAME(RING)];
    for (ptrdiff_t j = 0; j < w->columns; j++) to[j] = (real)(int32_t)code[j];
}

/* dy of VL windows from `j` on, or, of those whose maximum had the code, and otherwise 0. */
V_INLINE v_t FC_NAME(pick)(const struct FC_NAME(ring) *ring, ptrdiff_t o, ptrdiff_t j, v_t code, const int coded)
{
    const v_t share = v_load(ring->share[o % FC_NAME(RING)] + j);
    return coded ? v_select(v_equal(v_load(ring->code[o % FC_NAME(RING)] + j), code), share, v_zero()) : share;
}

/* Adds what row o gives to VL columns of dx: column c is tap t of window (c + pad - t) / s. `phase` is (c + pad) % s of
 * all of them, j = (c + pad) / s of the first; windows in their order. */
V_INLINE v_t FC_NAME(add_row)(const struct FC_NAME(ring) *ring, ptrdiff_t o, ptrdiff_t j, const v_t *code, v_t sum, const int phase,
                              const int kw, const int s, const int coded)
{
    v_t of_row = coded ? sum : v_zero();
    UNROLL for (int t = kw - 1; t >= 0; t--)
        if (t % s == phase) of_row = v_add(of_row, FC_NAME(pick)(ring, o, j - t / s, code[t], coded));
    return coded ? of_row : v_add(sum, of_row);
}

V_INLINE void FC_NAME(spread_row)(const struct fc_planes *w, const struct FC_NAME(ring) *ring, ptrdiff_t h, ptrdiff_t from, ptrdiff_t to,
                                  real *x, const int kw, const int s, const int coded)
{
    const ptrdiff_t pad = w->pad[1], width = w->width;
    for (ptrdiff_t i = 0; i < width; i += s * VL) {
        v_t sum[2] = { v_zero(), v_zero() };    /* of columns i, i + s, ... and of i + 1, i + 1 + s, ... */
        for (ptrdiff_t o = from; o < to; o++) {
            const ptrdiff_t first = (h + w->pad[0] - o * w->stride[0]) * kw;
            v_t code[3];
            UNROLL for (int t = 0; t < kw; t++) code[t] = v_set1((real)(first + t));
            if (s == 1) {
                sum[0] = FC_NAME(add_row)(ring, o, i + pad, code, sum[0], 0, kw, s, coded);
            } else if (pad == 0) {
                sum[0] = FC_NAME(add_row)(ring, o, i / 2, code, sum[0], 0, kw, s, coded);
                sum[1] = FC_NAME(add_row)(ring, o, i / 2, code, sum[1], 1, kw, s, coded);
            } else {
                sum[0] = FC_NAME(add_row)(ring, o, i / 2, code, sum[0], 1, kw, s, coded);
                sum[1] = FC_NAME(add_row)(ring, o, i / 2 + 1, code, sum[1], 0, kw, s, coded);
            }
        }
        const v_t half[2] = { s == 1 ? sum[0] : v_zip_lo(sum[0], sum[1]), v_zip_hi(sum[0], sum[1]) };
        UNROLL for (int v = 0; v < s; v++) {
            const ptrdiff_t left = width - i - v * VL;
            if (left >= VL) v_store(x + i + v * VL, half[v]);
            else if (left > 0) v_store_n(x + i + v * VL, half[v], left);
        }
    }
}

V_INLINE void FC_NAME(spread_planes)(const struct fc_planes *w, const int kw, const int s, const int coded)
{
    const struct FC_NAME(ring) ring = FC_NAME(ring_of)(w);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        ptrdiff_t brought = 0;
        for (ptrdiff_t h = w->first; h < w->end; h++) {
            const ptrdiff_t at = h + w->pad[0], low = at - w->kernel[0] + w->stride[0];
            const ptrdiff_t from = low < 0 ? 0 : low / w->stride[0], last = at / w->stride[0] + 1, to = last < w->rows ? last : w->rows;
            if (brought < from) brought = from;
            for (; brought < to; brought++) FC_NAME(bring_row)(w, &ring, plane, brought, coded);
            FC_NAME(spread_row)(w, &ring, h, from, to, (real *)w->x + plane * w->x_plane + h * w->x_row, kw, s, coded);
        }
    }
}

static void FC_NAME(planes_spread)(const struct fc_planes *w)
{
    const int wide = w->kernel[1] == 3, coded = w->code != NULL;
    if (w->stride[1] == 1) {
        if (coded) wide ? FC_NAME(spread_planes)(w, 3, 1, 1) : FC_NAME(spread_planes)(w, 2, 1, 1);
        else wide ? FC_NAME(spread_planes)(w, 3, 1, 0) : FC_NAME(spread_planes)(w, 2, 1, 0);
    } else {
        if (coded) wide ? FC_NAME(spread_planes)(w, 3, 2, 1) : FC_NAME(spread_planes)(w, 2, 2, 1);
        else wide ? FC_NAME(spread_planes)(w, 3, 2, 0) : FC_NAME(spread_planes)(w, 2, 2, 0);
    }
}

/* ---- Windows that are the whole plane ------------------------------------------------------------------------------
 * `height` is 1, `width` the elements of a plane. Element i goes into partial sum i % VL; then sum l and l + VL/2 are
 * added, l and l + VL/4, and so on. pool_total in pool_template.h does the same for channels that are adjacent. */

/* Partial sums of VL planes -> the sums. Zipping rows i and i + n/2 brings the halves of both side by side. */
V_INLINE v_t FC_NAME(fold)(v_t rows[VL])
{
    UNROLL for (int n = VL / 2; n > 0; n /= 2)
        UNROLL for (int i = 0; i < VL / 2; i++)
            if (i < n) rows[i] = v_add(v_zip_lo(rows[i], rows[i + n]), v_zip_hi(rows[i], rows[i + n]));
    return rows[0];
}

static void FC_NAME(planes_total)(const struct fc_planes *w)
{
    const ptrdiff_t whole = w->width / VL * VL, rest = w->width - whole;
    for (ptrdiff_t plane = 0; plane < w->planes; plane += VL) {
        const ptrdiff_t planes = FC_NAME(smaller)(VL, w->planes - plane);
        v_t sum[VL];
        UNROLL for (int i = 0; i < VL; i++) {
            const real *x = (const real *)w->x + (plane + (i < planes ? i : 0)) * w->x_plane;
            sum[i] = v_zero();
            for (ptrdiff_t p = 0; p < whole; p += VL) sum[i] = v_add(sum[i], v_load(x + p));
            if (rest) sum[i] = v_add(sum[i], v_load_n(x + whole, rest));
        }
        real total[VL], *y = (real *)w->y + plane * w->y_plane;
        v_store(total, FC_NAME(averaged)(w, FC_NAME(fold)(sum), 0, 0));
        for (ptrdiff_t i = 0; i < planes; i++) y[i * w->y_plane] = total[i];
    }
}

static void FC_NAME(planes_fill)(const struct fc_planes *w)
{
    const ptrdiff_t whole = w->width / VL * VL, rest = w->width - whole;
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        const v_t dy = v_set1(((const real *)w->y)[plane * w->y_plane]), share = v_add(v_zero(), FC_NAME(averaged)(w, dy, 0, 0));
        real *x = (real *)w->x + plane * w->x_plane;
        for (ptrdiff_t p = 0; p < whole; p += VL) v_store(x + p, share);
        if (rest) v_store_n(x + whole, share, rest);
    }
}
