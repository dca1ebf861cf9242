/* planar.h - strips of input as planes, whose pixels fill the lanes of vectors; see planar.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_PLANAR_H
#define FC_PLANAR_H

#include "conv/conv.h"

/* The outputs that one copy of the input serves, and the planes [line phase][column phase][depth][slice][lines][pitch]
 * of their inputs. Lines share the zeros that end one and begin the next. */
struct fc_slab {
    int64_t rows, columns;    /* of output */
    int64_t lines, pitch;
    int64_t shared;
};

struct fc_slab fc_slab_of(const struct fc_corr *c, int64_t rows, int64_t columns);

/* The largest strip whose bytes(c, strip) fit into the caches, or into FC_WORKSPACE_LIMIT at least if any does. */
struct fc_slab fc_slab_choose(const struct fc_corr *c, size_t (*bytes)(const struct fc_corr *, const struct fc_slab *));

/* Whether the sizes of a strip of one line and a few columns are small enough to be meaningful. */
int fc_slab_fit(const struct fc_corr *c);

size_t fc_slab_bytes(const struct fc_corr *c, const struct fc_slab *s);

/* A step is one tap of one depth, in the order in which weights are stored. */
static inline int64_t fc_steps_of(const struct fc_corr *c) { return c->depths * fc_volume(c->taps); }
static inline size_t fc_offsets_bytes(const struct fc_corr *c) { return fc_align((size_t)fc_steps_of(c) * sizeof(ptrdiff_t)); }

/* Where each step's input of the first output pixel lies in the planes. */
void fc_slab_offsets(const struct fc_corr *c, const struct fc_slab *s, ptrdiff_t *offset);

/* The outputs at `start` of a group of one image, `rows` x `columns` of them. */
struct fc_piece {
    int64_t image, group, start[FC_AXES], rows, columns;
};

int64_t fc_pieces(const struct fc_corr *c, const struct fc_slab *s);    /* of a group of one image */
struct fc_piece fc_piece_of(const struct fc_corr *c, const struct fc_slab *s, int64_t image, int64_t group, int64_t i);

/* The input of a piece. */
void fc_slab_copy(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, char *to);

/* `count` things in tiles of at most `most`: as few as possible, whose sizes differ by one at most. */
struct fc_span {
    int64_t first, count;
};

static inline int64_t fc_spans(int64_t count, int64_t most) { return fc_ceil_div(count, most); }
static inline struct fc_span fc_span_of(int64_t count, int64_t most, int64_t i)
{
    const int64_t all = fc_spans(count, most), each = count / all, more = count % all;
    return (struct fc_span){ i * each + fc_min(i, more), each + (i < more) };
}

/* Whether pixels are adjacent, and channels evenly spaced. */
static inline int fc_has_planes(const fc_tensor *t) { return t->space[2] == 1 && t->block == FC_BLOCK * t->channel; }

/* ---- Backward-weights (planar_gradient.c) -------------------------------------------------------------------------*/

size_t fc_planar_gradient_workspace(const struct fc_corr *c);
double fc_planar_gradient_cycles(const struct fc_corr *c);    /* for one image of a group */
fc_status fc_planar_gradient(const fc_conv_plan *plan, const fc_conv_data *data);

#endif
