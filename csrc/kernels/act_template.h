/* act_template.h - element-wise operations on n adjacent elements; see fc_act in fastconv.h for the formulas.
 *
 * Maxima and minima as PyTorch has them: NaN stays NaN, and -0 stays -0 where it meets 0.
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

/* ---- Curves: functions of x, and their gradients, g times the derivative at x ------------------------------------*/

V_INLINE v_t FC_NAME(clip)(v_t x, v_t low, v_t high) { return FC_NAME(least)(v_max(low, x), high); }

V_INLINE v_t FC_NAME(curve)(v_t x, v_t p, v_t q, const fc_act act)
{
    const v_t zero = v_zero(), one = v_set1(1), three = v_set1(3), sixth = v_set1((real)(1 / 6.0));
    v_t density;
    switch (act) {
    case FC_CLIP: return FC_NAME(clip)(x, p, q);
    case FC_LEAKY_RELU: return v_select(v_greater(x, zero), x, v_mul(p, x));
    case FC_ELU:
        return v_select(v_greater(zero, x), v_mul(p, FC_NAME(exp_less_1)(FC_NAME(least)(x, zero))), v_mul(q, x));
    case FC_SIGMOID: return FC_NAME(sigmoid)(x);
    case FC_SILU: return v_mul(x, FC_NAME(sigmoid)(x));
    case FC_ERF: return FC_NAME(erf)(x);
    case FC_GELU: return v_mul(x, FC_NAME(normal)(x, &density));
    case FC_HARDSIGMOID: return v_mul(sixth, FC_NAME(clip)(v_add(x, three), zero, v_set1(6)));
    case FC_HARDSWISH: return v_mul(x, v_mul(sixth, FC_NAME(clip)(v_add(x, three), zero, v_set1(6))));
    default: return v_div(x, v_add(one, FC_NAME(absolute)(x)));
    }
}

/* x s(u), u = 2 sqrt(2 / pi) (x + 0.044715 x^3), s the logistic function: x / 2 (1 + tanh(u / 2)). Beyond 30 s is 0 or 1. */
V_INLINE v_t FC_NAME(gelu_tanh)(v_t x, v_t *derivative)
{
    const v_t one = v_set1(1), near = FC_NAME(clip)(x, v_set1(-30), v_set1(30)), square = v_mul(near, near);
    const v_t c = v_set1((real)1.5957691216057308), k = v_set1((real)0.044715);
    const v_t s = FC_NAME(sigmoid)(v_mul(v_mul(c, near), v_fma(k, square, one)));
    const v_t slope = v_mul(c, v_fma(v_set1((real)0.134145), square, one));
    *derivative = v_fma(v_mul(near, slope), v_mul(s, v_sub(one, s)), s);
    return v_mul(x, s);
}

V_INLINE v_t FC_NAME(curve_backward)(v_t g, v_t x, v_t p, v_t q, const fc_act act)
{
    const v_t zero = v_zero(), one = v_set1(1), three = v_set1(3), minus_three = v_set1(-3);
    const v_mask nan = v_unordered(x, x);
    v_t s, density;
    switch (act) {
    case FC_CLIP_BACKWARD: return v_select(v_greater(x, p), v_select(v_greater(q, x), g, zero), zero);
    case FC_LEAKY_RELU_BACKWARD: return v_select(v_greater(x, zero), g, v_mul(p, g));
    case FC_ELU_BACKWARD:
        return v_mul(g, v_select(v_greater(x, zero), q, v_mul(p, FC_NAME(exp)(FC_NAME(least)(x, zero)))));
    case FC_SIGMOID_BACKWARD: return v_mul(g, v_mul(x, v_sub(one, x)));
    case FC_TANH_BACKWARD: return v_mul(g, v_mul(v_add(one, x), v_sub(one, x)));
    case FC_SILU_BACKWARD:
        s = FC_NAME(sigmoid)(x);
        return v_mul(g, v_mul(s, v_fma(x, v_sub(one, s), one)));
    case FC_ERF_BACKWARD:
        s = FC_NAME(least)(FC_NAME(absolute)(x), v_set1(30));
        return v_mul(g, v_mul(v_set1((real)1.1283791670955126), FC_NAME(exp_product)(s, s)));
    case FC_GELU_BACKWARD:
        s = FC_NAME(normal)(x, &density);
        return v_mul(g, v_fma(v_mul(x, v_set1((real)0.3989422804014327)), density, s));
    case FC_GELU_TANH_BACKWARD: return FC_NAME(gelu_tanh)(x, &s), v_mul(g, s);
    case FC_HARDSIGMOID_BACKWARD:
        return v_select(v_greater(x, minus_three), v_select(v_greater(three, x), v_mul(g, v_set1((real)(1 / 6.0))), zero), zero);
    case FC_HARDSWISH_BACKWARD:
        s = v_mul(g, v_fma(x, v_set1((real)(1 / 3.0)), v_set1((real)0.5)));
        return v_select(v_beats(x, minus_three), v_select(v_either(v_greater(three, x), nan), s, g), zero);
    case FC_SOFTPLUS_BACKWARD:
        s = v_mul(p, x);
        return v_select(v_greater(s, q), g, v_mul(g, FC_NAME(sigmoid)(s)));
    default:
        s = v_div(one, v_add(one, FC_NAME(absolute)(x)));
        return v_mul(g, v_mul(s, s));
    }
}

