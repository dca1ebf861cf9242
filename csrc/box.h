/* box.h - boxes: strips of a strided tensor in the blocked layout, [block][depth tap][row][column][16].
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_BOX_H
#define FC_BOX_H

#include "driver.h"

/* Where the element at position i of a line lies in it; -1: nowhere, it is zero. Borders repeat a line at most once. */
static inline int64_t fc_border_position(fc_border border, int64_t i, int64_t size)
{
    if (0 <= i && i < size) return i;
    const int64_t at = border == FC_REFLECT ? (i < 0 ? -i : 2 * size - 2 - i) : border == FC_CIRCULAR ? (i < 0 ? i + size : i - size)
                       : border == FC_REPLICATE ? (i < 0 ? 0 : size - 1) : -1;
    return 0 <= at && at < size ? at : -1;
}

/* Positions i, i + stride, ... that all lie on one side of a line or in it: elements first, first + step, ... of the line, as
 * many as there are. */
struct fc_stretch {
    int64_t first, step, count;
};

static inline struct fc_stretch fc_border_run(fc_border border, int64_t i, int64_t stride, int64_t count, int64_t size)
{
    const int64_t at = fc_border_position(border, i, size);
    if (count == 0 || at < 0) return (struct fc_stretch){ 0, 0, 0 };
    if (at == i || border == FC_CIRCULAR) return (struct fc_stretch){ at, stride, fc_min(count, (size - 1 - at) / stride + 1) };
    if (border == FC_REPLICATE) return (struct fc_stretch){ at, 0, count };
    return (struct fc_stretch){ at, -stride, fc_min(count, at / stride + 1) };
}

struct fc_box {
    int64_t image, channel, channels;    /* first channel counts from channel 0 of all groups */
    int64_t slices, slice_step;          /* depth positions start[0] + i*slice_step */
    int64_t start[FC_AXES];              /* may lie outside the tensor: there the border is packed */
    fc_border border;
    int64_t rows, columns;
    int64_t row_gap;                     /* rows of the tensor left out between two rows */
    int relu;                            /* unpack: max(0, each) */
    int prefetch;                        /* the same pixels of the next block of channels */
};

static inline int64_t fc_box_pixels(const struct fc_box *b) { return b->slices * b->rows * b->columns; }

void fc_box_pack(const struct fc_kernels *k, const fc_tensor *t, const int64_t *size, const struct fc_box *b, void *blocked);
void fc_box_unpack(const struct fc_kernels *k, const fc_tensor *t, const struct fc_box *b, const void *blocked);

/* Zeros in every element of the tensor. */
void fc_zero(const fc_tensor *t, size_t size, int64_t batch, int64_t channels, const int64_t *space);

/* Where a channel begins, and an element is. */
static inline ptrdiff_t fc_channel(const fc_tensor *t, int64_t channel)
{
    return channel / FC_BLOCK * t->block + channel % FC_BLOCK * t->channel;
}

static inline char *fc_element(const fc_tensor *t, size_t size, int64_t image, int64_t channel, int64_t d, int64_t h, int64_t w)
{
    return (char *)t->data + (image * t->batch + fc_channel(t, channel) + d * t->space[0] + h * t->space[1] + w * t->space[2]) *
                                 (ptrdiff_t)size;
}

#endif
