/* planes_template.h - pooling of planes whose columns are adjacent in memory (NCHW), VL columns at a time.
 *
 *     forward     y[o][j] = max or sum over rows r, columns t of x[o*sh - ph + r][j*s - pw + t], clipped to x
 *     backward    dx[h][i] = sum of dy[o][j] / divisor, or of those dy[o][j] whose maximum was at [h][i]: spread_template.h
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
 * tap; with s = 2 two for the taps 0 and 1, and two for tap 2: the second `beside` the first, VL columns on, or, where a
 * row of outputs fills at most half a vector, in the row of the same tap of the next row of outputs. */
struct FC_NAME(columns) {
    ptrdiff_t start, beside;
    v_mask exists[4];
};

V_INLINE ptrdiff_t FC_NAME(load_at)(int i, ptrdiff_t beside, const int s) { return s == 1 ? i : i % 2 * beside + i / 2 * 2; }
V_INLINE int FC_NAME(load_count)(const int kw, const int s) { return s == 1 ? kw : kw == 2 ? 2 : 4; }

V_INLINE struct FC_NAME(columns) FC_NAME(columns_of)(const struct fc_planes *w, ptrdiff_t j, const int kw, const int s, const int paired)
{
    struct FC_NAME(columns) c = { .start = j * s - w->pad[1], .beside = paired ? w->stride[0] * w->x_row : VL };
    UNROLL for (int i = 0; i < 4; i++) {
        const ptrdiff_t at = c.start + FC_NAME(load_at)(i, paired ? 0 : VL, s);
        c.exists[i] = i < FC_NAME(load_count)(kw, s) ? v_span(-at, w->width - at) : v_none();
    }
    return c;
}

/* The taps of one row for VL outputs, with s = 2 not yet joined; returns where a NaN is among them, but for the last
 * column of tap 2 where that is the first one of the next vector. */
