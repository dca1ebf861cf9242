/* tile_template.h - the micro-kernel: a register tile of MR rows by NV vectors.
 *
 *     c[i][v] (+)= sum over runs q and steps k of  a[offset[q] + i*a_row + k*a_step] * b[(q*len + k)*b_step + q*b_skip + v]
 *
 * Every convolution, in every pass, is this sum. Forward and backward-data: i = pixel, run = one tap of one block of
 * 16 input channels, k = channel within the block, v = output channels. Winograd: the same with tiles for pixels.
 * Backward-weights: i = input channel, run = one row of the output, k = pixel, v = output channels.
 * 1 x 1 convolution of planes: i = output channel, k = input channel, v = pixels; init is then one value a row.
 * The arguments are those of struct fc_tile (kernels.h); vector v holds lanes v*VL.. , which lie in block
 * v*VL/16 of b and c. Every loop over the tile has constant bounds and is unrolled: a compiler keeps an array in
 * registers only where no loop that touches it is left.
 * SPDX-License-Identifier: BSD-3-Clause
 */

#define LANE(v, block) ((v) * VL / FC_BLOCK * (block) + (v) * VL % FC_BLOCK)

V_INLINE void FC_NAME(tile_body)(const struct fc_tile *t, const int mr, const int nv, const int by_row, const ptrdiff_t len,
                                 const ptrdiff_t a_row, const ptrdiff_t a_step, const ptrdiff_t b_step, const ptrdiff_t b_block,
                                 const int copying, const int outer)
{
    v_t acc[FC_TILE_ROWS][FC_MAX_VECTORS];
    const real *init = t->init, *b = t->b;
    real *c = t->c, *copy = t->copy;
    if (by_row) {    /* the lines of c are far apart, and there is a whole tile's time to fetch them */
        UNROLL for (int i = 0; i < mr; i++) {
            UNROLL for (int v = 0; v < nv; v++) v_prefetch_to_write(c + i * t->c_row + v * VL);
        }
    }
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int v = 0; v < nv; v++)
            acc[i][v] = !init ? v_load(c + i * t->c_row + LANE(v, t->c_block)) : by_row ? v_set1(init[i]) : v_load(init + v * VL);
    }
    const ptrdiff_t b_skip = t->b_skip;
    const char *const first_ahead = t->ahead ? t->ahead : t->b, *ahead = first_ahead;
    const ptrdiff_t ahead_step = t->ahead_step;
    for (ptrdiff_t q = 0; q < t->runs; q++, b += b_skip) {
        const real *a = (const real *)t->a + t->offset[q];
        if (outer) ahead = first_ahead + (t->ahead ? q * t->ahead_run : 0);
        UNROLL_4 for (ptrdiff_t k = 0; k < len; k++, a += a_step, b += b_step) {
            v_t bv[FC_MAX_VECTORS];
            if (nv > 1) v_prefetch(ahead);    /* one vector: its loads are the limit */
            ahead += ahead_step;
            UNROLL for (int v = 0; v < nv; v++) bv[v] = v_load(b + LANE(v, b_block));
            if (copying) {
                UNROLL for (int v = 0; v < nv; v++) v_store(copy + v * VL, bv[v]);
                copy += FC_MAX_VECTORS * VL;
            }
            UNROLL for (int i = 0; i < mr; i++) {
                const v_t ai = v_set1(a[i * a_row]);
                UNROLL for (int v = 0; v < nv; v++) acc[i][v] = v_fma(ai, bv[v], acc[i][v]);
            }
        }
    }
    const v_t floor = v_set1(by_row && t->relu ? (real)0 : -(real)INFINITY);
    UNROLL for (int i = 0; i < mr; i++) {
        UNROLL for (int v = 0; v < nv; v++) v_store(c + i * t->c_row + LANE(v, t->c_block), by_row ? v_max(floor, acc[i][v]) : acc[i][v]);
    }
}

/* Runs of one block of channels against packed weights [step][nv * VL]: one kernel for each number of rows; and runs
 * of one tap. */
