/* spread_template.h - backward of planes_template.h.
 *
 * Column c of dx is tap t of window (c + pad - t) / s. With s = 2 the even and the odd columns are summed up apart, in
 * the taps that meet them, and zipped. Windows come in their order: of averages each row for itself, then the rows; of
 * maxima one after the other.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* The rows of dy, from .. to - 1, whose windows meet row h of dx. */
struct FC_NAME(meeting) {
    ptrdiff_t from, to;
};

/* From one row to the next without a division. */
V_INLINE void FC_NAME(advance)(struct FC_NAME(meeting) *m, const struct fc_planes *w, ptrdiff_t h)
{
    while (m->from < w->rows && m->from * w->stride[0] + w->kernel[0] <= h + w->pad[0]) m->from++;
    while (m->to < w->rows && m->to * w->stride[0] <= h + w->pad[0]) m->to++;
}

/* Of the row before the first one, or earlier. */
V_INLINE struct FC_NAME(meeting) FC_NAME(meeting_before)(const struct fc_planes *w)
{
    const ptrdiff_t from = (w->first + w->pad[0] - w->kernel[0]) / w->stride[0];
    return (struct FC_NAME(meeting)){ from < 0 ? 0 : from, from < 0 ? 0 : from };
}

/* Columns i, i + 1, ... of a row of dx: with s = 2 the even and the odd ones of 2 VL columns. */
V_INLINE void FC_NAME(store_columns)(real *x, ptrdiff_t i, ptrdiff_t width, const v_t *sum, const int s)
{
    const v_t half[2] = { s == 1 ? sum[0] : v_zip_lo(sum[0], sum[1]), s == 1 ? sum[0] : v_zip_hi(sum[0], sum[1]) };
    UNROLL for (int v = 0; v < s; v++) {
        const ptrdiff_t left = width - i - v * VL;
        if (left >= VL) v_store(x + i + v * VL, half[v]);
        else if (left > 0) v_store_n(x + i + v * VL, half[v], left);
    }
}

/* Window of tap t that meets column i + `column`, i a multiple of s: distance from window i / s. */
V_INLINE int FC_NAME(window_at)(int t, int column, const int s, const int pad) { return (column + pad - t) / s; }
V_INLINE int FC_NAME(meets)(int t, int column, const int s, const int pad) { return (column + pad - t) % s == 0; }

/* ---- Averages: shares of rows of dy wait in a ring of four, with zeros on both sides: the windows that miss a column. */

enum { FC_NAME(BESIDE) = 5 * VL + 8 };    /* elements beside a row: VL before it, the others after */

struct FC_NAME(ring) {
    real *share[FC_PLANES_RING];
};

V_INLINE struct FC_NAME(ring) FC_NAME(ring_of)(const struct fc_planes *w)
{
    struct FC_NAME(ring) ring;
    const ptrdiff_t length = w->columns + FC_NAME(BESIDE);
    real *memory = w->scratch;
    for (int i = 0; i < FC_PLANES_RING; i++) ring.share[i] = memory + i * length + VL;
    for (ptrdiff_t i = 0; i < FC_PLANES_RING * length; i++) memory[i] = 0;
    return ring;
}

V_INLINE void FC_NAME(bring_row)(const struct fc_planes *w, const struct FC_NAME(ring) *ring, ptrdiff_t plane, ptrdiff_t o)
{
    const real *y = (const real *)w->y + plane * w->y_plane + o * w->y_row;
    real *share = ring->share[o % FC_PLANES_RING];
    for (ptrdiff_t j = 0; j < w->columns; j += VL) {
        const ptrdiff_t left = w->columns - j;
        if (left < VL) v_store_n(share + j, FC_NAME(averaged)(w, v_load_n(y + j, left), o, j), left);
        else v_store(share + j, FC_NAME(averaged)(w, v_load(y + j), o, j));
    }
}

