/* sums_template.h - averages of planes with adjacent columns beyond planes_template.h: windows of any size on narrow
 * planes, and windows that are the whole plane.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* ---- Any windows, on planes narrower than a vector ------------------------------------------------------------------
 * The rows of a window are added up first, all columns at once; then the sums of its columns, which are picked from the
 * vector: tap t of all windows of a row at once. */

/* For each tap, the columns of the windows; one outside of x is that of a lane that is 0. */
V_INLINE const int32_t *FC_NAME(picked_columns)(const struct fc_planes *w)
{
    int32_t *column = w->scratch;
    for (ptrdiff_t t = 0; t < w->kernel[1]; t++) {
        for (ptrdiff_t j = 0; j < VL; j++) {
            const ptrdiff_t at = j * w->stride[1] - w->pad[1] + t;
            column[t * VL + j] = (int32_t)(0 <= at && at < w->width ? at : VL - 1);
        }
    }
    return column;
}

/* Whether all sums of these planes are divided alike and lie side by side: then whole vectors of them are divided, which
 * takes as long for one element as for VL. */
V_INLINE int FC_NAME(divides_later)(const struct fc_planes *w)
{
    return w->divisor != 0 && w->y_row == w->columns && (w->planes == 1 || (w->y_plane == w->rows * w->columns && w->end - w->first == w->rows));
}

V_INLINE void FC_NAME(average_all)(const struct fc_planes *w, const real *from, real *to, ptrdiff_t count)
{
    ptrdiff_t i = 0;
    for (; i + VL <= count; i += VL) v_store(to + i, FC_NAME(averaged)(w, v_load(from + i), 0, 0));
    if (i < count) v_store_n(to + i, FC_NAME(averaged)(w, v_load_n(from + i, count - i), 0, 0), count - i);
}

/* kernel: of windows of so many rows and columns, a constant, or 0: as w has it. */
V_INLINE void FC_NAME(narrow_planes)(const struct fc_planes *w, const int32_t *column, const int later, const int kernel)
{
    const v_mask exists = v_span(0, w->width), results = v_span(0, w->columns);
    const ptrdiff_t columns = kernel ? kernel : w->kernel[1];
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        real *y = (real *)w->y + plane * w->y_plane + w->first * w->y_row;
        for (ptrdiff_t o = w->first; o < w->end; o++, y += w->y_row) {
            const struct FC_NAME(rows) rows = FC_NAME(rows_of)(w, o);
            const real *x = (const real *)w->x + plane * w->x_plane + rows.row * w->x_row;
            v_t down = v_zero(), sum = v_zero();
            if (rows.count == kernel)
                UNROLL for (int r = 0; r < kernel; r++) down = v_add(down, v_load_if(x + r * w->x_row, exists, v_zero()));
            else
                for (ptrdiff_t r = 0; r < rows.count; r++) down = v_add(down, v_load_if(x + r * w->x_row, exists, v_zero()));
            UNROLL_4 for (ptrdiff_t t = 0; t < columns; t++) sum = v_add(sum, v_pick(down, v_load_index(column + t * VL)));
            v_store_if(y, results, later ? sum : FC_NAME(averaged)(w, sum, o, 0));
        }
    }
}

static void FC_NAME(planes_narrow)(const struct fc_planes *w)
{
    const int later = FC_NAME(divides_later)(w);
    const int32_t *column = FC_NAME(picked_columns)(w);
    if (w->kernel[0] == 5 && w->kernel[1] == 5) FC_NAME(narrow_planes)(w, column, later, 5);
    else FC_NAME(narrow_planes)(w, column, later, 0);
    if (!later) return;
    real *y = (real *)w->y + w->first * w->y_row;
    FC_NAME(average_all)(w, y, y, w->planes * (w->end - w->first) * w->columns);
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

/* The partial sums of `planes` planes, all a vector at a time; those of planes that do not exist are of the first one. */
V_INLINE void FC_NAME(add_planes)(const struct fc_planes *w, ptrdiff_t plane, ptrdiff_t planes, v_t sum[VL])
{
    const ptrdiff_t whole = w->width / VL * VL, rest = w->width - whole;
    const real *x = (const real *)w->x + plane * w->x_plane;
    UNROLL for (int i = 0; i < VL; i++) sum[i] = v_zero();
    for (ptrdiff_t p = 0; p < whole; p += VL) {
        UNROLL for (int i = 0; i < VL; i++) {
            const real *at = x + (i < planes ? i : 0) * w->x_plane + p;
            v_prefetch_near(at + VL * w->x_plane);
            sum[i] = v_add(sum[i], v_load(at));
        }
    }
    if (!rest) return;
    const v_mask exists = v_span(0, rest);
    UNROLL for (int i = 0; i < VL; i++) sum[i] = v_add(sum[i], v_load_if(x + (i < planes ? i : 0) * w->x_plane + whole, exists, v_zero()));
}

static void FC_NAME(planes_total)(const struct fc_planes *w)
{
    for (ptrdiff_t plane = 0; plane < w->planes; plane += VL) {
        const ptrdiff_t planes = FC_NAME(smaller)(VL, w->planes - plane);
        v_t sum[VL];
        if (planes == VL) FC_NAME(add_planes)(w, plane, VL, sum);
        else FC_NAME(add_planes)(w, plane, planes, sum);
        real total[VL], *y = (real *)w->y + plane * w->y_plane;
        const v_t average = FC_NAME(averaged)(w, FC_NAME(fold)(sum), 0, 0);
        if (w->y_plane == 1 && planes == VL) {
            v_store(y, average);
            continue;
        }
        v_store(total, average);
        for (ptrdiff_t i = 0; i < planes; i++) y[i * w->y_plane] = total[i];
    }
}
