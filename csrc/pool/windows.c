/* windows.c - which positions of the source make up a result, along one axis; see pool.h.
 *
 * Forward, result o: o*stride - pad + t*dilation for t in [0, kernel), clipped to [0, in).
 * Backward, result i: the outputs o with o*stride - pad + t*dilation = i for some t. With g = gcd(stride, dilation) and
 * m = dilation / g there are none unless g divides i + pad; then o = (i + pad)/g * (stride/g)^-1 modulo m, and o lies in
 * [(i + pad - (kernel - 1)*dilation) / stride, (i + pad) / stride].
 *
 * No product here exceeds 2^63: parameters are below 2^31, extents and their sums with paddings were checked in problem.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

static int64_t gcd(int64_t a, int64_t b) { return b ? gcd(b, a % b) : a; }

/* a^-1 modulo m for coprime a and m: Euclid's algorithm, keeping a * t = r modulo m. */
static int64_t inverse_modulo(int64_t a, int64_t m)
{
    int64_t r0 = m, r1 = a % m, t0 = 0, t1 = 1;
    while (r1) {
        const int64_t q = r0 / r1, r2 = r0 - q * r1, t2 = t0 - q * t1;
        r0 = r1, r1 = r2, t0 = t1, t1 = t2;
    }
    return t0 < 0 ? t0 + m : t0;
}

/* Division rounded up, for any a and positive b. */
static int64_t ceil_of(int64_t a, int64_t b) { return a > 0 ? fc_ceil_div(a, b) : -(-a / b); }
static int64_t floor_of(int64_t a, int64_t b) { return -ceil_of(-a, b); }

static int64_t reach_of_taps(const struct fc_axis *a) { return (a->kernel - 1) * a->dilation; }

void fc_axis_init(struct fc_axis *a, const fc_pool *p, int axis, int backward)
{
    *a = (struct fc_axis){ .source = backward ? p->out[axis] : p->in[axis], .result = backward ? p->in[axis] : p->out[axis],
                           .kernel = p->kernel[axis], .stride = p->stride[axis], .dilation = p->dilation[axis],
                           .pad = p->pad_lo[axis], .backward = backward };
    if (backward) {
        const int64_t g = gcd(a->stride, a->dilation);
        a->step = a->dilation / g;
        a->inverse = inverse_modulo(a->stride / g, a->step);
        a->period = a->stride;
        a->advance = 1;
        a->interior[0] = fc_max(0, reach_of_taps(a) - a->pad);
        a->interior[1] = fc_min(a->result - 1, a->source * a->stride - 1 - a->pad);
    } else {
        a->step = a->dilation;
        a->period = 1;
        a->advance = a->stride;
        a->interior[0] = ceil_of(a->pad, a->stride);
        a->interior[1] = fc_min(a->result - 1, floor_of(a->source - 1 - reach_of_taps(a) + a->pad, a->stride));
    }
}

static struct fc_window forward_window(const struct fc_axis *a, int64_t o)
{
    const int64_t start = o * a->stride - a->pad, skipped = start < 0 ? ceil_of(-start, a->dilation) : 0;
    const int64_t first = start + skipped * a->dilation;
    if (skipped >= a->kernel || first >= a->source) return (struct fc_window){ 0, 0 };
    return (struct fc_window){ first, fc_min(a->kernel - skipped, (a->source - 1 - first) / a->dilation + 1) };
}

static struct fc_window backward_window(const struct fc_axis *a, int64_t i)
{
    const int64_t at = i + a->pad, last = fc_min(at / a->stride, a->source - 1), g = a->dilation / a->step;
    int64_t first = fc_max(0, ceil_of(at - reach_of_taps(a), a->stride));
    if (at % g) return (struct fc_window){ 0, 0 };
    if (a->step > 1) {
        const int64_t residue = at / g % a->step * a->inverse % a->step;
        first += ((residue - first) % a->step + a->step) % a->step;
    }
    return first > last ? (struct fc_window){ 0, 0 } : (struct fc_window){ first, (last - first) / a->step + 1 };
}

struct fc_window fc_axis_window(const struct fc_axis *a, int64_t i) { return a->backward ? backward_window(a, i) : forward_window(a, i); }

struct fc_window fc_axis_range(const struct fc_axis *a, int64_t i, int64_t n)
{
    int64_t low, high;
    if (a->backward) {
        low = ceil_of(i + a->pad - reach_of_taps(a), a->stride);
        high = (i + n - 1 + a->pad) / a->stride;
    } else {
        low = i * a->stride - a->pad;
        high = (i + n - 1) * a->stride - a->pad + reach_of_taps(a);
    }
    low = fc_max(low, 0);
    high = fc_min(high, a->source - 1);
    return high < low ? (struct fc_window){ 0, 0 } : (struct fc_window){ low, high - low + 1 };
}

int64_t fc_axis_reach(const struct fc_axis *a, int64_t n)
{
    const int64_t reach = a->backward ? (reach_of_taps(a) + n - 1) / a->stride : (n - 1) * a->stride + reach_of_taps(a);
    return fc_min(a->source, reach + 1);
}

int64_t fc_axis_taps(const struct fc_axis *a) { return (fc_axis_reach(a, 1) - 1) / a->step + 1; }

static int alike(struct fc_window a, struct fc_window b) { return a.first == b.first && a.count == b.count; }

/* Results from i on, before `end`, that all have the window of i; only backward, where many inputs meet the same outputs. */
static int64_t same_window(const struct fc_axis *a, struct fc_window window, int64_t i, int64_t end)
{
    int64_t n = 1;
    while (a->backward && i + n < end && alike(fc_axis_window(a, i + n), window)) n++;
    return n;
}

/* In the interior a segment for each phase of the period, unless that makes many short ones; else results one by one, or
 * those with the same window together. */
int64_t fc_axis_segments(const struct fc_axis *a, int64_t start, int64_t count, struct fc_segment *to)
{
    const int64_t end = start + count;
    int64_t n = 0;
    for (int64_t i = start; i < end;) {
        const int64_t past = fc_min(end, a->interior[1] + 1);
        if (i >= a->interior[0] && i < past && 2 * a->period <= past - i) {
            for (int64_t phase = i; phase < i + a->period; phase++)
                to[n++] = (struct fc_segment){ phase, fc_ceil_div(past - phase, a->period), a->period, a->advance,
                                               fc_axis_window(a, phase) };
            i = past;
        } else {
            const struct fc_window window = fc_axis_window(a, i);
            const int64_t same = same_window(a, window, i, end);
            to[n++] = (struct fc_segment){ i, same, 1, 0, window };
            i += same;
        }
    }
    return n;
}