V_INLINE void FC_NAME(share_row)(const struct fc_planes *w, const struct FC_NAME(ring) *ring, const struct FC_NAME(meeting) *m, real *x,
                                 const int kw, const int s, const int pad)
{
    for (ptrdiff_t i = 0; i < w->width; i += s * VL) {
        v_t sum[2] = { v_zero(), v_zero() };
        for (ptrdiff_t o = m->from; o < m->to; o++) {
            const real *share = ring->share[o % FC_PLANES_RING] + i / s;
            UNROLL for (int column = 0; column < s; column++) {
                v_t of_row = v_zero();
                UNROLL for (int t = kw - 1; t >= 0; t--)
                    if (FC_NAME(meets)(t, column, s, pad)) of_row = v_add(of_row, v_load(share + FC_NAME(window_at)(t, column, s, pad)));
                sum[column] = v_add(sum[column], of_row);
            }
        }
        FC_NAME(store_columns)(x, i, w->width, sum, s);
    }
}

V_INLINE void FC_NAME(share_planes)(const struct fc_planes *w, const int kw, const int s, const int pad)
{
    const struct FC_NAME(ring) ring = FC_NAME(ring_of)(w);
    const int halves = kw == 2 && s == 2 && FC_NAME(halves)(w);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        struct FC_NAME(meeting) m = FC_NAME(meeting_before)(w);
        ptrdiff_t brought = 0;
        for (ptrdiff_t h = halves ? FC_NAME(double_rows)(w, plane, 0) : w->first; h < w->end; h++) {
            FC_NAME(advance)(&m, w, h);
            if (brought < m.from) brought = m.from;
            for (; brought < m.to; brought++) FC_NAME(bring_row)(w, &ring, plane, brought);
            FC_NAME(share_row)(w, &ring, &m, (real *)w->x + plane * w->x_plane + h * w->x_row, kw, s, pad);
        }
    }
}

/* ---- Averages of any windows: a row of dy becomes a row as wide as dx, each share added in every column of its window.
 * Up to four such rows wait in the ring; a row of dx is the sum of those whose windows meet it. */

V_INLINE ptrdiff_t FC_NAME(expanded_length)(const struct fc_planes *w)
{
    const ptrdiff_t windows = (w->columns - 1) * w->stride[1] + w->kernel[1], width = w->width + w->pad[1];
    return ((windows > width ? windows : width) + 2 * VL - 1) / VL * VL;
}

/* A row of dy that fills less than a vector: `window` has, for each column of x, the numbers of up to `meeting` windows
 * that meet it, from the first one on, then the number of a lane that is 0. */
struct FC_NAME(narrow) {
    ptrdiff_t meeting;
    int32_t *window;
    real *share;    /* of a whole plane, if it is small; else NULL */
};

enum { FC_NAME(SHARES) = 16 * 16 };

V_INLINE struct FC_NAME(narrow) FC_NAME(narrow_of)(const struct fc_planes *w, ptrdiff_t length)
{
    const ptrdiff_t kernel = w->kernel[1], stride = w->stride[1];
    struct FC_NAME(narrow) n = { .meeting = w->columns < VL ? (kernel + stride - 1) / stride : 0 };
    n.window = (int32_t *)(void *)((real *)w->scratch + (FC_PLANES_RING + 1) * length);
    if (w->divisor != 0 && w->y_row == w->columns && w->rows * w->columns <= FC_NAME(SHARES))
        n.share = (real *)w->scratch + (2 * FC_PLANES_RING + 1) * length;
    for (ptrdiff_t i = 0; n.meeting && i < length; i++) {
        const ptrdiff_t first = i < kernel ? 0 : (i - kernel) / stride + 1;
        for (ptrdiff_t m = 0; m < n.meeting; m++) {
            const ptrdiff_t window = first + m;
            n.window[(i / VL * n.meeting + m) * VL + i % VL] = (int32_t)(window < w->columns && window * stride <= i ? window : VL - 1);
        }
    }
    return n;
}