V_INLINE v_mask FC_NAME(row_taps)(const real *row, const struct FC_NAME(columns) *c, v_t outside, v_t *tap, const int kw,
                                  const int s, const int clipped)
{
    v_t load[4];
    UNROLL for (int i = 0; i < FC_NAME(load_count)(kw, s); i++) {
        const real *from = row + c->start + FC_NAME(load_at)(i, c->beside, s);
        load[i] = clipped ? v_load_if(from, c->exists[i], outside) : v_load(from);
    }
    if (s == 1) {
        UNROLL for (int t = 0; t < kw; t++) tap[t] = load[t];
        return v_unordered(load[0], load[kw - 1]);
    }
    tap[0] = v_even(load[0], load[1]);
    tap[1] = v_odd(load[0], load[1]);
    if (kw == 3) tap[2] = v_even(load[2], load[3]);
    const v_mask nan = v_unordered(load[0], load[1]);
    return kw == 3 && clipped ? v_either(nan, v_unordered(load[2], load[3])) : nan;
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

/* Whether all loads of the outputs from j on lie in the row, and with two loads for tap 2 a vector follows; see row_taps. */
V_INLINE int FC_NAME(within)(const struct fc_planes *w, ptrdiff_t j, const int kw, const int s)
{
    const ptrdiff_t start = j * s - w->pad[1], last = start + FC_NAME(load_at)(FC_NAME(load_count)(kw, s) - 1, VL, s);
    return start >= 0 && j + VL + (kw == 3 && s == 2) <= w->columns && last + VL <= w->width;
}

/* The masks of the outputs from j on: those of the first and last vector are at hand, seldom are others needed. */
V_INLINE const struct FC_NAME(columns) *FC_NAME(edge_of)(const struct fc_planes *w, ptrdiff_t j, const struct FC_NAME(columns) *edges,
                                                         struct FC_NAME(columns) *other, const int kw, const int s)
{
    if (j == 0) return &edges[0];
    if (j + VL >= w->columns) return &edges[1];
    *other = FC_NAME(columns_of)(w, j, kw, s, 0);
    return other;
}

/* Where windows of neighbouring rows overlap, a group of rows of outputs shares what each row of x gives: it is reduced
 * once instead of up to KW times. */
enum { FC_NAME(MOST_GROUP) = 4 };

V_INLINE int FC_NAME(group)(const int s) { return FC_NAME(MOST_GROUP) / s; }

V_INLINE int FC_NAME(grouped)(const struct fc_planes *w, ptrdiff_t o, const int kw, const int s)
{
    const ptrdiff_t start = o * s - w->pad[0];
    return kw > s && w->stride[0] == s && w->kernel[0] == kw && start >= 0 && o + FC_NAME(group)(s) <= w->end &&
           start + (FC_NAME(group)(s) - 1) * s + kw <= w->height;
}

/* Maxima or sums of a group of rows, VL outputs each, from row x on; of maxima returns where a NaN is. */
V_INLINE v_mask FC_NAME(group_columns)(const struct fc_planes *w, const real *x, const struct FC_NAME(columns) *c, v_t *result,
                                       const int kw, const int s, const int max, const int clipped)
{
    v_t of_row[FC_NAME(MOST_GROUP) + 2], tap[3];
    v_mask odd = v_none();
    UNROLL for (int r = 0; r < (FC_NAME(group)(s) - 1) * s + kw; r++) {
        const v_mask nan = FC_NAME(row_taps)(x + r * w->x_row, c, v_set1(max ? (real)-__builtin_inf() : 0), tap, kw, s, clipped);
        if (max) odd = v_either(odd, nan);
        of_row[r] = max ? tap[0] : v_add(v_zero(), tap[0]);
        UNROLL for (int t = 1; t < kw; t++) of_row[r] = max ? v_max(tap[t], of_row[r]) : v_add(of_row[r], tap[t]);
    }
    UNROLL for (int i = 0; i < FC_NAME(group)(s); i++) {
        result[i] = max ? of_row[i * s] : v_add(v_zero(), of_row[i * s]);
        UNROLL for (int r = 1; r < kw; r++) result[i] = max ? v_max(of_row[i * s + r], result[i]) : v_add(result[i], of_row[i * s + r]);
        if (s == 2) result[i] = v_join(result[i]);
    }
    return odd;
}

/* A group of rows of outputs from o on, into y; returns 0 if a NaN was met. */
V_INLINE int FC_NAME(group_rows)(const struct fc_planes *w, const struct FC_NAME(columns) *edges, const real *x, ptrdiff_t o, real *y,
                                 const int kw, const int s, const int max)
{
    v_mask odd = v_none();
    for (ptrdiff_t j = 0; j < w->columns; j += VL) {
        struct FC_NAME(columns) c = { .start = j * s - w->pad[1], .beside = VL };
        v_t result[FC_NAME(MOST_GROUP)];
        v_mask nan;
        if (FC_NAME(within)(w, j, kw, s)) nan = FC_NAME(group_columns)(w, x, &c, result, kw, s, max, 0);
        else nan = FC_NAME(group_columns)(w, x, FC_NAME(edge_of)(w, j, edges, &c, kw, s), result, kw, s, max, 1);
        odd = v_either(odd, nan);
        UNROLL for (int i = 0; i < FC_NAME(group)(s); i++) {
            const v_t out = max ? result[i] : FC_NAME(averaged)(w, result[i], o + i, j);
            if (j + VL <= w->columns) v_store(y + i * w->y_row + j, out);
            else v_store_n(y + i * w->y_row + j, out, w->columns - j);
        }
    }
    return !v_any(odd);
}

V_INLINE v_mask FC_NAME(max_columns)(const struct fc_planes *w, const real *x, const struct FC_NAME(rows) *rows,
                                     ptrdiff_t count, const struct FC_NAME(columns) *c, v_t skipped, v_t *value, v_t *place,
                                     const int kw, const int s, const int clipped, const int placed)
{
    const v_t outside = v_set1((real)-__builtin_inf());
    v_t best = outside, at = v_zero(), tap[3];
    v_mask odd = v_none();
    real before = (real)(rows->first * w->weight);
    UNROLL_4 for (ptrdiff_t r = 0; r < count; r++, x += w->x_row, before += (real)w->weight) {
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
    *value = s == 1 ? best : v_join(best);
    *place = s == 1 ? at : v_join(at);
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
        for (ptrdiff_t j = 0; j < count; j += VL) v_store_bytes_n(w->code + to + j, v_load(place + j), FC_NAME(smaller)(VL, count - j));
    } else {
        int64_t *restrict position = w->position + to;
        const int64_t first = (o * w->stride[0] - w->pad[0]) * w->width - w->pad[1];
        for (ptrdiff_t j = 0; j < count; j++) position[j] = first + j * step + (int32_t)place[j];
    }
}

/* Taps left out before those of the outputs from j on: pad <= 1, so only of the first output. */
V_INLINE v_t FC_NAME(skipped)(const struct fc_planes *w, ptrdiff_t j)
{
    const real left[VL] = { j ? 0 : (real)w->pad[1] };
    return v_load(left);
}

/* Outputs o, j .. j + VL - 1 of a plane. `count` is rows->count, a constant where it can be. */
V_INLINE v_mask FC_NAME(max_vector)(const struct fc_planes *w, const real *x, const struct FC_NAME(rows) *rows, ptrdiff_t count,
                                    const struct FC_NAME(columns) *edges, ptrdiff_t j, real *y, real *place, const int kw,
                                    const int s, const int placed)
{
    struct FC_NAME(columns) c = { .start = j * s - w->pad[1], .beside = VL };
    v_t value, at;
    v_mask nan;
    if (FC_NAME(within)(w, j, kw, s)) {
        nan = FC_NAME(max_columns)(w, x, rows, count, &c, v_zero(), &value, &at, kw, s, 0, placed);
    } else {
        const struct FC_NAME(columns) *edge = FC_NAME(edge_of)(w, j, edges, &c, kw, s);
        nan = FC_NAME(max_columns)(w, x, rows, count, edge, placed ? FC_NAME(skipped)(w, j) : v_zero(), &value, &at, kw, s, 1, placed);
    }
    if (j + VL <= w->columns) v_store(y + j, value);
    else v_store_n(y + j, value, w->columns - j);
    if (placed) v_store(place + j, at);
    return nan;
}

/* Row o of a plane, with all that can happen. */
V_INLINE void FC_NAME(max_row)(const struct fc_planes *w, const struct FC_NAME(columns) *edges, ptrdiff_t plane, ptrdiff_t o,
                               const int kw, const int s, const int placed)
{
    const struct FC_NAME(rows) rows = FC_NAME(rows_of)(w, o);
    const real *x = (const real *)w->x + plane * w->x_plane + rows.row * w->x_row;
    real *y = (real *)w->y + plane * w->y_plane + o * w->y_row, *place = w->scratch;
    v_mask odd = v_none();
    if (rows.count == kw)
        for (ptrdiff_t j = 0; j < w->columns; j += VL)
            odd = v_either(odd, FC_NAME(max_vector)(w, x, &rows, kw, edges, j, y, place, kw, s, placed));
    else
        for (ptrdiff_t j = 0; j < w->columns; j += VL)
            odd = v_either(odd, FC_NAME(max_vector)(w, x, &rows, rows.count, edges, j, y, place, kw, s, placed));
    if (v_any(odd)) FC_NAME(max_row_with_nan)(w, x, &rows, y, placed ? place : NULL);
    if (placed) FC_NAME(write_places)(w, plane, o, place);
}

/* ---- Two rows of outputs in one vector, each in its half of it */

V_INLINE int FC_NAME(is_paired)(const struct fc_planes *w, const int s) { return s == 2 && w->columns <= VL / 2; }

/* Whether both rows, o and the next, have all the rows of their windows. */
V_INLINE int FC_NAME(pair_exists)(const struct fc_planes *w, ptrdiff_t o, const int kw)
{
    const ptrdiff_t start = o * w->stride[0] - w->pad[0];
    return w->kernel[0] == kw && start >= 0 && o + 2 <= w->end && start + w->stride[0] + kw <= w->height;
}

V_INLINE void FC_NAME(store_pair)(const struct fc_planes *w, real *y, v_t a)
{
    v_store_n(y, a, w->columns);
    v_store_if(y + w->y_row - VL / 2, v_span(VL / 2, VL / 2 + w->columns), a);
}

/* Returns 0 if a NaN was met. */
V_INLINE int FC_NAME(max_pair)(const struct fc_planes *w, const struct FC_NAME(columns) *c, v_t skipped, ptrdiff_t plane, ptrdiff_t o,
                               const int kw, const int placed)
{
    const struct FC_NAME(rows) rows = { .row = o * w->stride[0] - w->pad[0] };
    const real *x = (const real *)w->x + plane * w->x_plane + rows.row * w->x_row;
    v_t value, at;
    if (v_any(FC_NAME(max_columns)(w, x, &rows, kw, c, skipped, &value, &at, kw, 2, 1, placed))) return 0;
    FC_NAME(store_pair)(w, (real *)w->y + plane * w->y_plane + o * w->y_row, value);
    if (placed) {
        real *place = w->scratch;
        v_store(place, at);
        FC_NAME(write_places)(w, plane, o, place);
        FC_NAME(write_places)(w, plane, o + 1, place + VL / 2);
    }
    return 1;
}

V_INLINE void FC_NAME(max_planes)(const struct fc_planes *w, const int kw, const int s, const int placed)
{
    const ptrdiff_t last = (w->columns - 1) / VL * VL;
    const int paired = FC_NAME(is_paired)(w, s);
    const v_t left = FC_NAME(skipped)(w, 0);
    const struct FC_NAME(columns) pair = FC_NAME(columns_of)(w, 0, kw, s, paired);
    const struct FC_NAME(columns) edges[2] = { FC_NAME(columns_of)(w, 0, kw, s, 0), FC_NAME(columns_of)(w, last, kw, s, 0) };
    const int halves = kw == 2 && s == 2 && !paired && FC_NAME(halves)(w);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        const ptrdiff_t room = halves ? FC_NAME(room)(w, plane) : 0, start = plane * w->y_plane + w->first * w->y_row;
        const real *x = (const real *)w->x + plane * w->x_plane + 2 * w->first * w->x_row;
        real *y = (real *)w->y + start;
        uint8_t *code = placed && halves ? w->code + start : NULL;
        ptrdiff_t o = w->first;
        for (; o < room; o++, x += 2 * w->x_row, y += w->columns, code += placed ? w->columns : 0)
            if (v_any(FC_NAME(halve_max)(x, w->x_row, w->columns, y, code, placed))) FC_NAME(max_row)(w, edges, plane, o, kw, s, placed);
        while (o < w->end) {
            const real *rows = (const real *)w->x + plane * w->x_plane + (o * s - w->pad[0]) * w->x_row;
            real *results = (real *)w->y + plane * w->y_plane + o * w->y_row;
            if (paired && FC_NAME(pair_exists)(w, o, kw) && FC_NAME(max_pair)(w, &pair, v_even(left, left), plane, o, kw, placed))
                o += 2;
            else if (!placed && !paired && FC_NAME(grouped)(w, o, kw, s) && FC_NAME(group_rows)(w, edges, rows, o, results, kw, s, 1))
                o += FC_NAME(group)(s);
            else
                FC_NAME(max_row)(w, edges, plane, o++, kw, s, placed);
        }
    }
}

