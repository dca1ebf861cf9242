/* act_template.h - element-wise operations on n adjacent elements.
 *
 * A maximum with zero as PyTorch has it: NaN stays NaN, and -0 stays -0.
 * SPDX-License-Identifier: BSD-3-Clause
 */

V_INLINE v_t FC_NAME(act_value)(v_t a, v_t b, const fc_act act)
{
    switch (act) {
    case FC_RELU: return v_max(v_zero(), a);
    case FC_RELU_BACKWARD: return v_select(v_beats(b, v_zero()), a, v_zero());
    case FC_ADD: return v_add(a, b);
    default: return v_max(v_zero(), v_add(a, b));
    }
}

V_INLINE void FC_NAME(act_line)(real *to, const real *a, const real *b, ptrdiff_t n, const fc_act act)
{
    const int two = act != FC_RELU;
    ptrdiff_t i = 0;
    for (; i + VL <= n; i += VL) v_store(to + i, FC_NAME(act_value)(v_load(a + i), two ? v_load(b + i) : v_zero(), act));
    if (i == n) return;
    const v_t last = two ? v_load_n(b + i, n - i) : v_zero();
    v_store_n(to + i, FC_NAME(act_value)(v_load_n(a + i, n - i), last, act), n - i);
}

static void FC_NAME(act)(fc_act act, void *to, const void *a, const void *b, int64_t n)
{
    switch (act) {
    case FC_RELU: FC_NAME(act_line)(to, a, b, n, FC_RELU); return;
    case FC_RELU_BACKWARD: FC_NAME(act_line)(to, a, b, n, FC_RELU_BACKWARD); return;
    case FC_ADD: FC_NAME(act_line)(to, a, b, n, FC_ADD); return;
    case FC_ADD_RELU: FC_NAME(act_line)(to, a, b, n, FC_ADD_RELU); return;
    }
}
