/* planar.h - 1 x 1 correlations of planes whose pixels are adjacent; see planar.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_PLANAR_H
#define FC_PLANAR_H

#include "conv/conv.h"

/* Whether the extents allow it; and whether the strides do, too. */
int fc_planar_extents(const struct fc_corr *c);
int fc_planar_applies(const struct fc_corr *c);

size_t fc_planar_bytes(const struct fc_corr *c);
fc_status fc_planar_forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c, fc_steps steps);

#endif
