/* border.c - what lies outside the input: zeros, or elements of it that its border repeats. See conv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <string.h>

/* Pixels `w .. ` of a line of the input, a stride apart. */
void fc_border_line(const struct fc_corr *c, int64_t image, int64_t channel, const int64_t *at, int64_t count, char *line)
{
    const size_t size = c->size;
    const int64_t stride = c->stride[2], width = c->from_size[2];
    const int64_t d = fc_border_position(c->border, at[0], c->from_size[0]), h = fc_border_position(c->border, at[1], c->from_size[1]);
    if (d < 0 || h < 0) {
        memset(line, 0, (size_t)count * size);
        return;
    }
    int64_t begins[4] = { 0, fc_min(fc_ceil_div(fc_max(-at[2], 0), stride), count), 0, count };    /* left of it, in it, right of it */
    begins[2] = at[2] >= width ? begins[1] : fc_max(begins[1], fc_min((width - 1 - at[2]) / stride + 1, count));
    for (int i = 0; i < 3; i++) {
        const int64_t part = begins[i + 1] - begins[i];
        const struct fc_stretch run = fc_border_run(c->border, at[2] + begins[i] * stride, stride, part, width);
        char *to = line + (size_t)begins[i] * size;
        if (run.count) c->k->copy_line(to, fc_element(&c->from, size, image, channel, d, h, run.first), run.step * c->from.space[2], run.count);
        memset(to + (size_t)run.count * size, 0, (size_t)(part - run.count) * size);
    }
}