V_INLINE void FC_NAME(expand_narrow)(const struct fc_planes *w, const struct FC_NAME(narrow) *n, const real *y, ptrdiff_t o,
                                     real *expanded)
{
    const v_mask exists = v_span(0, w->columns);
    const v_t dy = v_load_if(n->share ? n->share + o * w->columns : y, exists, v_zero());
    const v_t share = n->share ? dy : v_select(exists, FC_NAME(averaged)(w, dy, o, 0), v_zero());
    const int32_t *window = n->window;
    for (ptrdiff_t i = 0; i < w->width + w->pad[1]; i += VL) {
        v_t sum = v_zero();
        for (ptrdiff_t m = 0; m < n->meeting; m++, window += VL) sum = v_add(sum, v_pick(share, v_load_index(window)));
        v_store(expanded + i, sum);
    }
}

V_INLINE void FC_NAME(expand_wide)(const struct fc_planes *w, const real *y, ptrdiff_t o, ptrdiff_t length, real *expanded)
{
    real *share = (real *)w->scratch + FC_PLANES_RING * length;
    for (ptrdiff_t j = 0; j < w->columns; j += VL) {
        const ptrdiff_t left = w->columns - j;
        v_store(share + j, FC_NAME(averaged)(w, left < VL ? v_load_n(y + j, left) : v_load(y + j), o, j));
    }
    for (ptrdiff_t i = 0; i < length; i += VL) v_store(expanded + i, v_zero());
    const ptrdiff_t columns = w->columns, kernel = w->kernel[1], stride = w->stride[1];
    for (ptrdiff_t j = 0; j < columns; j++) {
        const real part = share[j];
        real *to = expanded + j * stride;
        ptrdiff_t t = 0;
        for (; t + 4 <= kernel; t += 4) {
            UNROLL for (int i = 0; i < 4; i++) to[t + i] += part;
        }
        for (; t < kernel; t++) to[t] += part;
    }
}

/* The first row of dx after h, before w->end, that other rows of dy meet. */
V_INLINE ptrdiff_t FC_NAME(next_meeting)(const struct fc_planes *w, const struct FC_NAME(meeting) *m)
{
    ptrdiff_t next = w->end;
    if (m->from < w->rows) next = FC_NAME(smaller)(next, m->from * w->stride[0] + w->kernel[0] - w->pad[0]);
    if (m->to < w->rows) next = FC_NAME(smaller)(next, m->to * w->stride[0] - w->pad[0]);
    return next;
}

static void FC_NAME(planes_expand)(const struct fc_planes *w)
{
    const ptrdiff_t length = FC_NAME(expanded_length)(w);
    const struct FC_NAME(narrow) narrow = FC_NAME(narrow_of)(w, length);
    real *ring = w->scratch;
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        struct FC_NAME(meeting) m = FC_NAME(meeting_before)(w);
        ptrdiff_t brought = 0;
        if (narrow.share) FC_NAME(average_all)(w, (const real *)w->y + plane * w->y_plane, narrow.share, w->rows * w->columns);
        for (ptrdiff_t h = w->first, next; h < w->end; h = next) {
            FC_NAME(advance)(&m, w, h);
            next = FC_NAME(next_meeting)(w, &m);
            if (brought < m.from) brought = m.from;
            for (; brought < m.to; brought++) {
                const real *y = (const real *)w->y + plane * w->y_plane + brought * w->y_row;
                real *expanded = ring + brought % FC_PLANES_RING * length;
                if (narrow.meeting) FC_NAME(expand_narrow)(w, &narrow, y, brought, expanded);
                else FC_NAME(expand_wide)(w, y, brought, length, expanded);
            }
            for (ptrdiff_t i = 0; i < w->width; i += VL) {
                v_t sum = v_zero();
                for (ptrdiff_t o = m.from; o < m.to; o++)
                    sum = v_add(sum, v_load(ring + o % FC_PLANES_RING * length + w->pad[1] + i));
                real *x = (real *)w->x + plane * w->x_plane + h * w->x_row + i;
                for (ptrdiff_t same = h; same < next; same++, x += w->x_row) {
                    if (w->width - i >= VL) v_store(x, sum);
                    else v_store_n(x, sum, w->width - i);
                }
            }
        }
    }
}

