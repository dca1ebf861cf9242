/* row_template.h - one row of pixels between a strided tensor and the blocked layout, and sums over rows.
 *
 * Two layouts have fast paths: pixels adjacent, or every second one (NCHW: VL x VL blocks are transposed in registers) and channels
 * adjacent (NHWC: copies). Anything else goes element by element.
 * SPDX-License-Identifier: BSD-3-Clause
 */

/* rows[i] holds pixels of channel i; afterwards rows[j] holds channels of pixel j. Zipping rows with their partners
 * half the array away, log2(VL) times, transposes. */
V_INLINE void FC_NAME(transpose)(v_t rows[])
{
    UNROLL for (int round = 1; round < VL; round *= 2) {
        v_t zipped[VL];
        UNROLL for (int i = 0; i < VL / 2; i++) {
            zipped[2 * i] = v_zip_lo(rows[i], rows[i + VL / 2]);
            zipped[2 * i + 1] = v_zip_hi(rows[i], rows[i + VL / 2]);
        }
        UNROLL for (int i = 0; i < VL; i++) rows[i] = zipped[i];
    }
}

static void FC_NAME(zero_pixels)(real *block, ptrdiff_t pixels)
{
    for (ptrdiff_t i = 0; i < pixels * FC_BLOCK; i += VL) v_store(block + i, v_zero());
}

static ptrdiff_t FC_NAME(smaller)(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* n <= VL elements, adjacent or every second one (step 2); nothing behind the last of them is read. */
V_INLINE v_t FC_NAME(load_step)(const real *p, const int step, ptrdiff_t n)
{
    const ptrdiff_t all = step * (n - 1) + 1;
    const v_t a = all >= VL ? v_load(p) : v_load_n(p, all);
    return step == 1 ? a : v_join(v_even(a, all > VL ? v_load_n(p + VL, all - VL) : v_zero()));
}

/* Up to VL channels, `channel` apart, of `count` pixels -> to[pixel][16]; the pixels `ahead` are prefetched. */
V_INLINE void FC_NAME(pack_step)(const real *from, const int step, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count, real *to,
                                 ptrdiff_t ahead)
{
    for (ptrdiff_t p = 0; p < count; p += VL, from += step * VL, to += VL * FC_BLOCK) {
        const ptrdiff_t pixels = FC_NAME(smaller)(VL, count - p);
        v_t rows[VL];
        UNROLL for (int i = 0; i < VL; i++)
            rows[i] = i >= channels ? v_zero() : FC_NAME(load_step)(from + i * channel, step, pixels);
        if (ahead) {
            UNROLL for (int i = 0; i < VL; i++) v_prefetch(from + i * channel + ahead);
        }
        FC_NAME(transpose)(rows);
        if (pixels == VL) {
            UNROLL for (int i = 0; i < VL; i++) v_store(to + i * FC_BLOCK, rows[i]);
        } else {
            UNROLL for (int i = 0; i < VL; i++)
                if (i < pixels) v_store(to + i * FC_BLOCK, rows[i]);
        }
    }
}

static void FC_NAME(pack_transposed)(const real *from, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count, real *to, ptrdiff_t ahead)
{
    FC_NAME(pack_step)(from, 1, channel, channels, count, to, ahead);
}

static void FC_NAME(pack_seconds)(const real *from, ptrdiff_t channel, ptrdiff_t channels, ptrdiff_t count, real *to, ptrdiff_t ahead)
{
    FC_NAME(pack_step)(from, 2, channel, channels, count, to, ahead);
}

static void FC_NAME(pack_adjacent)(const real *from, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t count, real *to)
{
    for (ptrdiff_t p = 0; p < count; p++, from += pixel, to += FC_BLOCK) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            const ptrdiff_t left = channels - v * VL;
            v_store(to + v * VL, left >= VL ? v_load(from + v * VL) : left > 0 ? v_load_n(from + v * VL, left) : v_zero());
        }
    }
}

static void FC_NAME(pack_block)(const struct fc_row *r, const real *from, ptrdiff_t channels, real *to)
{
    if (r->channel == 1) {
        FC_NAME(pack_adjacent)(from, r->pixel, channels, r->count, to);
    } else if (r->pixel == 1 || r->pixel == 2) {
        for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL)
            (r->pixel == 1 ? FC_NAME(pack_transposed)
                           : FC_NAME(pack_seconds))(from + lane * r->channel, r->channel, channels - lane, r->count, to + lane, r->ahead);
    } else {
        for (ptrdiff_t p = 0; p < r->count; p++)
            for (ptrdiff_t c = 0; c < FC_BLOCK; c++)
                to[p * FC_BLOCK + c] = c < channels ? from[p * r->pixel + c * r->channel] : (real)0;
    }
}

static void FC_NAME(pack_row)(const struct fc_row *r)
{
    for (ptrdiff_t c = 0; c < r->channels; c += FC_BLOCK) {
        real *to = (real *)r->blocked + c / FC_BLOCK * r->block;
        FC_NAME(zero_pixels)(to, r->before);
        to += r->before * FC_BLOCK;
        const ptrdiff_t channels = FC_NAME(smaller)(FC_BLOCK, r->channels - c);
        FC_NAME(pack_block)(r, (const real *)r->strided + c / FC_BLOCK * r->leap, channels, to);
        FC_NAME(zero_pixels)(to + r->count * FC_BLOCK, r->after);
    }
}

