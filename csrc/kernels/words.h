/* words.h - gives every word of the templates a name of its own for each element type.
 *
 * A kernels_*.c file includes its vec_*.h and the templates twice, with FC_BITS 32 and 64. FC_BITS is looked up where
 * a word is used, so `v_load` means v_load_32 in the first round and v_load_64 in the second.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_WORDS_H
#define FC_WORDS_H

#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#define FC_PASTE_(name, bits) name##_##bits
#define FC_PASTE(name, bits) FC_PASTE_(name, bits)
#define FC_NAME(name) FC_PASTE(name, FC_BITS)

#define real FC_NAME(real)
#define v_t FC_NAME(v_t)
#define v_mask FC_NAME(v_mask)
#define v_bits FC_NAME(v_bits)
#define v_unaligned FC_NAME(v_unaligned)
#define v_load FC_NAME(v_load)
#define v_load_n FC_NAME(v_load_n)
#define v_store FC_NAME(v_store)
#define v_store_n FC_NAME(v_store_n)
#define v_first FC_NAME(v_first)
#define v_zero FC_NAME(v_zero)
#define v_set1 FC_NAME(v_set1)
#define v_add FC_NAME(v_add)
#define v_sub FC_NAME(v_sub)
#define v_mul FC_NAME(v_mul)
#define v_div FC_NAME(v_div)
#define v_sqrt FC_NAME(v_sqrt)
#define v_fma FC_NAME(v_fma)
#define v_fnma FC_NAME(v_fnma)
#define v_max FC_NAME(v_max)
#define v_greater FC_NAME(v_greater)
#define v_beats FC_NAME(v_beats)
#define v_select FC_NAME(v_select)
#define v_power FC_NAME(v_power)
#define v_finite FC_NAME(v_finite)
#define v_zip_lo FC_NAME(v_zip_lo)
#define v_zip_hi FC_NAME(v_zip_hi)
#define v_span FC_NAME(v_span)
#define v_load_if FC_NAME(v_load_if)
#define v_store_if FC_NAME(v_store_if)
#define v_stream FC_NAME(v_stream)
#define v_stream_end FC_NAME(v_stream_end)
#define v_index FC_NAME(v_index)
#define v_load_index FC_NAME(v_load_index)
#define v_pick FC_NAME(v_pick)
#define v_even FC_NAME(v_even)
#define v_odd FC_NAME(v_odd)
#define v_join FC_NAME(v_join)
#define v_part FC_NAME(v_part)
#define v_unordered FC_NAME(v_unordered)
#define v_none FC_NAME(v_none)
#define v_either FC_NAME(v_either)
#define v_any FC_NAME(v_any)
#define v_bytes FC_NAME(v_bytes)
#define v_load_bytes FC_NAME(v_load_bytes)
#define v_bytes_are FC_NAME(v_bytes_are)
#define v_add_if FC_NAME(v_add_if)
#define v_store_bytes_n FC_NAME(v_store_bytes_n)

/* Vectors of doubles, for sums that are more accurate than their terms; v_wide has WL lanes. */
#define v_wide FC_NAME(v_wide)
#define v_widen FC_NAME(v_widen)
#define v_wide_load FC_NAME(v_wide_load)
#define v_wide_store FC_NAME(v_wide_store)
#define v_wide_set1 FC_NAME(v_wide_set1)
#define v_wide_add FC_NAME(v_wide_add)
#define v_wide_sub FC_NAME(v_wide_sub)
#define v_wide_fma FC_NAME(v_wide_fma)
#define WL (VL * FC_BITS / 64)

#define V_INLINE static inline __attribute__((always_inline, unused))

/* Into the level-2 cache. */
static inline __attribute__((always_inline, unused)) void v_prefetch(const void *p) { __builtin_prefetch(p, 0, 2); }

/* Into the first-level cache. */
static inline __attribute__((always_inline, unused)) void v_prefetch_near(const void *p) { __builtin_prefetch(p, 0, 3); }

static inline __attribute__((always_inline, unused)) void v_prefetch_to_write(const void *p) { __builtin_prefetch(p, 1); }

/* In front of a loop with constant bounds: no loop is left. UNROLL_4: four rounds at a time. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_4 _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#define UNROLL_4 _Pragma("GCC unroll 4")
#endif

/* Vectors in a block of 16 channels. */
#define BLOCK_VECTORS (FC_BLOCK / VL)

#endif
