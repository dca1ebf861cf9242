/* conv.h - what the convolution algorithms share: correlations, strips, reductions.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_CONV_H
#define FC_CONV_H

#include "box.h"

/* ---- Correlations (correlation.c) ---------------------------------------------------------------------------------
 * Forward and backward-data are the same sum:
 *
 *     to[n][g, lane][o] = bias + sum over depth d and taps t of
 *                         from[n][g, d][o*stride + t*dilation - offset] * w[g, lane][d][t]
 *
 * with from = 0 outside its extents, or what `border` says. Forward is one correlation (lanes = output channels, depth = input channels).
 * Backward-data is one for each phase: the input positions h with the same (h + pad) modulo stride see the same taps,
 * every (stride / gcd(stride, dilation))-th one, in reverse order, and step through dy one by one. No position is
 * multiplied with a zero that padding did not put there. Positions no tap reaches are zero. */
struct fc_corr {
    const struct fc_kernels *k;
    size_t size;                             /* bytes of an element */
    int64_t batch, groups, lanes, depths;    /* lanes and depths of one group */
    fc_tensor from, to;
    int64_t from_size[FC_AXES], to_size[FC_AXES];
    int64_t taps[FC_AXES], stride[FC_AXES], dilation[FC_AXES], offset[FC_AXES];
    int64_t first[FC_AXES];                  /* backward-data: the position of output 0 in dx */
    int64_t step[FC_AXES];                   /* outputs are so far apart in a strip (direct.c), where others may lie between */
    int64_t w_start;                         /* weights: element of tap 0 ... */
    ptrdiff_t w_group, w_lane, w_depth, w_tap[FC_AXES];    /* ... and strides */
    fc_border border;                        /* backward-data: zeros */
    int relu;                                /* forward: to = max(0, the sum) */
    const char *packed;                      /* see packed.c; `weights` is this phase's part */
    const char *weights;
};

int64_t fc_phases(const fc_conv *p, fc_pass pass);

/* Fills *c with phase `i`; returns 0 where it has nothing to compute. data may be NULL: extents only. Where the strides
 * of the tensors allow it the rows of a 1 x 1 convolution are merged into one. */
int fc_phase(const fc_conv_plan *plan, const fc_conv_data *data, int64_t i, struct fc_corr *c);
void fc_merge_rows(struct fc_corr *c);

/* The most that bytes(c) asks for over all phases, with rows merged or not. */
size_t fc_most_bytes(const fc_conv_plan *plan, size_t (*bytes)(const struct fc_corr *));

/* Whether positions of dx exist that no phase writes. */
int fc_has_gaps(const fc_conv *p);

/* Whether the tensors are so large that their pixels have to be fetched from beyond the level-2 cache. */
int fc_prefetches(const struct fc_corr *c);

/* Terms of a sum of backward-weights. */
static inline int64_t fc_terms(const struct fc_corr *c) { return c->batch * fc_volume(c->to_size); }

/* Lanes of one group in packed weights: whole blocks, and whole panels. */
static inline int64_t fc_padded_lanes(const struct fc_corr *c) { return fc_round_up(c->lanes, fc_max(FC_BLOCK, c->k->lanes)); }

/* Pixels at[2], at[2] + stride, ... of line (at[0], at[1]) of the input, border included. */
void fc_border_line(const struct fc_corr *c, int64_t image, int64_t channel, const int64_t *at, int64_t count, char *line);

/* ---- Register tiles (tiles.c) -----------------------------------------------------------------------------------*/

/* One row of pixels (or Winograd tiles) against one panel of lanes. */
struct fc_tiles {
    const struct fc_kernels *k;
    const char *a;
    ptrdiff_t a_row;                /* between pixels */
    const ptrdiff_t *offset;
    int64_t runs;
    const char *b;                  /* this panel, at the first run */
    ptrdiff_t b_skip;               /* elements left out after each run */
    char *c;                        /* [block][pixel][16], c_row and ... */
    ptrdiff_t c_row, c_block;       /* ... c_block apart */
    const char *init;               /* of the panel's lanes, or NULL */
    const char *ahead;              /* the panel that comes next, as large as this one, or NULL */
};

/* Vectors across the panel that starts at `lane`, given the lanes that exist: 1 or FC_MAX_VECTORS. */
static inline int fc_panel_vectors(const struct fc_kernels *k, int64_t lane, int64_t lanes)
{
    return lanes - lane > k->vector ? FC_MAX_VECTORS : 1;
}

void fc_tiles_run(const struct fc_tiles *t, int64_t columns, int vectors);

/* ---- Sums for backward-weights (gradient.c) -----------------------------------------------------------------------
 * Long sums are cut into blocks: acc collects FC_SUM_BLOCK terms or a few more, middle about n^(3/4), total all. So the
 * rounding error grows like n^(1/8) instead of n^(1/2). */
enum { FC_SUM_BLOCK = 512, FC_SUM_FEW = 32 };

/* Levels that a sum of so many terms has: without middle, acc goes straight to total; with one level it is the total. */
static inline int fc_sum_levels(int64_t terms) { return terms > FC_SUM_FEW * FC_SUM_BLOCK ? 3 : terms > FC_SUM_BLOCK ? 2 : 1; }

struct fc_sums {
    const struct fc_kernels *k;
    size_t bytes;                   /* of each level */
    char *acc, *middle, *total;
    int64_t terms, middle_terms;    /* in acc and in middle so far */
    int total_begun;                /* whether total holds anything yet */
    int zeroed;                     /* acc begins as zeros; if not, what is added first overwrites it */
    int64_t interval;               /* terms after which middle is added to total */
};

