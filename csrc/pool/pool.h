/* pool.h - what maximum and average pooling share: the windows of an axis, and the loop over strips of windows.
 *
 * A pooling reduces windows of a source tensor to elements of a result tensor. Forward that is the input and the output.
 * Backward of an average it is the gradient dy / divisor and dx: dx[i] is the sum over the outputs whose window covers i,
 * and these are again equally spaced. So one driver serves both: strips.c cuts the result into strips and brings their
 * source, reduce.c reduces the windows of a row; max.c and avg.c say what is reduced how.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#ifndef FC_POOL_H
#define FC_POOL_H

#include "box.h"

/* ---- Windows of one axis (windows.c) -----------------------------------------------------------------------------*/

/* Source positions first, first + step, ..., `count` of them: only those that exist. */
struct fc_window {
    int64_t first, count;
};

struct fc_axis {
    int64_t source, result;         /* extents */
    int64_t kernel, stride, dilation, pad;    /* of the pooling */
    int backward;
    int64_t inverse;                /* backward: of stride / g modulo step, g = gcd(stride, dilation) */
    int64_t step;                   /* between the positions of a window: dilation, backward dilation / g */
    int64_t period, advance;        /* in the interior the windows of i and i + period are `advance` apart */
    int64_t interior[2];            /* the first and last result whose window is not clipped; none if last < first */
};

void fc_axis_init(struct fc_axis *a, const fc_pool *p, int axis, int backward);
struct fc_window fc_axis_window(const struct fc_axis *a, int64_t i);

/* Positions from first on, `count` of them, that contain the windows of results i .. i + n - 1. */
struct fc_window fc_axis_range(const struct fc_axis *a, int64_t i, int64_t n);
int64_t fc_axis_reach(const struct fc_axis *a, int64_t n);    /* the most that `count` can be, whatever i is */
int64_t fc_axis_taps(const struct fc_axis *a);                /* the most positions of one window */

/* Results start + i*period, `count` of them, whose windows are `advance` apart and otherwise alike. */
struct fc_segment {
    int64_t start, count, period, advance;
    struct fc_window window;        /* of the first */
};

/* Cuts results start .. start + count - 1 into segments, at most `count`; returns how many. */
int64_t fc_axis_segments(const struct fc_axis *a, int64_t start, int64_t count, struct fc_segment *to);

/* ---- Strips of windows (strips.c) --------------------------------------------------------------------------------*/

/* Part of the result that is computed at once. */
struct fc_pool_strip {
    int64_t rows, columns;
    int sparse;                     /* windows are packed one by one: what lies between them is too much */
};

struct fc_pooling {
    const struct fc_kernels *k;
    const fc_pool *problem;
    size_t size;                    /* bytes of an element */
    int64_t batch, channels;
    struct fc_axis axis[FC_AXES];
    fc_tensor from, to, indices, codes;
    int64_t lanes;                  /* channels of a task */
    struct fc_pool_strip strip;
    char *workspace;
    size_t bytes;                   /* of it, for each thread */
    void (*reduce)(const struct fc_pool_row *);
    int down;                       /* runs are columns of a window, not rows; see fc_pool_sums_down */
    /* Average: pixels of the output from (d, h, w) = `at` on divided by the sizes of their windows, before the reduction
     * (backward) or after it. NULL: not at all. */
    void (*before)(const struct fc_pooling *, const int64_t *at, int64_t count, int64_t lanes, struct fc_pixels from, struct fc_pixels to);
    void (*after)(const struct fc_pooling *, const int64_t *at, int64_t count, int64_t lanes, struct fc_pixels from, struct fc_pixels to);
};

/* A pooling without its functions. Images whose planes follow each other at equal distances become channels: fewer
 * blocks are partly empty. */
void fc_pooling_init(struct fc_pooling *j, const fc_pool_plan *plan, const fc_pool_data *data, int backward);

size_t fc_pool_workspace(const fc_pool *p, int backward);
fc_status fc_pooling_run(struct fc_pooling *j, int threads);

/* ---- Rows of windows (reduce.c) -----------------------------------------------------------------------------------
 * A window is a list of runs: its rows (or columns), cut into pieces of at most FC_POOL_TAPS taps. The kernels take FC_POOL_RUNS of
 * them at a time and continue from their result. So scratch memory is bounded whatever the window, sums are sums of
 * blocks of blocks, and their order, and with it every bit, depends on the problem alone. */
enum { FC_POOL_TAPS = 64, FC_POOL_RUNS = 64 };

/* Where the source is: `unit` elements from one position to the next, `tap` from one tap of a window to the next. */
struct fc_pool_source {
    const char *data;              /* NULL: windows are packed one by one */
    int64_t origin[FC_AXES];
    ptrdiff_t unit[FC_AXES], tap[FC_AXES];
};

/* A strip of results of some channels of one image, and its scratch memory. */
struct fc_pool_task {
    int64_t image, channel, channels, lanes;    /* lanes: channels rounded up to whole vectors, or a block */
    int64_t start[FC_AXES], rows, columns;
    struct fc_pool_source source;
    struct fc_run *run;
    struct fc_segment *segment;
    int64_t segments;
    char *packed, *result, *index;
};

/* Row `row` of the results into y; with indices those of the row into t->index. */
void fc_pool_reduce_row(const struct fc_pooling *j, const struct fc_pool_task *t, int64_t row, struct fc_pixels y);

/* The positions or codes of the maxima of the row whose indices are in t->index. */
void fc_pool_write_places(const struct fc_pooling *j, const struct fc_pool_task *t, int64_t row);

/* Whether the planes of all images follow each other at equal distances, or there is no tensor. */
static inline int fc_pool_is_merged(const fc_tensor *t, const fc_pool *p)
{
    return !t->data || (t->block == FC_BLOCK * t->channel && t->batch == p->channels * t->channel);
}

/* ---- Planes with adjacent columns (planes.c) ----------------------------------------------------------------------*/

/* Runs the pooling if its windows and arrays suit planes_template.h; returns whether they do. */
int fc_planes_run(const fc_pool_plan *plan, const fc_pool_data *data, int backward, fc_status *status);
size_t fc_planes_workspace(const fc_pool *p);

/* Whether the one window is the whole plane, and small enough to be summed up in the order of pool.total. */
int fc_pool_is_total(const fc_pool *p);

/* Whether averages are summed up column by column, not row by row: windows wider than those of planes_template.h, so
 * that planes with adjacent columns are added up row by row, all columns at once, before windows are looked at. */
int fc_pool_sums_down(const fc_pool *p);

/* avg.c: taps of output o that count in its divisor, along one axis; 1 / divisor if it is exact, else 0. */
int64_t fc_pool_counted(const fc_pool *p, int axis, int64_t o);
double fc_pool_exact_factor(double divisor);

/* max.c, avg.c, codes.c */
fc_status fc_max_pool_run(const fc_pool_plan *plan, const fc_pool_data *data);
fc_status fc_avg_pool_run(const fc_pool_plan *plan, const fc_pool_data *data);
size_t fc_codes_workspace(const fc_pool *p);

#endif
