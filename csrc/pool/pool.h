/* pool.h - what maximum and average pooling share: the windows of an axis, and the loop over strips of windows.
 *
 * A pooling reduces windows of a source tensor to elements of a result tensor. Forward that is the input and the output.
 * Backward of an average it is the gradient dy / divisor and dx: dx[i] is the sum over the outputs whose window covers i,
 * and these are again equally spaced. So one driver (strips.c) serves both; max.c and avg.c say what is reduced how.
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
    fc_tensor from, to, indices;
    struct fc_pool_strip strip;
    char *workspace;
    size_t bytes;                   /* of it, for each thread */
    void (*reduce)(const struct fc_pool_row *);
    /* Average: result row (d, h), columns from w on, divided by the sizes of their windows; before the reduction
     * (backward) or after it. NULL: not at all. `to` has pixels `step` elements apart. */
    void (*before)(const struct fc_pooling *, const int64_t *at, int64_t count, char *to, ptrdiff_t step, int64_t lanes);
    void (*after)(const struct fc_pooling *, const int64_t *at, int64_t count, char *to, ptrdiff_t step, int64_t lanes);
};

/* A pooling without its functions. Images whose planes follow each other at equal distances become channels: fewer
 * blocks are partly empty. */
void fc_pooling_init(struct fc_pooling *j, const fc_pool_plan *plan, const fc_pool_data *data, int backward);

size_t fc_pool_workspace(const fc_pool *p, int backward);
fc_status fc_pooling_run(struct fc_pooling *j, int threads);

/* max.c, avg.c */
fc_status fc_max_pool_run(const fc_pool_plan *plan, const fc_pool_data *data);
fc_status fc_avg_pool_run(const fc_pool_plan *plan, const fc_pool_data *data);

#endif