/* ---- Maxima: rows of dy and codes are read where they are, what lies beside dy masked out. ------------------------*/

/* Distances from window i / s that the taps of VL or 2 VL columns need: with s = 1 pad, pad - 1, ...; with s = 2 window
 * i / s and one neighbour. */
V_INLINE int FC_NAME(distance)(int l, const int s, const int pad) { return s == 1 ? pad - l : l == 0 ? 0 : pad ? 1 : -1; }
V_INLINE int FC_NAME(distances)(const int kw, const int s, const int pad) { return s == 1 ? kw : kw == 2 && pad == 0 ? 1 : 2; }

struct FC_NAME(choices) {
    v_mask exists[3];
};

V_INLINE struct FC_NAME(choices) FC_NAME(choices_of)(ptrdiff_t j, ptrdiff_t columns, const int kw, const int s, const int pad)
{
    struct FC_NAME(choices) c;
    UNROLL for (int l = 0; l < 3; l++) {
        const ptrdiff_t at = j + FC_NAME(distance)(l, s, pad);
        c.exists[l] = l < FC_NAME(distances)(kw, s, pad) ? v_span(-at, columns - at) : v_none();
    }
    return c;
}

/* Adds dy of the windows whose maximum was in this row of x: their codes are code, code + 1, ... for taps 0, 1, ... */
V_INLINE void FC_NAME(choose)(const real *y, const uint8_t *codes, ptrdiff_t code, const struct FC_NAME(choices) *c, v_t *sum,
                              const int kw, const int s, const int pad, const int clipped)
{
    v_t dy[3];
    v_bytes chosen[3];
    UNROLL for (int l = 0; l < FC_NAME(distances)(kw, s, pad); l++) {
        const real *from = y + FC_NAME(distance)(l, s, pad);
        dy[l] = clipped ? v_load_if(from, c->exists[l], v_zero()) : v_load(from);
        chosen[l] = v_load_bytes(codes + FC_NAME(distance)(l, s, pad));
    }
    UNROLL for (int t = kw - 1; t >= 0; t--) {
        UNROLL for (int column = 0; column < s; column++) {
            if (!FC_NAME(meets)(t, column, s, pad)) continue;
            UNROLL for (int l = 0; l < FC_NAME(distances)(kw, s, pad); l++)
                if (FC_NAME(distance)(l, s, pad) == FC_NAME(window_at)(t, column, s, pad))
                    sum[column] = v_add_if(v_bytes_are(chosen[l], (uint8_t)(code + t)), sum[column], dy[l]);
        }
    }
}

/* Row o of the codes, or, where vectors from 2 before it to 2 VL behind it would leave the array, a copy. */
V_INLINE const uint8_t *FC_NAME(codes_of)(const struct fc_planes *w, ptrdiff_t plane, ptrdiff_t o)
{
    const uint8_t *code = w->code + plane * w->index_plane + o * w->index_row;
    if (code - w->code_first >= 2 && w->code_end - code >= w->columns + 2 * VL) return code;
    uint8_t *copy = (uint8_t *)w->scratch + o % 4 * (w->columns + 3 * VL) + VL;
    for (ptrdiff_t j = 0; j < w->columns; j++) copy[j] = code[j];
    return copy;
}

