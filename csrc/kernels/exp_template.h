/* exp_template.h - the exponential of what is not positive, and the error function.
 *
 *     e^x = 2^n (1 + p),  n = round(x / ln 2),  p = e^r - 1 = r + r^2 S(r),  r = x - n ln 2
 *     erf(x) = x + x E(x^2) where |x| < 1, else sign(x) (1 - erfc(|x|))
 *     erfc(z) = e^(-z^2) erfcx(z),  erfcx(z) = C((z - 4) / (z + 4)) / (z + 4)
 *
 * ln 2 is two numbers, so that n ln 2 is exact but for what the second leaves. The square z^2 is rounded, and e^(-z^2) is
 * corrected by what was lost where the CPU multiplies and adds without rounding in between: else the relative error of
 * erfc would grow with z^2. S, E and C interpolate at Chebyshev's points; C on all z that matter, which t = (z - 4) / (z + 4)
 * brings into (-1, 1). Relative errors: S r^2 8e-9 and 2e-17, E and C below 1e-8 and 6e-17, for float and double. Exponentials
 * below the least normal number are 0. NaN stays NaN.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#if FC_BITS == 32
/* The least x, and the z from which erfc is 0; 1.5 * 2^23 + 127, to which n is added so that the bits of the sum end in
 * those of the exponent of 2^n. */
#define FC_LEAST -87.33654f
#define FC_FAR 10.0f
#define FC_SHIFT 12583039.0f
#define FC_LN2 0.693145751953125f
#define FC_LN2_REST 1.4286068203094173e-06f
#define FC_PER_LN2 1.44269504f
static const real FC_NAME(exp_series)[] = {
    0.5f, 0.166665733f, 0.0416665487f, 0.00836377405f, 0.00139269268f,
};
static const real FC_NAME(erf_series)[] = {
    0.128379166f, -0.37612626f, 0.112835944f, -0.0268542115f, 0.00518908724f, -0.00080168643f, 7.87587487e-05f,
};
static const real FC_NAME(erfcx_series)[] = {
    1.09599566f, -0.976548731f, 0.773208857f, -0.540853381f, 0.330848664f, -0.174021721f, 0.0763941184f,
    -0.0262859985f, 0.00616669096f, -0.000458788942f, -0.000782587624f,
};
#else
#define FC_LEAST -708.39641853226408
#define FC_FAR 27.0
#define FC_SHIFT 6755399441056767.0
#define FC_LN2 0.6931471805592082
#define FC_LN2_REST 7.371002565167799e-13
#define FC_PER_LN2 1.4426950408889634
static const real FC_NAME(exp_series)[] = {
    0.50000000000000011, 0.16666666666666669, 0.041666666666620639, 0.0083333333333297926, 0.0013888888918939168,
    0.00019841269864380513, 2.4801518641395993e-05, 2.7557266418612302e-06, 2.7621338669142925e-07,
    2.5101346928350339e-08,
};
static const real FC_NAME(erf_series)[] = {
    0.12837916709551256, -0.37612638903183543, 0.11283791670945006, -0.02686617064323777, 0.0052239776071164225,
    -0.00085483259753896918, 0.00012055294904839707, -1.4924736907419661e-05, 1.6447424703317362e-06,
    -1.6208483801871705e-07, 1.3720064546777686e-08, -7.7958988270021425e-10,
};
static const real FC_NAME(erfcx_series)[] = {
    1.0959956610004911, -0.97654872908088208, 0.77320870226523764, -0.5408538313132214, 0.33085158787797714,
    -0.17401093724040378, 0.076381514910132453, -0.026370053332813836, 0.0061120556462494315, -0.00028095893253327238,
    -0.00045505262483978447, 0.00017681318319289938, -3.6353826014171695e-06, -1.8862144901542804e-05,
    4.6948372924585079e-06, 1.4269555514790643e-06, -8.4661107555161604e-07, -7.9255486896339139e-08,
    1.2420153560314389e-07, 3.6724367934664709e-09, -1.5240327397715749e-08, -7.6186407551301178e-10,
    8.6900248473984643e-10,
};
#endif

#define FC_POLYNOMIAL(x, series) FC_NAME(polynomial)(x, series, (int)(sizeof(series) / sizeof(series[0])) - 1)

V_INLINE v_t FC_NAME(polynomial)(v_t x, const real *series, const int degree)
{
    v_t y = v_set1(series[degree]);
    UNROLL for (int i = degree - 1; i >= 0; i--) y = v_fma(y, x, v_set1(series[i]));
    return y;
}