/* max(floor, from[pixel][16]) -> up to VL channels, `channel` apart, of `count` adjacent pixels; those `ahead` are prefetched. */
static void FC_NAME(unpack_transposed)(const real *from, ptrdiff_t count, real *to, ptrdiff_t channel, ptrdiff_t channels, v_t floor,
                                       ptrdiff_t ahead)
{
    for (ptrdiff_t p = 0; p < count; p += VL, from += VL * FC_BLOCK, to += VL) {
        const ptrdiff_t pixels = FC_NAME(smaller)(VL, count - p);
        v_t rows[VL];
        UNROLL for (int i = 0; i < VL; i++) rows[i] = i < pixels ? v_max(floor, v_load(from + i * FC_BLOCK)) : v_zero();
        if (ahead) {
            UNROLL for (int i = 0; i < VL; i++) v_prefetch_to_write(to + i * channel + ahead);
        }
        FC_NAME(transpose)(rows);
        if (pixels == VL && channels >= VL) {
            UNROLL for (int i = 0; i < VL; i++) v_store(to + i * channel, rows[i]);
        } else {
            UNROLL for (int i = 0; i < VL; i++)
                if (i < channels) v_store_n(to + i * channel, rows[i], pixels);
        }
    }
}

static void FC_NAME(unpack_adjacent)(const real *from, ptrdiff_t count, real *to, ptrdiff_t pixel, ptrdiff_t channels, v_t floor)
{
    for (ptrdiff_t p = 0; p < count; p++, from += FC_BLOCK, to += pixel) {
        UNROLL for (int v = 0; v < BLOCK_VECTORS; v++) {
            const ptrdiff_t left = channels - v * VL;
            if (left >= VL) v_store(to + v * VL, v_max(floor, v_load(from + v * VL)));
            else if (left > 0) v_store_n(to + v * VL, v_max(floor, v_load(from + v * VL)), left);
        }
    }
}

static void FC_NAME(unpack_row)(const struct fc_row *r)
{
    const real least = r->relu ? (real)0 : -(real)INFINITY;
    const v_t floor = v_set1(least);
    for (ptrdiff_t c = 0; c < r->channels; c += FC_BLOCK) {
        const real *from = (const real *)r->blocked + c / FC_BLOCK * r->block;
        real *to = (real *)r->strided + c / FC_BLOCK * r->leap;
        const ptrdiff_t channels = FC_NAME(smaller)(FC_BLOCK, r->channels - c);
        if (r->channel == 1) {
            FC_NAME(unpack_adjacent)(from, r->count, to, r->pixel, channels, floor);
        } else if (r->pixel == 1) {
            for (ptrdiff_t lane = 0; lane < channels; lane += VL)
                FC_NAME(unpack_transposed)(from + lane, r->count, to + lane * r->channel, r->channel, channels - lane, floor, r->ahead);
        } else {
            for (ptrdiff_t i = 0; i < channels; i++)
                for (ptrdiff_t p = 0; p < r->count; p++)
                    to[i * r->channel + p * r->pixel] = least > from[p * FC_BLOCK + i] ? least : from[p * FC_BLOCK + i];
        }
    }
}

static void FC_NAME(copy_pixels)(const real *from, ptrdiff_t step, ptrdiff_t count, real *to)
{
    ptrdiff_t p = 0;
    if (step == 1) {
        for (; p + VL <= count; p += VL) v_store(to + p, v_load(from + p));
        if (p < count) v_store_n(to + p, v_load_n(from + p, count - p), count - p);
    } else if (step == 2) {
        for (ptrdiff_t n; p < count; p += n) {
            n = FC_NAME(smaller)(VL, count - p);
            const v_t x = FC_NAME(load_step)(from + 2 * p, 2, n);
            if (n == VL) v_store(to + p, x);
            else v_store_n(to + p, x, n);
        }
    } else {
        for (; p < count; p++) to[p] = from[p * step];
    }
}

/* Plane by plane: long runs of memory are fetched ahead by the processor, short ones of every plane are not. */
static void FC_NAME(pack_panels)(const struct fc_panels *l)
{
    enum { WIDTH = FC_MAX_VECTORS * VL };
    for (ptrdiff_t d = 0; d < l->depths; d++) {
        const real *from = (const real *)l->from + d * l->depth;
        real *to = (real *)l->panels + d * WIDTH;
        for (ptrdiff_t done = 0, n; done < l->count; done += n) {
            const ptrdiff_t at = l->first + done;
            n = FC_NAME(smaller)(WIDTH - at % WIDTH, l->count - done);
            FC_NAME(copy_pixels)(from + done * l->pixel, l->pixel, n, to + at / WIDTH * l->panel + at % WIDTH);
        }
    }
}

static void FC_NAME(add)(void *y, const void *x, int64_t n)
{
    real *a = y;
    const real *b = x;
    for (ptrdiff_t i = 0; i < n; i += VL) v_store(a + i, v_add(v_load(a + i), v_load(b + i)));
}

/* Four partial sums for each lane, so that an addition need not wait for the one before. */
static void FC_NAME(sum_row)(const void *row, int64_t count, void *sums)
{
    for (ptrdiff_t lane = 0; lane < FC_BLOCK; lane += VL) {
        const real *x = (const real *)row + lane;
        v_t s[4] = { v_zero(), v_zero(), v_zero(), v_zero() };
        ptrdiff_t p = 0;
        for (; p + 4 <= count; p += 4) {
            UNROLL for (int i = 0; i < 4; i++) s[i] = v_add(s[i], v_load(x + (p + i) * FC_BLOCK));
        }
        for (; p < count; p++) s[0] = v_add(s[0], v_load(x + p * FC_BLOCK));
        real *total = (real *)sums + lane;
        v_store(total, v_add(v_load(total), v_add(v_add(s[0], s[1]), v_add(s[2], s[3]))));
    }
}
