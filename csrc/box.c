/* box.c - strips of a strided tensor to and from the blocked layout; padding is what lies outside the tensor: its border.
 *
 * Rows that follow each other without a gap, as in whole planes, are moved as one: rows are often shorter than a few
 * vectors, and the ends of rows are what moving them costs.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "box.h"

#include <string.h>

static int inside(int64_t i, int64_t size) { return 0 <= i && i < size; }

static int gapless(const fc_tensor *t, const struct fc_box *b) { return t->space[1] == b->columns * t->space[2]; }

/* Whether the rows of a slice all exist, from end to end, and follow each other without a gap. */
static int is_one_row(const fc_tensor *t, const int64_t *size, const struct fc_box *b)
{
    return gapless(t, b) && b->row_gap == 0 && b->start[2] == 0 && b->columns == size[2] && inside(b->start[1], size[1]) &&
           inside(b->start[1] + b->rows - 1, size[1]);
}

/* Columns of a row beside the tensor, from column `first` of the box on; `row` is the whole row. */
static void pack_margin(const struct fc_kernels *k, const int64_t *size, const struct fc_box *b, struct fc_row row, const char *line,
                        int64_t first, int64_t columns)
{
    const size_t element = fc_sizeof(k->dtype);
    const struct fc_stretch run = fc_border_run(b->border, b->start[2] + first, 1, columns, size[2]);
    row.strided = (char *)(uintptr_t)line + run.first * row.pixel * (ptrdiff_t)element;
    row.blocked = (char *)row.blocked + (size_t)(first * FC_BLOCK) * element;
    row.pixel *= run.step;
    row.before = row.after = row.ahead = 0;
    row.count = run.count;
    if (run.count) k->pack_row(&row);
}

void fc_box_pack(const struct fc_kernels *k, const fc_tensor *t, const int64_t *size, const struct fc_box *b, void *blocked)
{
    const size_t element = fc_sizeof(k->dtype);
    const int64_t merged = is_one_row(t, size, b) ? b->rows : 1, columns = merged * b->columns;
    const int64_t first = fc_min(fc_max(-b->start[2], 0), columns);
    const int64_t last = merged > 1 ? columns : fc_max(fc_min(size[2] - b->start[2], columns), first);
    struct fc_row row = { .channel = t->channel, .leap = t->block, .pixel = t->space[2], .blocked = blocked,
                          .block = fc_box_pixels(b) * FC_BLOCK, .channels = b->channels, .ahead = b->prefetch ? t->block : 0 };
    for (int64_t s = 0; s < b->slices; s++) {
        const int64_t d = fc_border_position(b->border, b->start[0] + s * b->slice_step, size[0]);
        for (int64_t r = 0; r < b->rows; r += merged) {
            const int64_t h = fc_border_position(b->border, b->start[1] + r * (1 + b->row_gap), size[1]);
            const int line = d >= 0 && h >= 0, exists = line && last > first;
            row.before = exists ? first : columns;
            row.count = exists ? last - first : 0;
            row.after = exists ? columns - last : 0;
            row.strided = exists ? fc_element(t, element, b->image, b->channel, d, h, b->start[2] + first) : NULL;
            k->pack_row(&row);
            if (line && b->border != FC_ZEROS) {
                const char *begin = fc_element(t, element, b->image, b->channel, d, h, 0);
                pack_margin(k, size, b, row, begin, 0, first);
                pack_margin(k, size, b, row, begin, last, columns - last);
            }
            row.blocked = (char *)row.blocked + (size_t)(columns * FC_BLOCK) * element;
        }
    }
}

void fc_box_unpack(const struct fc_kernels *k, const fc_tensor *t, const struct fc_box *b, const void *blocked)
{
    const size_t element = fc_sizeof(k->dtype);
    const int64_t merged = gapless(t, b) ? b->rows : 1, columns = merged * b->columns;
    struct fc_row row = { .channel = t->channel, .leap = t->block, .pixel = t->space[2], .blocked = (void *)(uintptr_t)blocked,
                          .block = fc_box_pixels(b) * FC_BLOCK, .channels = b->channels, .count = columns, .relu = b->relu,
                          .ahead = b->prefetch ? t->block : 0 };
    for (int64_t r = 0; r < b->rows; r += merged) {
        row.strided = fc_element(t, element, b->image, b->channel, b->start[0], b->start[1] + r, b->start[2]);
        k->unpack_row(&row);
        row.blocked = (char *)row.blocked + (size_t)(columns * FC_BLOCK) * element;
    }
}

/* `count` elements, `step` apart. */
static void zero_line(char *data, ptrdiff_t step, size_t size, int64_t count)
{
    if (step == 1) {
        memset(data, 0, (size_t)count * size);
    } else {
        for (int64_t i = 0; i < count; i++) memset(data + i * step * (ptrdiff_t)size, 0, size);
    }
}

/* Channels of one image that are adjacent, from `channel` on. */
static void zero_pixels(const fc_tensor *t, size_t size, int64_t image, int64_t channel, int64_t channels, const int64_t *space)
{
    const int whole = t->space[2] == channels;
    for (int64_t d = 0; d < space[0]; d++)
        for (int64_t h = 0; h < space[1]; h++)
            for (int64_t w = 0; w < (whole ? 1 : space[2]); w++)
                memset(fc_element(t, size, image, channel, d, h, w), 0, (size_t)(whole ? space[2] * channels : channels) * size);
}

static void zero_plane(const fc_tensor *t, size_t size, int64_t image, int64_t channel, const int64_t *space)
{
    const int one_row = t->space[1] == space[2] * t->space[2];
    for (int64_t d = 0; d < space[0]; d++)
        for (int64_t h = 0; h < (one_row ? 1 : space[1]); h++)
            zero_line(fc_element(t, size, image, channel, d, h, 0), t->space[2], size, one_row ? space[1] * space[2] : space[2]);
}

void fc_zero(const fc_tensor *t, size_t size, int64_t batch, int64_t channels, const int64_t *space)
{
    const int adjacent = t->channel == 1 && t->space[2] != 1;
    const int64_t step = !adjacent ? 1 : t->block == FC_BLOCK ? channels : FC_BLOCK;    /* channels zeroed at once */
    for (int64_t n = 0; n < batch; n++) {
        for (int64_t c = 0; c < channels; c += step) {
            if (adjacent) zero_pixels(t, size, n, c, fc_min(step, channels - c), space);
            else zero_plane(t, size, n, c, space);
        }
    }
}
