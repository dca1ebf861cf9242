/* box.h - boxes: strips of a strided tensor in the blocked layout, [block][depth tap][row][column][16].
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_BOX_H
#define FC_BOX_H

#include "driver.h"

struct fc_box {
    int64_t image, channel, channels;    /* first channel counts from channel 0 of all groups */
    int64_t slices, slice_step;          /* depth positions start[0] + i*slice_step */
    int64_t start[FC_AXES];              /* may lie outside the tensor: zeros are packed there */
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
