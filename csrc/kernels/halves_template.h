/* halves_template.h - windows of 2 x 2, 2 apart, without padding, in gapless planes of even width.
 *
 * The commonest pooling, and often of narrow maps. Whole vectors are read and written although they reach into the next
 * row, which comes next: no masks, little to count. The last rows of a task, where that would leave its planes, are left
 * to planes_template.h and spread_template.h. Orders, and so bits, are theirs.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* A sum becomes an average: by the divisor, or by the taps of its row and its column that count. */
V_INLINE v_t FC_NAME(averaged)(const struct fc_planes *w, v_t sum, ptrdiff_t row, ptrdiff_t column)
{
    if (w->factor != 0) return v_mul(sum, v_set1((real)w->factor));
    if (w->divisor != 0) return v_div(sum, v_set1((real)w->divisor));
    return v_div(sum, v_mul(v_set1(((const real *)w->row_taps)[row]), v_load((const real *)w->column_taps + column)));
}

V_INLINE int FC_NAME(halves)(const struct fc_planes *w)
{
    return w->kernel[0] == 2 && w->kernel[1] == 2 && w->stride[0] == 2 && w->stride[1] == 2 && w->pad[0] == 0 && w->pad[1] == 0 &&
           w->width == 2 * w->columns && w->height >= 2 * w->rows && w->x_row == w->width && w->y_row == w->columns &&
           w->x_plane == w->height * w->width && w->y_plane == w->rows * w->columns &&
           ((!w->code && !w->position) || (w->code && w->index_row == w->columns && w->index_plane == w->y_plane));
}

/* The first row of outputs over which a vector, or over whose rows of x, would leave the planes of the task. */
V_INLINE ptrdiff_t FC_NAME(room)(const struct fc_planes *w, ptrdiff_t plane)
{
    const ptrdiff_t columns = (w->columns + VL - 1) / VL * VL, behind = w->planes - 1 - plane;
    const ptrdiff_t y = behind * w->y_plane + w->end * w->y_row - columns, x = behind * w->x_plane + w->height * w->x_row - 2 * columns;
    if (y < 0 || x < w->x_row) return w->first;
    return FC_NAME(smaller)(w->end, 1 + FC_NAME(smaller)(y / w->y_row, (x / w->x_row - 1) / 2));
}

/* Maxima of two rows; returns where a NaN is among the elements. */
V_INLINE v_mask FC_NAME(halve_max)(const real *x, ptrdiff_t row, ptrdiff_t columns, real *y, uint8_t *code, const int placed)
{
    v_mask odd = v_none();
    for (ptrdiff_t j = 0; j < columns; j += VL, x += 2 * VL) {
        v_t best[2], at[2];
        UNROLL for (int r = 0; r < 2; r++) {
            const v_t a = v_load(x + r * row), b = v_load(x + r * row + VL), even = v_even(a, b), other = v_odd(a, b);
            odd = v_either(odd, v_unordered(even, other));
            best[r] = v_max(other, even);
            if (placed) at[r] = v_select(v_greater(other, even), v_set1(2 * (real)r + 1), v_set1(2 * (real)r));
        }
        v_store(y + j, v_join(v_max(best[1], best[0])));
        if (placed) v_store_bytes_n(code + j, v_join(v_select(v_greater(best[1], best[0]), at[1], at[0])), VL);
    }
    return odd;
}

V_INLINE void FC_NAME(halve_average)(const struct fc_planes *w, const real *x, ptrdiff_t row, ptrdiff_t o, real *y)
{
    for (ptrdiff_t j = 0; j < w->columns; j += VL, x += 2 * VL) {
        v_t sum = v_zero();
        UNROLL for (int r = 0; r < 2; r++) {
            const v_t a = v_load(x + r * row), b = v_load(x + r * row + VL);
            sum = v_add(sum, v_add(v_add(v_zero(), v_even(a, b)), v_odd(a, b)));
        }
        v_store(y + j, FC_NAME(averaged)(w, v_join(sum), o, j));
    }
}

/* Row r of the two rows of dx that one row of dy gives. The last vector of row 0 reaches into row 1: one after the other. */
V_INLINE void FC_NAME(double_row)(const struct fc_planes *w, const real *y, const uint8_t *code, ptrdiff_t o, const int r,
                                  real *x, const int coded)
{
    for (ptrdiff_t j = 0; j < w->columns; j += VL) {
        const v_t dy = v_load(y + j);
        v_t even, other;
        if (coded) {
            const v_bytes chosen = v_load_bytes(code + j);
            even = v_add_if(v_bytes_are(chosen, (uint8_t)(2 * r)), v_zero(), dy);
            other = v_add_if(v_bytes_are(chosen, (uint8_t)(2 * r + 1)), v_zero(), dy);
        } else {
            even = other = v_add(v_zero(), FC_NAME(averaged)(w, dy, o, j));
        }
        v_store(x + 2 * j, v_zip_lo(even, other));
        if (2 * (w->columns - j) > VL) v_store(x + 2 * j + VL, v_zip_hi(even, other));
    }
}

/* Rows of dx from w->first on, both rows of one of dy at a time, as long as there is room; returns the first that is left. */
V_INLINE ptrdiff_t FC_NAME(double_rows)(const struct fc_planes *w, ptrdiff_t plane, const int coded)
{
    const ptrdiff_t columns = (w->columns + VL - 1) / VL * VL, behind = w->planes - 1 - plane;
    const ptrdiff_t y = behind * w->y_plane + w->rows * w->y_row - columns, x = behind * w->x_plane + w->end * w->x_row - 2 * columns;
    if (y < 0 || x < 0 || w->first % 2) return w->first;
    const ptrdiff_t end = FC_NAME(smaller)(FC_NAME(smaller)(w->rows, w->end / 2), FC_NAME(smaller)(y / w->y_row, x / w->x_row / 2));
    for (ptrdiff_t o = w->first / 2; o < end; o++) {
        const ptrdiff_t from = plane * w->y_plane + o * w->y_row;
        real *to = (real *)w->x + plane * w->x_plane + 2 * o * w->x_row;
        FC_NAME(double_row)(w, (const real *)w->y + from, coded ? w->code + from : NULL, o, 0, to, coded);
        FC_NAME(double_row)(w, (const real *)w->y + from, coded ? w->code + from : NULL, o, 1, to + w->x_row, coded);
    }
    return end < w->first / 2 ? w->first : 2 * end;
}
