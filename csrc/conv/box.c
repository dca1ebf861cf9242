/* box.c - strips of a strided tensor to and from the blocked layout; padding is what lies outside the tensor.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

static int inside(int64_t i, int64_t size) { return 0 <= i && i < size; }

static char *pixel_at(const fc_tensor *t, size_t size, int64_t image, int64_t channel, int64_t d, int64_t h, int64_t w)
{
    return (char *)t->data + (image * t->batch + channel * t->channel + d * t->space[0] + h * t->space[1] + w * t->space[2]) *
                                 (ptrdiff_t)size;
}

void fc_box_pack(const struct fc_kernels *k, const fc_tensor *t, const int64_t *size, const struct fc_box *b, void *blocked)
{
    const size_t element = fc_sizeof(k->dtype);
    const int64_t first = fc_min(fc_max(-b->start[2], 0), b->columns);
    const int64_t last = fc_max(fc_min(size[2] - b->start[2], b->columns), first);
    struct fc_row row = { .channel = t->channel, .pixel = t->space[2], .blocked = blocked,
                          .block = fc_box_pixels(b) * FC_BLOCK, .channels = b->channels };
    for (int64_t s = 0; s < b->slices; s++) {
        const int64_t d = b->start[0] + s * b->slice_step;
        for (int64_t r = 0; r < b->rows; r++) {
            const int64_t h = b->start[1] + r;
            const int exists = inside(d, size[0]) && inside(h, size[1]) && last > first;
            row.before = exists ? first : b->columns;
            row.count = exists ? last - first : 0;
            row.after = exists ? b->columns - last : 0;
            row.strided = exists ? pixel_at(t, element, b->image, b->channel, d, h, b->start[2] + first) : NULL;
            k->pack_row(&row);
            row.blocked = (char *)row.blocked + (size_t)(b->columns * FC_BLOCK) * element;
        }
    }
}

void fc_box_unpack(const struct fc_kernels *k, const fc_tensor *t, const struct fc_box *b, const void *blocked)
{
    const size_t element = fc_sizeof(k->dtype);
    struct fc_row row = { .channel = t->channel, .pixel = t->space[2], .blocked = (void *)(uintptr_t)blocked,
                          .block = fc_box_pixels(b) * FC_BLOCK, .channels = b->channels, .count = b->columns };
    for (int64_t r = 0; r < b->rows; r++) {
        row.strided = pixel_at(t, element, b->image, b->channel, b->start[0], b->start[1] + r, b->start[2]);
        k->unpack_row(&row);
        row.blocked = (char *)row.blocked + (size_t)(b->columns * FC_BLOCK) * element;
    }
}