#define FC_TILE(mr, nv)                                                   \
    static void FC_NAME(tile_##mr##x##nv)(const struct fc_tile *t)          \
    {                                                                     \
        FC_NAME(tile_body)(t, mr, nv, 0, FC_BLOCK, t->a_row, 1, nv * VL, FC_BLOCK, 0, 0);      \
    }                                                                     \
    static void FC_NAME(tap_tile_##mr##x##nv)(const struct fc_tile *t)      \
    {                                                                     \
        FC_NAME(tile_body)(t, mr, nv, 0, 1, t->a_row, 1, nv * VL, FC_BLOCK, 0, 0);            \
    }
FC_EACH_ROWS(FC_TILE, 1)
FC_EACH_ROWS(FC_TILE, 2)
#undef FC_TILE

/* The roles exchanged: i = output channel of packed weights, k = input channel, v = pixels, of a panel that is always 2 VL wide. */
#define FC_TILE(mr, nv)                                                            \
    static void FC_NAME(plane_tile_##mr##x##nv)(const struct fc_tile *t)             \
    {                                                                              \
        FC_NAME(tile_body)(t, mr, nv, 1, t->len, 1, t->a_step, FC_MAX_VECTORS * VL, FC_BLOCK, 0, 0); \
    }
FC_EACH_ROWS(FC_TILE, 1)
FC_EACH_ROWS(FC_TILE, 2)
#undef FC_TILE

/* The first tile of a panel: reads its pixels where they are, b_step apart, and leaves the panel at `copy`. */
#define FC_TILE(mr, nv)                                                            \
    static void FC_NAME(copy_tile_##mr##x##nv)(const struct fc_tile *t)              \
    {                                                                              \
        FC_NAME(tile_body)(t, mr, nv, 1, t->len, 1, t->a_step, t->b_step, FC_BLOCK, 1, 0); \
    }
FC_EACH_ROWS(FC_TILE, 2)
#undef FC_TILE

/* Runs of pixels against blocked gradients [pixel][16]. */
static void FC_NAME(grad_tile_1)(const struct fc_tile *t)
{
    FC_NAME(tile_body)(t, FC_GRAD_ROWS, 1, 0, t->len, 1, t->a_step, FC_BLOCK, t->b_block, 0, 0);
}
static void FC_NAME(grad_tile_2)(const struct fc_tile *t)
{
    FC_NAME(tile_body)(t, FC_GRAD_ROWS, 2, 0, t->len, 1, t->a_step, FC_BLOCK, t->b_block, 0, 0);
}

/* Runs of pixels of planes against the same. */
#define FC_TILE(mr, nv)                                                            \
    static void FC_NAME(outer_tile_##mr##x##nv)(const struct fc_tile *t)             \
    {                                                                              \
        FC_NAME(tile_body)(t, mr, nv, 0, t->len, t->a_row, 1, FC_BLOCK, t->b_block, 0, 1); \
    }
FC_EACH_ROWS(FC_TILE, 1)
FC_EACH_ROWS(FC_TILE, 2)
#undef FC_TILE

static void FC_NAME(tile_largest)(const struct fc_tile *t)
{
    FC_NAME(tile_body)(t, FC_TILE_ROWS, 2, 0, FC_BLOCK, t->a_row, 1, 2 * VL, FC_BLOCK, 0, 0);
}

/* The largest tile on operands that stay in the first-level cache. Two operations for each multiply-add. Called through
 * a volatile pointer, or the compiler would see that nobody looks at the result. */
static double FC_NAME(peak)(int64_t rounds)
{
    enum { RUNS = 16, DEPTH = RUNS * FC_BLOCK, LANES = 2 * VL };
    static real a[FC_TILE_ROWS * DEPTH], b[DEPTH * LANES];    /* zeros, never written */
    real c[FC_TILE_ROWS * LANES] = {0};
    ptrdiff_t offset[RUNS];
    for (int i = 0; i < RUNS; i++) offset[i] = i * FC_BLOCK;
    const struct fc_tile t = { .a = a, .a_row = DEPTH, .offset = offset, .runs = RUNS, .b = b, .c = c,
                               .c_row = LANES, .c_block = FC_BLOCK };
    const fc_tile_kernel volatile run = FC_NAME(tile_largest);
    for (int64_t i = 0; i < rounds; i++) run(&t);
    return 2.0 * (double)rounds * DEPTH * FC_TILE_ROWS * LANES;
}