V_INLINE void FC_NAME(chosen_planes)(const struct fc_planes *w, const int kw, const int s, const int pad)
{
    const ptrdiff_t last_block = (w->width - 1) / (s * VL) * VL;
    const struct FC_NAME(choices) first = FC_NAME(choices_of)(0, w->columns, kw, s, pad);
    const struct FC_NAME(choices) last = FC_NAME(choices_of)(last_block, w->columns, kw, s, pad);
    const int halves = kw == 2 && s == 2 && FC_NAME(halves)(w);
    for (ptrdiff_t plane = 0; plane < w->planes; plane++) {
        struct FC_NAME(meeting) m = FC_NAME(meeting_before)(w);
        for (ptrdiff_t h = halves ? FC_NAME(double_rows)(w, plane, 1) : w->first; h < w->end; h++) {
            FC_NAME(advance)(&m, w, h);
            const uint8_t *codes[3] = { NULL, NULL, NULL };
            UNROLL for (int r = 0; r < 3; r++)
                if (m.from + r < m.to) codes[r] = FC_NAME(codes_of)(w, plane, m.from + r);
            const ptrdiff_t first_code = (h + w->pad[0] - m.from * w->stride[0]) * kw;
            const real *y = (const real *)w->y + plane * w->y_plane + m.from * w->y_row;
            real *x = (real *)w->x + plane * w->x_plane + h * w->x_row;
            for (ptrdiff_t j = 0; j <= last_block; j += VL) {
                v_t sum[2] = { v_zero(), v_zero() };
                struct FC_NAME(choices) other;
                const struct FC_NAME(choices) *c = j == 0 ? &first : &last;
                if (j > 0 && j + VL < w->columns) {
                    for (ptrdiff_t r = 0; r < m.to - m.from; r++)
                        FC_NAME(choose)(y + r * w->y_row + j, codes[r] + j, first_code - r * w->stride[0] * kw, c, sum, kw, s, pad, 0);
                } else {
                    if (j > 0 && j < last_block) other = FC_NAME(choices_of)(j, w->columns, kw, s, pad), c = &other;
                    for (ptrdiff_t r = 0; r < m.to - m.from; r++)
                        FC_NAME(choose)(y + r * w->y_row + j, codes[r] + j, first_code - r * w->stride[0] * kw, c, sum, kw, s, pad, 1);
                }
                FC_NAME(store_columns)(x, j * s, w->width, sum, s);
            }
        }
    }
}

V_INLINE void FC_NAME(spread_planes)(const struct fc_planes *w, const int kw, const int s, const int pad)
{
    if (w->code) FC_NAME(chosen_planes)(w, kw, s, pad);
    else FC_NAME(share_planes)(w, kw, s, pad);
}

static void FC_NAME(planes_spread)(const struct fc_planes *w)
{
    const int wide = w->kernel[1] == 3;
    if (w->stride[1] == 1) {
        if (w->pad[1]) wide ? FC_NAME(spread_planes)(w, 3, 1, 1) : FC_NAME(spread_planes)(w, 2, 1, 1);
        else wide ? FC_NAME(spread_planes)(w, 3, 1, 0) : FC_NAME(spread_planes)(w, 2, 1, 0);
    } else {
        if (w->pad[1]) wide ? FC_NAME(spread_planes)(w, 3, 2, 1) : FC_NAME(spread_planes)(w, 2, 2, 1);
        else wide ? FC_NAME(spread_planes)(w, 3, 2, 0) : FC_NAME(spread_planes)(w, 2, 2, 0);
    }
}

/* Of windows that are the whole plane. */
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

static void FC_NAME(planes_stream)(void *to, const void *from, int64_t count)
{
    const real *x = from;
    real *y = to;
    ptrdiff_t i = 0;
    for (; i < count && (uintptr_t)(y + i) % sizeof(v_t); i++) y[i] = x[i];
    for (; i + VL <= count; i += VL) v_stream(y + i, v_load(x + i));
    for (; i < count; i++) y[i] = x[i];
    v_stream_end();
}
