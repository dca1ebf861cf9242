/* problem.c - validates problems once, with checked arithmetic, and derives their output sizes. See fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "fastconv.h"

static const int64_t EXTENT_LIMIT = INT32_MAX;    /* of kernels, strides, dilations and paddings */

static int between(int64_t x, int64_t low, int64_t high) { return low <= x && x <= high; }

/* Output extent of one axis. With ceil_mode the last window may stick out. Every input is checked, so nothing can overflow:
 * dilation * (kernel - 1) < 2^62, and in + paddings is checked here. */
static fc_status axis_output(int64_t in, int64_t kernel, int64_t stride, int64_t dilation, int64_t pad_lo, int64_t pad_hi,
                             int ceil_mode, int64_t *out)
{
    if (!between(kernel, 1, EXTENT_LIMIT) || !between(stride, 1, EXTENT_LIMIT) || !between(dilation, 1, EXTENT_LIMIT) ||
        !between(pad_lo, 0, EXTENT_LIMIT) || !between(pad_hi, 0, EXTENT_LIMIT) || in < 1)
        return FC_INVALID;
    int64_t padded;
    if (__builtin_add_overflow(in, pad_lo + pad_hi + (ceil_mode ? stride - 1 : 0), &padded)) return FC_OVERFLOW;
    const int64_t room = padded - (dilation * (kernel - 1) + 1);
    if (room < 0) return FC_INVALID;
    *out = room / stride + 1;
    if (ceil_mode && (*out - 1) * stride >= in + pad_lo) (*out)--;    /* the last window starts beyond the input */
    return FC_OK;
}

/* Whether batch * channels * space elements of 8 bytes have a size that fits into ptrdiff_t. */
static fc_status check_size(int64_t batch, int64_t channels, const int64_t *space)
{
    int64_t size = 8;
    const int64_t extents[] = { batch > 0 ? batch : 1, channels, space[0], space[1], space[2] };
    for (int i = 0; i < 5; i++)
        if (__builtin_mul_overflow(size, extents[i], &size)) return FC_OVERFLOW;
    return size <= PTRDIFF_MAX ? FC_OK : FC_OVERFLOW;
}

fc_status fc_conv_init(fc_conv *p)
{
    if (p->batch < 0 || p->groups < 1 || p->in_channels < 1 || p->out_channels < 1) return FC_INVALID;
    if (p->in_channels % p->groups || p->out_channels % p->groups) return FC_INVALID;
    for (int a = 0; a < FC_AXES; a++) {
        const fc_status status = axis_output(p->in[a], p->kernel[a], p->stride[a], p->dilation[a], p->pad_lo[a],
                                             p->pad_hi[a], 0, &p->out[a]);
        if (status) return status;
        const int64_t most = p->border == FC_REFLECT ? p->in[a] - 1 : p->border == FC_CIRCULAR ? p->in[a] : EXTENT_LIMIT;
        if (p->pad_lo[a] > most || p->pad_hi[a] > most) return FC_INVALID;
    }
    fc_status status = check_size(p->batch, p->in_channels, p->in);
    if (!status) status = check_size(p->batch, p->out_channels, p->out);
    /* packed weights pad both channel counts to blocks of 16 and, at most, transform 9 taps to 36 elements */
    int64_t weights;
    if (!status && (__builtin_mul_overflow(p->in_channels / p->groups + 15, p->out_channels + 16 * p->groups, &weights) ||
                    __builtin_mul_overflow(weights, 4, &weights)))
        return FC_OVERFLOW;
    return status ? status : check_size(1, weights, p->kernel);
}

double fc_conv_macs(const fc_conv *p)
{
    double macs = (double)p->batch * (double)p->out_channels * (double)(p->in_channels / p->groups);
    for (int a = 0; a < FC_AXES; a++) macs *= (double)p->out[a] * (double)p->kernel[a];
    return macs;
}

fc_status fc_pool_init(fc_pool *p)
{
    if (p->batch < 0 || p->channels < 1) return FC_INVALID;
    for (int a = 0; a < FC_AXES; a++) {
        const fc_status status = axis_output(p->in[a], p->kernel[a], p->stride[a], p->dilation[a], p->pad_lo[a],
                                             p->pad_hi[a], p->ceil_mode, &p->out[a]);
        if (status) return status;
        const int64_t effective = p->dilation[a] * (p->kernel[a] - 1) + 1;
        if (p->pad_lo[a] > effective / 2 || p->pad_hi[a] > effective / 2) return FC_INVALID;
    }
    const fc_status status = check_size(p->batch, p->channels, p->in);
    return status ? status : check_size(p->batch, p->channels, p->out);
}
