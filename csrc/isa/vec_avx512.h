/* vec_avx512.h - the v_* words for AVX-512 (F, DQ, BW, VL), for the element type chosen by FC_BITS.
 *
 * Register budget: 32 zmm. A 14 x 2 tile keeps 28 accumulators, 2 weight vectors and 1 broadcast: 31. Per step of
 * the reduction it issues 28 multiply-adds for 16 loads, so neither of two load ports is the limit.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include <immintrin.h>

#define FC_SPECIAL (FC_BITS == 32)    /* see kernels.h */
#define FC_TILE_ROWS 14
#define FC_GRAD_ROWS 8
#define FC_FEW_ROWS 6
#define FC_FEW_VECTORS 4
#define FC_EACH_FEW_ROWS(X, v) X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v)
#define FC_EACH_ROWS(X, v) X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v) X(7, v) X(8, v) X(9, v) X(10, v) X(11, v) X(12, v) X(13, v) X(14, v)

#undef VL
#undef V_OP
#if FC_BITS == 32
#define VL 16
typedef __m512 v_t;
typedef __mmask16 v_mask;
#define V_OP(name) _mm512_##name##_ps
#else
#define VL 8
typedef __m512d v_t;
typedef __mmask8 v_mask;
#define V_OP(name) _mm512_##name##_pd
#endif

V_INLINE v_t v_load(const real *p) { return V_OP(loadu)(p); }
V_INLINE void v_store(real *p, v_t a) { V_OP(storeu)(p, a); }
V_INLINE v_t v_zero(void) { return V_OP(setzero)(); }
V_INLINE v_t v_set1(real x) { return V_OP(set1)(x); }
V_INLINE v_t v_add(v_t a, v_t b) { return V_OP(add)(a, b); }
V_INLINE v_t v_sub(v_t a, v_t b) { return V_OP(sub)(a, b); }
V_INLINE v_t v_mul(v_t a, v_t b) { return V_OP(mul)(a, b); }
V_INLINE v_t v_div(v_t a, v_t b) { return V_OP(div)(a, b); }
V_INLINE v_t v_sqrt(v_t a) { return V_OP(sqrt)(a); }
V_INLINE v_t v_fma(v_t a, v_t b, v_t c) { return V_OP(fmadd)(a, b, c); }    /* a * b + c */
V_INLINE v_t v_fnma(v_t a, v_t b, v_t c) { return V_OP(fnmadd)(a, b, c); }  /* c - a * b */

V_INLINE v_t v_max(v_t a, v_t b) { return V_OP(max)(a, b); }    /* a if a > b, else b */
/* a > b or a is not a number: what replaces b as the maximum. */
#if FC_BITS == 32
V_INLINE v_mask v_greater(v_t a, v_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
V_INLINE v_mask v_beats(v_t a, v_t b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) | _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}
V_INLINE v_t v_select(v_mask m, v_t a, v_t b) { return _mm512_mask_blend_ps(m, b, a); }
V_INLINE int v_finite(v_t a) { return _mm512_fpclass_ps_mask(a, 0x99) == 0; }
#else
V_INLINE v_mask v_greater(v_t a, v_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
V_INLINE v_mask v_beats(v_t a, v_t b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ) | _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q);
}
V_INLINE v_t v_select(v_mask m, v_t a, v_t b) { return _mm512_mask_blend_pd(m, b, a); }
V_INLINE int v_finite(v_t a) { return _mm512_fpclass_pd_mask(a, 0x99) == 0; }
#endif

/* The bits of a, moved to the exponent: 2^n where the lowest bits of a are n plus the bias of exponents. */
#if FC_BITS == 32
V_INLINE v_t v_power(v_t a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23)); }
#else
V_INLINE v_t v_power(v_t a) { return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), 52)); }
#endif

/* a0 b0 a1 b1 ... of the lower / upper halves: VL = 2^n rows zipped n times with their partners are transposed. */
#if FC_BITS == 32
V_INLINE v_t v_zip_lo(v_t a, v_t b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}
V_INLINE v_t v_zip_hi(v_t a, v_t b)
{
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), b);
}
#else
V_INLINE v_t v_zip_lo(v_t a, v_t b) { return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b); }
V_INLINE v_t v_zip_hi(v_t a, v_t b) { return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b); }
#endif

/* The first n < VL elements; the others are not touched in memory, and zero in the vector. */
V_INLINE v_mask v_first(ptrdiff_t n) { return (v_mask)((1u << n) - 1u); }
#if FC_BITS == 32
V_INLINE v_t v_load_n(const real *p, ptrdiff_t n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
V_INLINE void v_store_n(real *p, v_t a, ptrdiff_t n) { _mm512_mask_storeu_ps(p, v_first(n), a); }
#else
V_INLINE v_t v_load_n(const real *p, ptrdiff_t n) { return _mm512_maskz_loadu_pd(v_first(n), p); }
V_INLINE void v_store_n(real *p, v_t a, ptrdiff_t n) { _mm512_mask_storeu_pd(p, v_first(n), a); }
#endif

/* The lanes of a, WL at a time, as doubles. */
typedef __m512d v_wide;
#if FC_BITS == 32
V_INLINE v_wide v_widen(v_t a, const int part)
{
    return _mm512_cvtps_pd(part ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a));
}
#else
V_INLINE v_wide v_widen(v_t a, const int part) { return (void)part, a; }
#endif
V_INLINE v_wide v_wide_load(const double *p) { return _mm512_loadu_pd(p); }
V_INLINE void v_wide_store(double *p, v_wide a) { _mm512_storeu_pd(p, a); }
V_INLINE v_wide v_wide_set1(double x) { return _mm512_set1_pd(x); }
V_INLINE v_wide v_wide_add(v_wide a, v_wide b) { return _mm512_add_pd(a, b); }
V_INLINE v_wide v_wide_sub(v_wide a, v_wide b) { return _mm512_sub_pd(a, b); }
V_INLINE v_wide v_wide_fma(v_wide a, v_wide b, v_wide c) { return _mm512_fmadd_pd(a, b, c); }

