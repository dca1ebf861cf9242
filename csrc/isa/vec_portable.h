/* vec_portable.h - the v_* words in the vector extension of gcc and clang: 16 bytes, which every 64-bit CPU has.
 *
 * Register budget: 16 registers (SSE2) or 32 (NEON); sized for 16. A 5 x 2 tile keeps 10 accumulators, 2 weight
 * vectors, 1 broadcast and, where multiply and add are two instructions, 1 product.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#define FC_SPECIAL 0    /* see kernels.h */
#define FC_TILE_ROWS 5
#define FC_GRAD_ROWS 4
#define FC_FEW_ROWS 5
#define FC_FEW_VECTORS 2
#define FC_EACH_FEW_ROWS FC_EACH_ROWS
#define FC_EACH_ROWS(X, v) X(1, v) X(2, v) X(3, v) X(4, v) X(5, v)

#undef VL
#if FC_BITS == 32
#define VL 4
typedef int32_t v_bits;
#else
#define VL 2
typedef int64_t v_bits;
#endif
typedef real v_t __attribute__((vector_size(16)));
typedef real v_unaligned __attribute__((vector_size(16), aligned(sizeof(real)), may_alias));
typedef v_bits v_mask __attribute__((vector_size(16)));

V_INLINE v_t v_load(const real *p) { return *(const v_unaligned *)p; }
V_INLINE void v_store(real *p, v_t a) { *(v_unaligned *)p = a; }
V_INLINE v_t v_zero(void) { return (v_t){0}; }
#if FC_BITS == 32
V_INLINE v_t v_set1(real x) { return (v_t){x, x, x, x}; }
#else
V_INLINE v_t v_set1(real x) { return (v_t){x, x}; }
#endif
V_INLINE v_t v_add(v_t a, v_t b) { return a + b; }
V_INLINE v_t v_sub(v_t a, v_t b) { return a - b; }
V_INLINE v_t v_mul(v_t a, v_t b) { return a * b; }
V_INLINE v_t v_div(v_t a, v_t b) { return a / b; }
V_INLINE v_t v_sqrt(v_t a)
{
    for (int i = 0; i < VL; i++) a[i] = FC_BITS == 32 ? (real)__builtin_sqrtf((float)a[i]) : (real)__builtin_sqrt((double)a[i]);
    return a;
}
V_INLINE v_t v_fma(v_t a, v_t b, v_t c) { return a * b + c; }    /* a * b + c, fused where the CPU can */
V_INLINE v_t v_fnma(v_t a, v_t b, v_t c) { return c - a * b; }   /* c - a * b */

V_INLINE v_mask v_greater(v_t a, v_t b) { return a > b; }
/* a > b or a is not a number: what replaces b as the maximum. */
V_INLINE v_mask v_beats(v_t a, v_t b) { return (a > b) | (a != a); }
V_INLINE v_t v_select(v_mask m, v_t a, v_t b) { return (v_t)((m & (v_mask)a) | (~m & (v_mask)b)); }
/* The bits of a, moved to the exponent: 2^n where the lowest bits of a are n plus the bias of exponents. */
#if FC_BITS == 32
V_INLINE v_t v_power(v_t a) { return (v_t)((v_mask)a << 23); }
#else
V_INLINE v_t v_power(v_t a) { return (v_t)((v_mask)a << 52); }
#endif
V_INLINE v_t v_max(v_t a, v_t b) { return v_select(a > b, a, b); }    /* a if a > b, else b */
V_INLINE int v_finite(v_t a)   /* x - x is zero exactly for the finite x */
{
    const v_mask zero = (a - a) == v_zero();
    int all = 1;
    for (int i = 0; i < VL; i++) all &= zero[i] != 0;
    return all;
}

/* a0 b0 a1 b1 ... of the lower / upper halves: VL = 2^n rows zipped n times with their partners are transposed. */
#if FC_BITS == 32
V_INLINE v_t v_zip_lo(v_t a, v_t b) { return (v_t){a[0], b[0], a[1], b[1]}; }
V_INLINE v_t v_zip_hi(v_t a, v_t b) { return (v_t){a[2], b[2], a[3], b[3]}; }
#else
V_INLINE v_t v_zip_lo(v_t a, v_t b) { return (v_t){a[0], b[0]}; }
V_INLINE v_t v_zip_hi(v_t a, v_t b) { return (v_t){a[1], b[1]}; }
#endif

/* The first n < VL elements; the others are not touched in memory, and zero in the vector. */
V_INLINE v_t v_load_n(const real *p, ptrdiff_t n)
{
    v_t a = {0};
    for (ptrdiff_t i = 0; i < n; i++) a[i] = p[i];
    return a;
}
V_INLINE void v_store_n(real *p, v_t a, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) p[i] = a[i];
}

