/* avg.c - average pooling, forward and backward.
 *
 *     y[o] = (sum of the taps of o's window that lie in x) / divisor(o)
 *     dx[i] = sum over the o whose window covers i of dy[o] / divisor(o)
 *
 * The divisor is the one given, or the number of taps: of those in x, or, with count_include_pad, of those in x and its
 * padding. Where nothing is counted (dilation can let a window jump over x) the result is 0.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

#include <math.h>

int64_t fc_pool_counted(const fc_pool *p, int a, int64_t o)
{
    const int64_t start = o * p->stride[a] - p->pad_lo[a], d = p->dilation[a];
    const int64_t skipped = p->count_include_pad || start >= 0 ? 0 : fc_ceil_div(-start, d);
    const int64_t last = p->in[a] - 1 + (p->count_include_pad ? p->pad_hi[a] : 0);
    if (start + skipped * d > last) return 0;
    return fc_max(0, fc_min(p->kernel[a], (last - start) / d + 1) - skipped);
}

/* The outputs from o on, before `end`, that count as many columns as o does; all taps count from first to last. */
static int64_t alike(const fc_pool *p, int64_t o, int64_t end)
{
    const int64_t reach = (p->kernel[2] - 1) * p->dilation[2];
    const int64_t first = p->count_include_pad ? 0 : fc_ceil_div(p->pad_lo[2], p->stride[2]);
    const int64_t room = p->in[2] - 1 + p->pad_lo[2] + (p->count_include_pad ? p->pad_hi[2] : 0) - reach;
    const int64_t last = room < 0 ? -1 : room / p->stride[2];
    return first <= o && o <= last ? fc_min(end, last + 1) - o : 1;
}

double fc_pool_exact_factor(double divisor)
{
    int exponent;
    return fabs(frexp(divisor, &exponent)) == 0.5 ? 1 / divisor : 0;
}

static void divide(const struct fc_pooling *j, const int64_t *at, int64_t count, int64_t lanes, struct fc_pixels from, struct fc_pixels to)
{
    const fc_pool *p = j->problem;
    const ptrdiff_t size = (ptrdiff_t)j->size;
    const double row = (double)fc_pool_counted(p, 0, at[0]) * (double)fc_pool_counted(p, 1, at[1]);
    for (int64_t i = 0, n; i < count; i += n, from.data += n * from.step * size, to.data += n * to.step * size) {
        const double taps = row * (double)fc_pool_counted(p, 2, at[2] + i);
        n = p->divisor ? count : alike(p, at[2] + i, at[2] + count);
        j->k->pool.divide(&from, &to, n, lanes, p->divisor ? (double)p->divisor : taps > 0 ? taps : 1);
    }
}

fc_status fc_avg_pool_run(const fc_pool_plan *plan, const fc_pool_data *data)
{
    struct fc_pooling j;
    fc_pooling_init(&j, plan, data, 0);
    j.indices.data = j.codes.data = NULL;
    j.reduce = fc_pool_is_total(&plan->problem) ? j.k->pool.total : j.k->pool.sum;
    j.down = fc_pool_sums_down(&plan->problem);
    j.after = divide;
    return fc_pooling_run(&j, data->threads);
}

fc_status fc_avg_pool_backward(const fc_pool_plan *plan, const fc_pool_data *data)
{
    struct fc_pooling j;
    fc_status status;
    if (fc_planes_run(plan, data, 1, &status)) return status;
    fc_pooling_init(&j, plan, data, 1);
    j.reduce = j.k->pool.sum;
    j.before = divide;
    return fc_pooling_run(&j, data->threads);
}
