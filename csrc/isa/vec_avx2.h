/* vec_avx2.h - the v_* words for AVX2 with FMA, for the element type chosen by FC_BITS.
 *
 * Register budget: 16 ymm. A 6 x 2 tile keeps 12 accumulators, 2 weight vectors and 1 broadcast: 15. Per step of the
 * reduction it issues 12 multiply-adds for 8 loads.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include <immintrin.h>

#define FC_SPECIAL (FC_BITS == 32)    /* see kernels.h */
#define FC_TILE_ROWS 6
#define FC_GRAD_ROWS 4
#define FC_FEW_ROWS 6
#define FC_FEW_VECTORS 2
#define FC_EACH_FEW_ROWS FC_EACH_ROWS
#define FC_EACH_ROWS(X, v) X(1, v) X(2, v) X(3, v) X(4, v) X(5, v) X(6, v)

#undef VL
#undef V_OP
#if FC_BITS == 32
#define VL 8
typedef __m256 v_t;
#define V_OP(name) _mm256_##name##_ps
#else
#define VL 4
typedef __m256d v_t;
#define V_OP(name) _mm256_##name##_pd
#endif
typedef v_t v_mask;

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
V_INLINE v_mask v_greater(v_t a, v_t b) { return V_OP(cmp)(a, b, _CMP_GT_OQ); }
/* a > b or a is not a number: what replaces b as the maximum. */
V_INLINE v_mask v_beats(v_t a, v_t b) { return V_OP(or)(V_OP(cmp)(a, b, _CMP_GT_OQ), V_OP(cmp)(a, a, _CMP_UNORD_Q)); }
V_INLINE v_t v_select(v_mask m, v_t a, v_t b) { return V_OP(blendv)(b, a, m); }
V_INLINE int v_finite(v_t a)   /* x - x is zero exactly for the finite x */
{
    return V_OP(movemask)(V_OP(cmp)(V_OP(sub)(a, a), V_OP(setzero)(), _CMP_EQ_OQ)) == (1 << VL) - 1;
}

/* The bits of a, moved to the exponent: 2^n where the lowest bits of a are n plus the bias of exponents. */
#if FC_BITS == 32
V_INLINE v_t v_power(v_t a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23)); }
#else
V_INLINE v_t v_power(v_t a) { return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a), 52)); }
#endif

/* a0 b0 a1 b1 ... of the lower / upper halves: VL = 2^n rows zipped n times with their partners are transposed.
 * unpack works within 128-bit lanes, so the lanes are exchanged afterwards. */
#if FC_BITS == 32
#define V_LANES(a, b, which) _mm256_permute2f128_ps(a, b, which)
#else
#define V_LANES(a, b, which) _mm256_permute2f128_pd(a, b, which)
#endif
V_INLINE v_t v_zip_lo(v_t a, v_t b) { return V_LANES(V_OP(unpacklo)(a, b), V_OP(unpackhi)(a, b), 0x20); }
V_INLINE v_t v_zip_hi(v_t a, v_t b) { return V_LANES(V_OP(unpacklo)(a, b), V_OP(unpackhi)(a, b), 0x31); }
#undef V_LANES

