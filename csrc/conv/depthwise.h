/* depthwise.h - what depthwise convolution asks of its form for planes (depth_planes.c).
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_DEPTHWISE_H
#define FC_DEPTHWISE_H

#include "conv/conv.h"

/* Scratch memory for planes: a row of zeros. 0 where their kernels do not apply, whatever the arrays are. */
size_t fc_depth_planes_bytes(const fc_conv_plan *plan);

/* Whether the arrays are planes that the kernels can read, and scratch memory of `bytes` is enough for them. */
int fc_depth_planes_suit(const fc_conv_plan *plan, const fc_conv_data *data, size_t bytes);

/* Forward or backward-data. */
fc_status fc_depth_planes_run(const fc_conv_plan *plan, const fc_conv_data *data);

/* Backward-weights: sums[channel][tap][vector] of `channels` channels += those of the outputs in `rows` x `columns` from
 * `start` on. zeros: fc_depth_planes_bytes of them. */
struct fc_depth_piece {
    int64_t image, channel, channels, start[FC_AXES], rows, columns;
};
void fc_depth_planes_grad(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_depth_piece *p, void *zeros, void *sums);

#endif