/* ---- Pooling: pieces of rows, every second element, masks ------------------------------------------------------*/

/* Lanes from .. to - 1; both may lie outside of the vector. */
V_INLINE v_mask v_span(ptrdiff_t from, ptrdiff_t to)
{
    const ptrdiff_t low = from < 0 ? 0 : from > VL ? VL : from, high = to < low ? low : to > VL ? VL : to;
    return (v_mask)((1u << high) - (1u << low));
}
/* v_join(v_even(a, b)) is a0 a2 a4 ... b0 b2 ..., v_join(v_odd(a, b)) a1 a3 a5 ... b1 b3 ...: shuffles within 128-bit
 * lanes need no copy of an operand, and lanes can be put in order after the arithmetic. Element 0 is a0 already before.
 * v_part undoes v_join. */
#if FC_BITS == 32
V_INLINE v_t v_even(v_t a, v_t b) { return _mm512_shuffle_ps(a, b, 0x88); }
V_INLINE v_t v_odd(v_t a, v_t b) { return _mm512_shuffle_ps(a, b, 0xdd); }
V_INLINE v_t v_join(v_t a)
{
    return _mm512_castpd_ps(_mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_castps_pd(a)));
}
V_INLINE v_t v_part(v_t a)
{
    return _mm512_castpd_ps(_mm512_permutexvar_pd(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), _mm512_castps_pd(a)));
}
V_INLINE v_t v_load_if(const real *p, v_mask m, v_t otherwise) { return _mm512_mask_loadu_ps(otherwise, m, p); }
V_INLINE void v_store_if(real *p, v_mask m, v_t a) { _mm512_mask_storeu_ps(p, m, a); }
V_INLINE v_mask v_unordered(v_t a, v_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q); }
#else
V_INLINE v_t v_even(v_t a, v_t b) { return _mm512_unpacklo_pd(a, b); }
V_INLINE v_t v_odd(v_t a, v_t b) { return _mm512_unpackhi_pd(a, b); }
V_INLINE v_t v_join(v_t a) { return _mm512_permutexvar_pd(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), a); }
V_INLINE v_t v_part(v_t a) { return _mm512_permutexvar_pd(_mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7), a); }
V_INLINE v_t v_load_if(const real *p, v_mask m, v_t otherwise) { return _mm512_mask_loadu_pd(otherwise, m, p); }
V_INLINE void v_store_if(real *p, v_mask m, v_t a) { _mm512_mask_storeu_pd(p, m, a); }
V_INLINE v_mask v_unordered(v_t a, v_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_UNORD_Q); }
#endif
V_INLINE v_mask v_none(void) { return 0; }
V_INLINE v_mask v_either(v_mask a, v_mask b) { return a | b; }
V_INLINE int v_any(v_mask m) { return m != 0; }
/* A store past the caches, p aligned to a vector; v_stream_end orders such stores before all that follow. */
V_INLINE void v_stream(real *p, v_t a) { V_OP(stream)(p, a); }
V_INLINE void v_stream_end(void) { _mm_sfence(); }
/* Lanes of a: index[l], below VL, for lane l. */
typedef __m512i v_index;
#if FC_BITS == 32
V_INLINE v_index v_load_index(const int32_t *p) { return _mm512_loadu_si512(p); }
V_INLINE v_t v_pick(v_t a, v_index index) { return _mm512_permutexvar_ps(index, a); }
#else
V_INLINE v_index v_load_index(const int32_t *p) { return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
V_INLINE v_t v_pick(v_t a, v_index index) { return _mm512_permutexvar_pd(index, a); }
#endif
/* VL bytes, compared with a number; and a + b where a mask is set, else a, which is not -0. */
typedef __m128i v_bytes;
#if FC_BITS == 32
V_INLINE v_bytes v_load_bytes(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
V_INLINE v_t v_add_if(v_mask m, v_t a, v_t b) { return _mm512_mask_add_ps(a, m, a, b); }
#else
V_INLINE v_bytes v_load_bytes(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)(const void *)p); }
V_INLINE v_t v_add_if(v_mask m, v_t a, v_t b) { return _mm512_mask_add_pd(a, m, a, b); }
#endif
V_INLINE v_mask v_bytes_are(v_bytes a, uint8_t value) { return (v_mask)_mm_cmpeq_epi8_mask(a, _mm_set1_epi8((char)value)); }
/* The first n lanes, numbers from 0 to 255, as bytes. */
V_INLINE void v_store_bytes_n(uint8_t *p, v_t a, ptrdiff_t n)
{
    const __mmask16 first = (__mmask16)((1u << n) - 1u);
#if FC_BITS == 32
    _mm512_mask_cvtepi32_storeu_epi8(p, first, _mm512_cvttps_epi32(a));
#else
    _mm256_mask_cvtepi32_storeu_epi8(p, (__mmask8)first, _mm512_cvttpd_epi32(a));
#endif
}