/* memory: fc_sum_levels(all_terms) * bytes. */
void fc_sums_start(struct fc_sums *s, const struct fc_kernels *k, void *memory, size_t bytes, int64_t all_terms);
void fc_sums_count(struct fc_sums *s, int64_t terms);
void fc_sums_finish(struct fc_sums *s);    /* the sums are in total; of no terms at all: undefined */

/* The gradient of a chunk: sums [panel][block of depth][tap][16][lanes of a panel]. */
struct fc_gradient {
    const struct fc_kernels *k;
    int64_t lanes, depths, taps;    /* taps = 16 or 36 elements for Winograd */
    struct fc_sums sums;
};

size_t fc_gradient_bytes(const struct fc_gradient *g);    /* of one level */
void fc_gradient_start(struct fc_gradient *g, void *memory, int64_t all_terms);
/* What the tiles that add to acc start from: zeros where it is empty, NULL (acc itself) where it is not. */
const void *fc_gradient_init(const struct fc_gradient *g);
/* The accumulators of a panel's block of depth and tap. */
char *fc_gradient_at(const struct fc_gradient *g, int64_t lane, int64_t block, int64_t tap);

/* acc of one block and tap += the products of its 16 depths, which t walks along, with every lane of y. */
void fc_gradient_add(struct fc_gradient *g, struct fc_tile t, int64_t block, int64_t tap, const char *y, ptrdiff_t y_block);

/* ---- Packed weights (packed.c) ------------------------------------------------------------------------------------
 * [bias padded with zeros][a byte for each panel][phase][group][panel][steps][lanes of the panel]; steps(c), the length of
 * a panel, is what the algorithms differ in. */
typedef int64_t (*fc_steps)(const struct fc_corr *c);

size_t fc_packed_bytes(const fc_conv_plan *plan, fc_steps steps);
/* The panels of a group, and its bias. */
const char *fc_packed_group(const struct fc_corr *c, int64_t group, fc_steps steps);
/* The panels of the first phase; those behind this one. */
const char *fc_packed_first(const struct fc_corr *c);
const char *fc_packed_next(const struct fc_corr *c, fc_steps steps);
const char *fc_packed_bias(const struct fc_corr *c, int64_t group);
/* The byte of the panel that begins at `lane`, for all phases: 1 until a packer changes it. */
char *fc_packed_mark(const struct fc_corr *c, int64_t group, int64_t lane);

/* How an algorithm packs: the length of a panel, and a function that writes the panel of a group that starts at `lane`. */
struct fc_packer {
    fc_steps steps;
    void (*panel)(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to);
};

/* Runs a function on each phase, with c->weights at its panels. */
typedef fc_status (*fc_phase_function)(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c);
fc_status fc_each_phase(const fc_conv_plan *plan, const fc_conv_data *data, fc_steps steps, fc_phase_function run);

/* The weights of a group from a lane and depth on; packed: their panels. */
struct fc_weights fc_weights_of(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, int64_t depth);

/* ---- Direct convolution's pieces that Winograd shares (direct.c) --------------------------------------------------*/

/* How much output one packing of the input serves. */
struct fc_strip {
    int64_t rows, columns;    /* of output */
    int64_t chunk;            /* blocks of depth packed at once */
    int64_t part;             /* lanes computed by one task, a multiple of 16 and of a panel */
};

/* What one task of backward-weights computes: at least four tasks where there are channels for it. */
struct fc_chunk {
    int64_t depths, lanes;    /* multiples of 16; lanes of a panel too */
    struct fc_strip s;        /* part = lanes, chunk = depths / 16 */
};

/* At most so many depths and lanes, and so much memory. */
struct fc_chunk fc_direct_chunk(const struct fc_corr *c, int64_t depths, int64_t lanes, size_t goal);
size_t fc_direct_chunk_bytes(const struct fc_corr *c, const struct fc_chunk *h);

/* Writes the gradient of the chunk at (depth, lane); memory has fc_direct_chunk_bytes. */
void fc_direct_gradient(const struct fc_corr *c, const struct fc_chunk *h, int64_t group, int64_t depth, int64_t lane,
                        void *weight, char *memory);

/* ---- Algorithms (algorithms.c) ----------------------------------------------------------------------------------*/

struct fc_algorithm {
    fc_algorithm_name name;
    const char *label;
    const char *variant;
    /* NULL, or why the algorithm does not apply. */
    const char *(*refuses)(const fc_conv_plan *);
    /* Predicted cycles of one thread for one image. Only in backward-weights may they depend on the batch. */
    double (*cycles)(const fc_conv_plan *);
    size_t (*workspace)(const fc_conv_plan *);    /* of one thread; 0: no blocking fits into FC_WORKSPACE_LIMIT */
    /* Whether backward-data writes positions that no tap reaches, too; NULL: no. */
    int (*fills_gaps)(const fc_conv_plan *);
    const struct fc_packer *packer;
    fc_status (*run)(const fc_conv_plan *, const fc_conv_data *);
};

extern const struct fc_algorithm fc_direct, fc_depthwise, fc_planar, fc_im2col, fc_winograd_2, fc_winograd_4;

/* In order of preference among equals; fc_im2col is last and accepts everything. */
extern const struct fc_algorithm *const fc_algorithms[];
enum { FC_ALGORITHM_COUNT = 6 };

#endif