V_INLINE v_t FC_NAME(curve_get)(const real *p, ptrdiff_t n) { return n < VL ? v_load_n(p, n) : v_load(p); }

V_INLINE void FC_NAME(curve_line)(real *to, const real *a, const real *b, double p, double q, ptrdiff_t n, const fc_act act)
{
    const v_t first = v_set1((real)p), second = v_set1((real)q);
    for (ptrdiff_t i = 0; i < n; i += VL) {
        const v_t x = FC_NAME(curve_get)(a + i, n - i);
        v_t y, derivative;
        if (act == FC_GELU_TANH) y = FC_NAME(gelu_tanh)(x, &derivative);
        else if (act < FC_RELU_BACKWARD) y = FC_NAME(curve)(x, first, second, act);
        else y = FC_NAME(curve_backward)(x, FC_NAME(curve_get)(b + i, n - i), first, second, act);
        if (n - i < VL) v_store_n(to + i, y, n - i);
        else v_store(to + i, y);
    }
}

static void FC_NAME(act)(fc_act act, void *to, const void *a, const void *b, double p, double q, int64_t n)
{
    switch (act) {
#define FC_LINE(name) case name: FC_NAME(act_line)(to, a, b, n, name); return;
    FC_LINE(FC_RELU)
    FC_LINE(FC_RELU_BACKWARD)
    FC_LINE(FC_ADD)
    FC_LINE(FC_ADD_RELU)
#undef FC_LINE
#define FC_LINE(name) case name: FC_NAME(curve_line)(to, a, b, p, q, n, name); return;
    FC_LINE(FC_CLIP)
    FC_LINE(FC_LEAKY_RELU)
    FC_LINE(FC_ELU)
    FC_LINE(FC_SIGMOID)
    FC_LINE(FC_SILU)
    FC_LINE(FC_ERF)
    FC_LINE(FC_GELU)
    FC_LINE(FC_GELU_TANH)
    FC_LINE(FC_HARDSIGMOID)
    FC_LINE(FC_HARDSWISH)
    FC_LINE(FC_SOFTSIGN)
    FC_LINE(FC_CLIP_BACKWARD)
    FC_LINE(FC_LEAKY_RELU_BACKWARD)
    FC_LINE(FC_ELU_BACKWARD)
    FC_LINE(FC_SIGMOID_BACKWARD)
    FC_LINE(FC_TANH_BACKWARD)
    FC_LINE(FC_SILU_BACKWARD)
    FC_LINE(FC_ERF_BACKWARD)
    FC_LINE(FC_GELU_BACKWARD)
    FC_LINE(FC_GELU_TANH_BACKWARD)
    FC_LINE(FC_HARDSIGMOID_BACKWARD)
    FC_LINE(FC_HARDSWISH_BACKWARD)
    FC_LINE(FC_SOFTPLUS_BACKWARD)
    FC_LINE(FC_SOFTSIGN_BACKWARD)
#undef FC_LINE
    }
}
