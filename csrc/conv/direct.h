/* direct.h - strips of input in the blocked layout, which direct.c and direct_gradient.c share.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_DIRECT_H
#define FC_DIRECT_H

#include "conv/conv.h"

/* Inputs that adjacent outputs along axis a reach. */
static inline int64_t fc_strip_reach(const struct fc_corr *c, int a, int64_t outputs)
{
    return (outputs - 1) * c->stride[a] + (c->taps[a] - 1) * c->dilation[a] + 1;
}

/* Whether a single output pixel's reach is small enough for the sizes below to be meaningful. */
int fc_strip_fits(const struct fc_corr *c);

/* The largest strip that stays within fc_workspace_goal(). */
struct fc_strip fc_strip_choose(const struct fc_corr *c);

/* Memory of a strip: the offset of each run, packed input, blocked output; all of it. */
size_t fc_strip_offsets_bytes(const struct fc_corr *c, const struct fc_strip *s);
size_t fc_strip_input_bytes(const struct fc_corr *c, const struct fc_strip *s);
size_t fc_strip_output_bytes(const struct fc_corr *c, const struct fc_strip *s);
size_t fc_strip_bytes(const struct fc_corr *c, const struct fc_strip *s);

/* Where the input of each block of depth and tap lies in the packed input, for the first output; by_tap: the blocks of a tap are
 * side by side instead of the taps of a block. */
void fc_strip_offsets(const struct fc_corr *c, const struct fc_strip *s, const int64_t *taps, int by_tap, ptrdiff_t *offset);

/* The input of the strip of outputs at `out`. */
struct fc_box fc_strip_input(const struct fc_corr *c, const struct fc_strip *s, const int64_t *out);

size_t fc_direct_gradient_workspace(const struct fc_corr *c);
fc_status fc_direct_backward_weights(const fc_conv_plan *plan, const fc_conv_data *data);

#endif