/* The first n < VL elements; the others are not touched in memory, and zero in the vector. */
#if FC_BITS == 32
V_INLINE __m256i v_first(ptrdiff_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#else
V_INLINE __m256i v_first(ptrdiff_t n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
#endif
V_INLINE v_t v_load_n(const real *p, ptrdiff_t n) { return V_OP(maskload)(p, v_first(n)); }
V_INLINE void v_store_n(real *p, v_t a, ptrdiff_t n) { V_OP(maskstore)(p, v_first(n), a); }

/* The lanes of a, WL at a time, as doubles. */
typedef __m256d v_wide;
#if FC_BITS == 32
V_INLINE v_wide v_widen(v_t a, const int part)
{
    return _mm256_cvtps_pd(part ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a));
}
#else
V_INLINE v_wide v_widen(v_t a, const int part) { return (void)part, a; }
#endif
V_INLINE v_wide v_wide_load(const double *p) { return _mm256_loadu_pd(p); }
V_INLINE void v_wide_store(double *p, v_wide a) { _mm256_storeu_pd(p, a); }
V_INLINE v_wide v_wide_set1(double x) { return _mm256_set1_pd(x); }
V_INLINE v_wide v_wide_add(v_wide a, v_wide b) { return _mm256_add_pd(a, b); }
V_INLINE v_wide v_wide_sub(v_wide a, v_wide b) { return _mm256_sub_pd(a, b); }
V_INLINE v_wide v_wide_fma(v_wide a, v_wide b, v_wide c) { return _mm256_fmadd_pd(a, b, c); }

/* ---- Pooling: pieces of rows, every second element, masks ------------------------------------------------------*/

/* Lanes from .. to - 1; both may lie outside of the vector. */
V_INLINE v_mask v_span(ptrdiff_t from, ptrdiff_t to)
{
    const ptrdiff_t low = from < 0 ? 0 : from > VL ? VL : from, high = to < low ? low : to > VL ? VL : to;
#if FC_BITS == 32
    return _mm256_castsi256_ps(_mm256_andnot_si256(v_first(low), v_first(high)));
#else
    return _mm256_castsi256_pd(_mm256_andnot_si256(v_first(low), v_first(high)));
#endif
}
/* v_join(v_even(a, b)) is a0 a2 a4 ... b0 b2 ..., v_join(v_odd(a, b)) a1 a3 a5 ... b1 b3 ...: lanes can be put in order
 * after the arithmetic. Element 0 is a0 already before. v_part undoes v_join. */
#if FC_BITS == 32
V_INLINE v_t v_even(v_t a, v_t b) { return _mm256_shuffle_ps(a, b, 0x88); }
V_INLINE v_t v_odd(v_t a, v_t b) { return _mm256_shuffle_ps(a, b, 0xdd); }
V_INLINE v_t v_join(v_t a) { return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xd8)); }
V_INLINE v_t v_load_if(const real *p, v_mask m, v_t otherwise)
{
    return _mm256_blendv_ps(otherwise, _mm256_maskload_ps(p, _mm256_castps_si256(m)), m);
}
V_INLINE void v_store_if(real *p, v_mask m, v_t a) { _mm256_maskstore_ps(p, _mm256_castps_si256(m), a); }
#else
V_INLINE v_t v_even(v_t a, v_t b) { return _mm256_unpacklo_pd(a, b); }
V_INLINE v_t v_odd(v_t a, v_t b) { return _mm256_unpackhi_pd(a, b); }
V_INLINE v_t v_join(v_t a) { return _mm256_permute4x64_pd(a, 0xd8); }
V_INLINE v_t v_load_if(const real *p, v_mask m, v_t otherwise)
{
    return _mm256_blendv_pd(otherwise, _mm256_maskload_pd(p, _mm256_castpd_si256(m)), m);
}
V_INLINE void v_store_if(real *p, v_mask m, v_t a) { _mm256_maskstore_pd(p, _mm256_castpd_si256(m), a); }
#endif
V_INLINE v_t v_part(v_t a) { return v_join(a); }
V_INLINE v_mask v_unordered(v_t a, v_t b) { return V_OP(cmp)(a, b, _CMP_UNORD_Q); }
V_INLINE v_mask v_none(void) { return V_OP(setzero)(); }
V_INLINE v_mask v_either(v_mask a, v_mask b) { return V_OP(or)(a, b); }
V_INLINE int v_any(v_mask m) { return V_OP(movemask)(m) != 0; }
/* A store past the caches, p aligned to a vector; v_stream_end orders such stores before all that follow. */
V_INLINE void v_stream(real *p, v_t a) { V_OP(stream)(p, a); }
V_INLINE void v_stream_end(void) { _mm_sfence(); }
/* Lanes of a: index[l], below VL, for lane l; of doubles the halves. */
typedef __m256i v_index;
#if FC_BITS == 32
V_INLINE v_index v_load_index(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
V_INLINE v_t v_pick(v_t a, v_index index) { return _mm256_permutevar8x32_ps(a, index); }
#else
V_INLINE v_index v_load_index(const int32_t *p)
{
    const __m256i even = _mm256_slli_epi64(_mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)(const void *)p)), 1);
    return _mm256_or_si256(even, _mm256_slli_epi64(_mm256_add_epi64(even, _mm256_set1_epi64x(1)), 32));
}
V_INLINE v_t v_pick(v_t a, v_index index) { return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), index)); }
#endif
/* VL bytes, compared with a number; and a + b where a mask is set, else a, which is not -0. */
typedef __m256i v_bytes;
#if FC_BITS == 32
V_INLINE v_bytes v_load_bytes(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)); }
V_INLINE v_mask v_bytes_are(v_bytes a, uint8_t value)
{
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(a, _mm256_set1_epi32(value)));
}
#else
V_INLINE v_bytes v_load_bytes(const uint8_t *p) { return _mm256_cvtepu8_epi64(_mm_loadu_si32(p)); }
V_INLINE v_mask v_bytes_are(v_bytes a, uint8_t value)
{
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(a, _mm256_set1_epi64x(value)));
}
#endif
V_INLINE v_t v_add_if(v_mask m, v_t a, v_t b) { return v_add(a, V_OP(and)(m, b)); }
/* The first n lanes, numbers from 0 to 255, as bytes. */
V_INLINE void v_store_bytes_n(uint8_t *p, v_t a, ptrdiff_t n)
{
#if FC_BITS == 32
    const __m256i wide = _mm256_cvttps_epi32(a);
    const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
#else
    const __m128i wide = _mm256_cvttpd_epi32(a), words = _mm_packus_epi32(wide, wide);
#endif
    const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
    memcpy(p, &bytes, (size_t)n);
}
