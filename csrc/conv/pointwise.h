/* pointwise.h - 1 x 1 correlations of planes whose pixels are adjacent, and gradients of 1 x 1 weights in any layout; see
 * pointwise.c and pointwise_gradient.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_POINTWISE_H
#define FC_POINTWISE_H

#include "conv/conv.h"

/* Whether the extents allow it for so many images; and whether the strides do, too. */
int fc_pointwise_extents(const struct fc_corr *c, int64_t batch);
int fc_pointwise_applies(const struct fc_corr *c);

double fc_pointwise_cycles(const struct fc_corr *c);    /* predicted, of one image and group */
size_t fc_pointwise_bytes(const struct fc_corr *c);
fc_status fc_pointwise_forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c, fc_steps steps);

int fc_pointwise_gradient_applies(const struct fc_corr *c);
double fc_pointwise_gradient_cycles(const struct fc_corr *c);    /* predicted, of one image and group */
size_t fc_pointwise_gradient_bytes(const struct fc_corr *c);
fc_status fc_pointwise_gradient(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c);

#endif