/* The lanes of a, WL at a time, as doubles. */
typedef double v_wide __attribute__((vector_size(16)));
typedef double FC_NAME(v_wide_unaligned) __attribute__((vector_size(16), aligned(sizeof(double)), may_alias));
V_INLINE v_wide v_widen(v_t a, const int part) { return (v_wide){(double)a[WL * part], (double)a[WL * part + 1]}; }
V_INLINE v_wide v_wide_load(const double *p) { return *(const FC_NAME(v_wide_unaligned) *)p; }
V_INLINE void v_wide_store(double *p, v_wide a) { *(FC_NAME(v_wide_unaligned) *)p = a; }
V_INLINE v_wide v_wide_set1(double x) { return (v_wide){x, x}; }
V_INLINE v_wide v_wide_add(v_wide a, v_wide b) { return a + b; }
V_INLINE v_wide v_wide_sub(v_wide a, v_wide b) { return a - b; }
V_INLINE v_wide v_wide_fma(v_wide a, v_wide b, v_wide c) { return a * b + c; }

/* ---- Pooling: pieces of rows, every second element, masks ------------------------------------------------------*/

/* Lanes from .. to - 1; both may lie outside of the vector. */
V_INLINE v_mask v_span(ptrdiff_t from, ptrdiff_t to)
{
    v_mask m;
    for (int i = 0; i < VL; i++) m[i] = -(v_bits)(from <= i && i < to);
    return m;
}
V_INLINE v_t v_load_if(const real *p, v_mask m, v_t otherwise)
{
    for (int i = 0; i < VL; i++)
        if (m[i]) otherwise[i] = p[i];
    return otherwise;
}
V_INLINE void v_store_if(real *p, v_mask m, v_t a)
{
    for (int i = 0; i < VL; i++)
        if (m[i]) p[i] = a[i];
}
/* v_join(v_even(a, b)) is a0 a2 a4 ... b0 b2 ..., v_join(v_odd(a, b)) a1 a3 a5 ... b1 b3 ...; v_part undoes v_join. */
V_INLINE v_t v_join(v_t a) { return a; }
V_INLINE v_t v_part(v_t a) { return a; }
#if FC_BITS == 32
V_INLINE v_t v_even(v_t a, v_t b) { return (v_t){a[0], a[2], b[0], b[2]}; }
V_INLINE v_t v_odd(v_t a, v_t b) { return (v_t){a[1], a[3], b[1], b[3]}; }
#else
V_INLINE v_t v_even(v_t a, v_t b) { return (v_t){a[0], b[0]}; }
V_INLINE v_t v_odd(v_t a, v_t b) { return (v_t){a[1], b[1]}; }
#endif
V_INLINE v_mask v_unordered(v_t a, v_t b) { return (a != a) | (b != b); }
V_INLINE v_mask v_none(void) { return (v_mask){0}; }
V_INLINE v_mask v_either(v_mask a, v_mask b) { return a | b; }
V_INLINE int v_any(v_mask m)
{
    v_bits any = 0;
    for (int i = 0; i < VL; i++) any |= m[i];
    return any != 0;
}
/* Elsewhere a store past the caches. */
V_INLINE void v_stream(real *p, v_t a) { v_store(p, a); }
V_INLINE void v_stream_end(void) {}
/* Lanes of a: index[l], below VL, for lane l. */
typedef v_mask v_index;
V_INLINE v_index v_load_index(const int32_t *p)
{
    v_index index;
    for (int i = 0; i < VL; i++) index[i] = p[i];
    return index;
}
V_INLINE v_t v_pick(v_t a, v_index index)
{
    v_t picked;
    for (int i = 0; i < VL; i++) picked[i] = a[index[i]];
    return picked;
}
/* VL bytes, compared with a number; and a + b where a mask is set, else a, which is not -0. */
typedef v_mask v_bytes;
V_INLINE v_bytes v_load_bytes(const uint8_t *p)
{
    v_bytes a;
    for (int i = 0; i < VL; i++) a[i] = p[i];
    return a;
}
V_INLINE v_mask v_bytes_are(v_bytes a, uint8_t value) { return a == (v_bits)value; }
V_INLINE v_t v_add_if(v_mask m, v_t a, v_t b) { return a + (v_t)(m & (v_mask)b); }
/* The first n lanes, numbers from 0 to 255, as bytes. */
V_INLINE void v_store_bytes_n(uint8_t *p, v_t a, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < n; i++) p[i] = (uint8_t)(int32_t)a[i];
}