V_INLINE v_t FC_NAME(sum_columns)(const struct fc_planes *w, const real *x, ptrdiff_t rows, const struct FC_NAME(columns) *c,
                                  const int kw, const int s, const int clipped)
{
    v_t sum = v_zero(), tap[3];
    UNROLL_4 for (ptrdiff_t r = 0; r < rows; r++, x += w->x_row) {
        (void)FC_NAME(row_taps)(x, c, v_zero(), tap, kw, s, clipped);
        v_t of_row = v_zero();
        UNROLL for (int t = 0; t < kw; t++) of_row = v_add(of_row, tap[t]);
        sum = v_add(sum, of_row);
    }
    return s == 1 ? sum : v_join(sum);
}

V_INLINE void FC_NAME(average_vector)(const struct fc_planes *w, const real *x, ptrdiff_t count, const struct FC_NAME(columns) *edges,
                                      ptrdiff_t o, ptrdiff_t j, real *y, const int kw, const int s)
{
    struct FC_NAME(columns) c = { .start = j * s - w->pad[1], .beside = VL };
    v_t sum;
    if (FC_NAME(within)(w, j, kw, s)) sum = FC_NAME(sum_columns)(w, x, count, &c, kw, s, 0);
    else sum = FC_NAME(sum_columns)(w, x, count, FC_NAME(edge_of)(w, j, edges, &c, kw, s), kw, s, 1);
    sum = FC_NAME(averaged)(w, sum, o, j);
    if (j + VL <= w->columns) v_store(y + j, sum);
    else v_store_n(y + j, sum, w->columns - j);
}

