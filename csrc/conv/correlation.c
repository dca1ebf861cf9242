/* correlation.c - forward and backward-data as correlations; see conv.h for the sum.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

/* Taps r with r*dilation in one residue class of the stride are this far apart; so many classes have taps at all. */
static int64_t tap_period(const fc_conv *p, int a) { return p->stride[a] / fc_gcd(p->stride[a], p->dilation[a]); }
static int64_t axis_phases(const fc_conv *p, int a) { return fc_min(tap_period(p, a), p->kernel[a]); }

int64_t fc_phases(const fc_conv *p, fc_pass pass)
{
    return pass == FC_BACKWARD_DATA ? axis_phases(p, 0) * axis_phases(p, 1) * axis_phases(p, 2) : 1;
}

int fc_has_gaps(const fc_conv *p)
{
    for (int a = 0; a < FC_AXES; a++)
        if (axis_phases(p, a) < p->stride[a]) return 1;
    return 0;
}

/* Axis `a` of the phase whose first tap is r0. With m the tap period and g = gcd(stride, dilation), the positions
 * h = first + i*stride meet the taps r0 + j*m at dy[q + i - j*dilation/g], q = (first + pad - r0*dilation) / stride. */
static void phase_axis(const fc_conv *p, int a, int64_t r0, struct fc_corr *c)
{
    const int64_t stride = p->stride[a], m = tap_period(p, a), shift = r0 * p->dilation[a] - p->pad_lo[a];
    const int64_t first = (shift % stride + stride) % stride;
    const int64_t taps = (p->kernel[a] - 1 - r0) / m + 1;
    c->taps[a] = taps;
    c->stride[a] = 1;
    c->dilation[a] = p->dilation[a] * m / stride;
    c->offset[a] = (taps - 1) * c->dilation[a] - (first - shift) / stride;
    c->from_size[a] = p->out[a];
    c->to_size[a] = first < p->in[a] ? (p->in[a] - 1 - first) / stride + 1 : 0;
    c->first[a] = first;
    c->w_start += (r0 + (taps - 1) * m) * c->w_tap[a];
    c->w_tap[a] *= -m;
    if (c->to.data) c->to.data = (char *)c->to.data + first * c->to.space[a] * (ptrdiff_t)c->size;
    c->to.space[a] *= stride;
}

static void forward_axis(const fc_conv *p, int a, struct fc_corr *c)
{
    c->taps[a] = p->kernel[a];
    c->stride[a] = p->stride[a];
    c->dilation[a] = p->dilation[a];
    c->offset[a] = p->pad_lo[a];
    c->from_size[a] = p->in[a];
    c->to_size[a] = p->out[a];
}

/* A single unpadded tap turns the stride into a stride of the tensor. */
static void fold_stride(struct fc_corr *c, int a)
{
    if (c->taps[a] != 1 || c->offset[a] != 0 || c->stride[a] == 1) return;
    if (c->border != FC_ZEROS && (c->to_size[a] - 1) * c->stride[a] >= c->from_size[a]) return;
    c->from_size[a] = (c->from_size[a] - 1) / c->stride[a] + 1;
    c->from.space[a] *= c->stride[a];
    c->stride[a] = 1;
}

/* Height and width can become one axis: one tap each, no padding. */
static int mergeable(const struct fc_corr *c)
{
    for (int a = 1; a < FC_AXES; a++)
        if (c->taps[a] != 1 || c->stride[a] != 1 || c->offset[a] || c->from_size[a] != c->to_size[a]) return 0;
    return 1;
}

void fc_merge_rows(struct fc_corr *c)
{
    if (!mergeable(c)) return;
    c->from_size[2] *= c->from_size[1];
    c->to_size[2] *= c->to_size[1];
    c->from_size[1] = c->to_size[1] = 1;
}

int fc_phase(const fc_conv_plan *plan, const fc_conv_data *data, int64_t i, struct fc_corr *c)
{
    const fc_conv *p = &plan->problem;
    const int64_t in = p->in_channels / p->groups, out = p->out_channels / p->groups, taps = fc_volume(p->kernel);
    const int forward = plan->pass != FC_BACKWARD_DATA;
    *c = (struct fc_corr){ .k = plan->kernels, .size = fc_sizeof(p->dtype), .batch = p->batch, .groups = p->groups, .step = { 1, 1, 1 },
                           .w_group = out * in * taps };
    c->lanes = forward ? out : in;
    c->depths = forward ? in : out;
    c->w_lane = forward ? in * taps : taps;
    c->w_depth = forward ? taps : in * taps;
    c->w_tap[2] = 1;
    c->w_tap[1] = p->kernel[2];
    c->w_tap[0] = p->kernel[2] * p->kernel[1];
    c->border = forward ? p->border : FC_ZEROS;
    if (data) {
        c->from = forward ? data->x : data->y;
        c->to = forward ? data->y : data->x;
        c->packed = data->packed;
        c->relu = data->relu && plan->pass == FC_FORWARD;
    }
    for (int a = FC_AXES - 1; a >= 0; a--) {
        if (forward) {
            forward_axis(p, a, c);
        } else {
            phase_axis(p, a, i % axis_phases(p, a), c);
            i /= axis_phases(p, a);
        }
    }
    for (int a = 0; a < FC_AXES; a++) fold_stride(c, a);
    /* not in backward-weights, where the blocking decides the order of the sums and may not depend on the layout */
    if (data && plan->pass != FC_BACKWARD_WEIGHTS && c->from.space[1] == c->from.space[2] * c->from_size[2] && c->to.space[1] == c->to.space[2] * c->to_size[2])
        fc_merge_rows(c);
    return fc_volume(c->to_size) > 0;
}