V_INLINE v_t FC_NAME(negative)(v_t a) { return v_sub(v_zero(), a); }
V_INLINE v_t FC_NAME(absolute)(v_t a) { return v_max(a, FC_NAME(negative)(a)); }
V_INLINE v_t FC_NAME(least)(v_t a, v_t b) { return v_select(v_greater(a, b), b, a); }    /* b if a > b, else a */

/* e^x = scale + scale * p, for x <= 0. */
V_INLINE void FC_NAME(exp_parts)(v_t x, v_t *scale, v_t *p)
{
    const v_t in_range = v_max(v_set1(FC_LEAST), x);
    const v_t shifted = v_fma(in_range, v_set1(FC_PER_LN2), v_set1(FC_SHIFT)), n = v_sub(shifted, v_set1(FC_SHIFT));
    const v_t r = v_fnma(n, v_set1(FC_LN2_REST), v_fnma(n, v_set1(FC_LN2), in_range));
    *scale = v_select(v_greater(v_set1(FC_LEAST), x), v_zero(), v_power(shifted));
    *p = v_fma(v_mul(r, r), FC_POLYNOMIAL(r, FC_NAME(exp_series)), r);
}

/* e^x for x <= 0. */
V_INLINE v_t FC_NAME(exp)(v_t x)
{
    v_t scale, p;
    FC_NAME(exp_parts)(x, &scale, &p);
    return v_fma(scale, p, scale);
}

/* e^x - 1 for x <= 0, without cancellation near 0. */
V_INLINE v_t FC_NAME(exp_less_1)(v_t x)
{
    v_t scale, p;
    FC_NAME(exp_parts)(x, &scale, &p);
    return v_fma(scale, p, v_sub(scale, v_set1(1)));
}

/* e^(-a b), for a b >= 0 and not infinite. */
V_INLINE v_t FC_NAME(exp_product)(v_t a, v_t b)
{
    const v_t product = v_mul(a, b), lost = v_fnma(a, b, product), e = FC_NAME(exp)(FC_NAME(negative)(product));
    return v_fma(e, lost, e);
}

/* erfc(z) for 0 <= z <= FC_FAR, given e^(-z^2). */
V_INLINE v_t FC_NAME(erfc)(v_t z, v_t e)
{
    const v_t u = v_div(v_set1(1), v_add(z, v_set1(4)));
    return v_mul(v_mul(e, u), FC_POLYNOMIAL(v_mul(v_sub(z, v_set1(4)), u), FC_NAME(erfcx_series)));
}

V_INLINE v_t FC_NAME(erf)(v_t x)
{
    const v_t z = FC_NAME(least)(FC_NAME(absolute)(x), v_set1(FC_FAR));
    const v_t large = v_sub(v_set1(1), FC_NAME(erfc)(z, FC_NAME(exp_product)(z, z)));
    const v_t small = v_fma(x, FC_POLYNOMIAL(v_mul(z, z), FC_NAME(erf_series)), x);
    const v_t either = v_select(v_greater(v_zero(), x), FC_NAME(negative)(large), large);
    return v_select(v_greater(v_set1(1), z), small, either);
}

/* The normal distribution at x: its cumulative function, and its density times sqrt(2 pi). */
V_INLINE v_t FC_NAME(normal)(v_t x, v_t *density)
{
    const v_t half = v_set1((real)0.5);
    const v_t a = FC_NAME(least)(FC_NAME(absolute)(x), v_set1((real)(FC_FAR * 1.4142135623730951)));
    *density = FC_NAME(exp_product)(v_mul(half, a), a);
    const v_t tail = v_mul(half, FC_NAME(erfc)(v_mul(a, v_set1((real)0.70710678118654752)), *density));
    return v_select(v_greater(x, v_zero()), v_sub(v_set1(1), tail), tail);
}

V_INLINE v_t FC_NAME(sigmoid)(v_t x)
{
    const v_t e = FC_NAME(exp)(FC_NAME(negative)(FC_NAME(absolute)(x))), y = v_div(v_set1(1), v_add(v_set1(1), e));
    return v_select(v_greater(v_zero(), x), v_mul(e, y), y);
}

#undef FC_LEAST
#undef FC_FAR
#undef FC_SHIFT
#undef FC_LN2
#undef FC_LN2_REST
#undef FC_PER_LN2
#undef FC_POLYNOMIAL