V_INLINE void FC_NAME(average_pair)(const struct fc_planes *w, const real *x, const struct FC_NAME(columns) *c, real *y, const int kw)
{
    FC_NAME(store_pair)(w, y, FC_NAME(averaged)(w, FC_NAME(sum_columns)(w, x, kw, c, kw, 2, 1), 0, 0));
}

V_INLINE void FC_NAME(average_planes)(const struct fc_planes *w, const int kw, const int s)
{
    const ptrdiff_t last = (w->columns - 1) / VL * VL;
    const int paired = FC_NAME(is_paired)(w, s) && w->divisor != 0;
    const struct FC_NAME(columns) pair = FC_NAME(columns_of)(w, 0, kw, s, paired);
    const struct FC_NAME(columns) edges[2] = { FC_NAME(columns_of)(w, 0, kw, s, 0), FC_NAME(columns_of)(w, last, kw, s, 0) };
    const int halves = kw == 2 && s == 2 && !paired && FC_NAME(halves)(w);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        const ptrdiff_t room = halves ? FC_NAME(room)(w, plane) : 0;
        const real *of_plane = (const real *)w->x + plane * w->x_plane;
        real *y = (real *)w->y + plane * w->y_plane + w->first * w->y_row;
        ptrdiff_t o = w->first;
        for (; o < room; o++, y += w->y_row) FC_NAME(halve_average)(w, of_plane + 2 * o * w->x_row, w->x_row, o, y);
        for (; o < w->end; o++, y += w->y_row) {
            const struct FC_NAME(rows) rows = FC_NAME(rows_of)(w, o);
            const real *x = of_plane + rows.row * w->x_row;
            if (paired && FC_NAME(pair_exists)(w, o, kw)) {
                FC_NAME(average_pair)(w, x, &pair, y, kw);
                o += 1;
                y += w->y_row;
                continue;
            }
            if (!paired && FC_NAME(grouped)(w, o, kw, s)) {
                FC_NAME(group_rows)(w, edges, x, o, y, kw, s, 0);
                o += FC_NAME(group)(s) - 1;
                y += (FC_NAME(group)(s) - 1) * w->y_row;
                continue;
            }
            if (rows.count == kw)
                for (ptrdiff_t j = 0; j < w->columns; j += VL) FC_NAME(average_vector)(w, x, kw, edges, o, j, y, kw, s);
            else
                for (ptrdiff_t j = 0; j < w->columns; j += VL) FC_NAME(average_vector)(w, x, rows.count, edges, o, j, y, kw, s);
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
