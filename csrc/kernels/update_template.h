/* update_template.h - the updates of optimisers, element by element; see fc_update in fastconv.h for the formulas.
 * SPDX-License-Identifier: BSD-3-Clause
 */

V_INLINE v_t FC_NAME(update_get)(const real *p, ptrdiff_t n) { return n < VL ? v_load_n(p, n) : v_load(p); }

V_INLINE void FC_NAME(update_put)(real *p, v_t a, ptrdiff_t n)
{
    if (n < VL) v_store_n(p, a, n);
    else v_store(p, a);
}

/* The gradient, its sign and the decay of p included. */
V_INLINE v_t FC_NAME(update_gradient)(const fc_update *u, ptrdiff_t i, v_t p, ptrdiff_t n)
{
    v_t g = FC_NAME(update_get)((const real *)u->g + i, n);
    if (u->ascend) g = v_sub(v_zero(), g);
    return u->decay != 0 ? v_fma(v_set1((real)u->decay), p, g) : g;
}

static void FC_NAME(sgd)(const fc_update *u)
{
    real *const to = u->p, *const moment = u->state[0];
    for (ptrdiff_t i = 0; i < u->n; i += VL) {
        const ptrdiff_t n = u->n - i;
        const v_t p = FC_NAME(update_get)(to + i, n);
        v_t step = FC_NAME(update_gradient)(u, i, p, n);
        if (moment) {
            const v_t old = v_mul(v_set1((real)u->momentum), FC_NAME(update_get)(moment + i, n));
            const v_t v = v_fma(v_set1((real)u->gain), step, old);
            FC_NAME(update_put)(moment + i, v, n);
            step = u->nesterov ? v_fma(v_set1((real)u->momentum), v, step) : v;
        }
        FC_NAME(update_put)(to + i, v_fnma(v_set1((real)u->rate), step, p), n);
    }
}

static void FC_NAME(adam)(const fc_update *u)
{
    real *const to = u->p, *const mean = u->state[0], *const square = u->state[1], *const largest = u->state[2];
    for (ptrdiff_t i = 0; i < u->n; i += VL) {
        const ptrdiff_t n = u->n - i;
        const v_t p = v_mul(v_set1((real)u->keep), FC_NAME(update_get)(to + i, n));
        const v_t g = FC_NAME(update_gradient)(u, i, p, n), old = FC_NAME(update_get)(mean + i, n);
        const v_t m = v_fma(v_set1((real)u->gain), v_sub(g, old), old);
        const v_t faded = v_mul(v_set1((real)u->momentum), FC_NAME(update_get)(square + i, n));
        v_t v = v_fma(v_mul(v_set1((real)u->square_gain), g), g, faded);
        FC_NAME(update_put)(mean + i, m, n);
        FC_NAME(update_put)(square + i, v, n);
        if (largest) {
            const v_t most = FC_NAME(update_get)(largest + i, n);
            v = v_select(v_beats(most, v), most, v);
            FC_NAME(update_put)(largest + i, v, n);
        }
        const v_t length = v_add(v_div(v_sqrt(v), v_set1((real)u->root)), v_set1((real)u->eps));
        FC_NAME(update_put)(to + i, v_fnma(v_set1((real)u->rate), v_div(m, length), p), n);
    }
}

static void FC_NAME(rmsprop)(const fc_update *u)
{
    real *const to = u->p, *const square = u->state[0], *const moment = u->state[1], *const mean = u->state[2];
    for (ptrdiff_t i = 0; i < u->n; i += VL) {
        const ptrdiff_t n = u->n - i;
        const v_t p = FC_NAME(update_get)(to + i, n), g = FC_NAME(update_gradient)(u, i, p, n);
        const v_t gain = v_set1((real)u->gain), faded = v_mul(v_set1((real)u->keep), FC_NAME(update_get)(square + i, n));
        const v_t v = v_fma(v_mul(gain, g), g, faded);
        FC_NAME(update_put)(square + i, v, n);
        v_t variance = v;
        if (mean) {
            const v_t old = FC_NAME(update_get)(mean + i, n), a = v_fma(gain, v_sub(g, old), old);
            FC_NAME(update_put)(mean + i, a, n);
            variance = v_max(v_zero(), v_fnma(a, a, v));    /* rounding may take it below 0; NaN stays */
        }
        v_t step = v_div(g, v_add(v_sqrt(variance), v_set1((real)u->eps)));
        if (moment) {
            step = v_fma(v_set1((real)u->momentum), FC_NAME(update_get)(moment + i, n), step);
            FC_NAME(update_put)(moment + i, step, n);
        }
        FC_NAME(update_put)(to + i, v_fnma(v_set1((real)u->rate), step, p), n);
    }
}

static void FC_NAME(adagrad)(const fc_update *u)
{
    real *const to = u->p, *const sum = u->state[0];
    for (ptrdiff_t i = 0; i < u->n; i += VL) {
        const ptrdiff_t n = u->n - i;
        const v_t p = FC_NAME(update_get)(to + i, n), g = FC_NAME(update_gradient)(u, i, p, n);
        const v_t v = v_fma(g, g, FC_NAME(update_get)(sum + i, n));
        FC_NAME(update_put)(sum + i, v, n);
        const v_t length = v_add(v_sqrt(v), v_set1((real)u->eps));
        FC_NAME(update_put)(to + i, v_fnma(v_set1((real)u->rate), v_div(g, length), p), n);
    }
}
