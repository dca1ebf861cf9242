/* planes.c - poolings whose windows are small, or whole planes, on planes with adjacent columns: no reordering.
 *
 * The kernels (planes_template.h) take several planes, or a strip of rows of one, at once. They give the same bits as
 * the strips of strips.c, so that it does not matter which arrays come here.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

enum {
    MOST_COLUMNS = 1 << 15, MOST_ROWS = 1 << 16,    /* of the output: they bound the scratch memory */
    MOST_KERNEL = 64,          /* of windows whose averages' gradient is spread */
    MOST_PLACES = 1 << 24,     /* places in a window are floats; see planes_template.h */
    TASK_BYTES = 256 << 10,    /* of x that one task takes, more or less */
    STREAMED = 24 << 20,       /* bytes of a result from which on it is written past the caches, which cannot hold it ... */
    STREAM_BYTES = 32 << 10,   /* ... from scratch memory of so many bytes: memory is then not read before it is written */
    MOST_TOTAL = 1024          /* elements of a plane that is summed up without cutting it into blocks */
};

int fc_pool_is_total(const fc_pool *p)
{
    if (p->kind != FC_AVG_POOL || p->in[0] > 1 || fc_volume(p->out) > 1 || p->in[1] > FC_POOL_RUNS || p->in[2] > FC_POOL_TAPS) return 0;
    for (int a = 1; a < FC_AXES; a++)
        if (p->dilation[a] > 1 || p->kernel[a] - p->pad_lo[a] < p->in[a]) return 0;
    return p->kernel[0] == 1 && p->in[1] * p->in[2] <= MOST_TOTAL;
}

static int small_windows(const fc_pool *p)
{
    return p->in[0] == 1 && p->kernel[0] == 1 && p->dilation[1] == 1 && p->dilation[2] == 1 && p->kernel[1] <= 3 &&
           (p->kernel[2] == 2 || p->kernel[2] == 3) && p->stride[2] <= 2 && p->out[1] <= MOST_ROWS &&
           p->out[2] <= MOST_COLUMNS && 3 * p->in[2] < MOST_PLACES;
}

int fc_pool_sums_down(const fc_pool *p)
{
    for (int a = 1; a < FC_AXES; a++)
        if (p->dilation[a] > 1 || p->kernel[a] > fc_min(FC_POOL_RUNS, FC_POOL_TAPS)) return 0;
    return p->kind == FC_AVG_POOL && p->in[0] == 1 && p->kernel[0] == 1 && p->out[1] <= MOST_ROWS && p->out[2] <= MOST_COLUMNS &&
           !small_windows(p) && !fc_pool_is_total(p);
}

/* Averages whose gradient the kernels can spread: few windows meet anywhere. */
static int spreads(const fc_pool *p)
{
    for (int a = 1; a < FC_AXES; a++)
        if (p->dilation[a] > 1 || p->kernel[a] > FC_PLANES_RING * p->stride[a] || p->kernel[a] > MOST_KERNEL) return 0;
    return p->kind == FC_AVG_POOL && p->in[0] == 1 && p->kernel[0] == 1 && p->out[1] <= MOST_ROWS && p->in[2] <= MOST_COLUMNS &&
           p->out[2] <= MOST_COLUMNS;
}

static int adjacent_columns(const fc_tensor *t) { return !t->data || t->space[2] == 1; }
static int gapless(const fc_tensor *t, const int64_t *space)
{
    return t->space[2] == 1 && (space[1] == 1 || t->space[1] == space[2]);
}

/* A row of x must fill less than a vector. */
static int sums_narrow_planes(const struct fc_kernels *k, const fc_pool *p) { return fc_pool_sums_down(p) && p->in[2] < k->vector; }

static int suits(const fc_pool_plan *plan, const fc_pool_data *d, int backward)
{
    const fc_pool *p = &plan->problem;
    const int forward = !backward && sums_narrow_planes(plan->kernels, p);
    if (fc_pool_is_total(p)) return gapless(&d->x, p->in);
    return (small_windows(p) || forward || (backward && spreads(p))) && adjacent_columns(&d->x) && adjacent_columns(&d->y) && adjacent_columns(&d->indices) &&
           adjacent_columns(&d->codes);
}

/* ---- Scratch memory: the taps that count in each row and column, and what the kernel needs ------------------------*/

static size_t taps_bytes(const fc_pool *p)
{
    return fc_align((size_t)(p->out[1] + p->out[2] + FC_BLOCK) * fc_sizeof(p->dtype));
}

static size_t scratch_bytes(const fc_pool *p)
{
    return fc_align((size_t)FC_PLANES_SCRATCH(fc_min(p->in[2], MOST_COLUMNS), p->out[2], p->kernel[2]) * fc_sizeof(p->dtype));
}

/* Whether a result of such planes is streamed. */
static int is_large(const fc_pool *p, const int64_t *space)
{
    const double row = (double)space[2] * (double)fc_sizeof(p->dtype);
    return row <= STREAM_BYTES && row * (double)space[1] * (double)p->channels * (double)p->batch >= STREAMED;
}

size_t fc_planes_workspace(const fc_pool *p)
{
    if (!small_windows(p) && !spreads(p) && !fc_pool_sums_down(p)) return 0;
    return taps_bytes(p) + scratch_bytes(p) + (is_large(p, p->in) || is_large(p, p->out) ? STREAM_BYTES : 0);
}

static void write_taps(const fc_pool *p, int axis, char *to)
{
    for (int64_t o = 0; o < p->out[axis]; o++) {
        const double taps = (double)fc_pool_counted(p, axis, o);
        if (p->dtype == FC_F32) ((float *)(void *)to)[o] = (float)taps;
        else ((double *)(void *)to)[o] = taps;
    }
}

/* Only windows at the edges can differ from the others. */
static int64_t all_counted(const fc_pool *p, int axis)
{
    const int64_t first = fc_pool_counted(p, axis, 0), last = fc_pool_counted(p, axis, p->out[axis] - 1);
    return first == last && (p->out[axis] <= 2 || first == p->kernel[axis]) ? first : 0;
}

static void set_divisor(struct fc_planes *w, const fc_pool *p, char *memory)
{
    const double taps = (double)all_counted(p, 1) * (double)all_counted(p, 2) * (double)fc_pool_counted(p, 0, 0);
    w->divisor = p->divisor ? (double)p->divisor : taps;
    if (p->dtype == FC_F32) w->divisor = (float)w->divisor;
    w->factor = fc_pool_exact_factor(w->divisor);
    if (w->divisor != 0) return;
    w->row_taps = memory;
    w->column_taps = memory + (size_t)p->out[1] * fc_sizeof(p->dtype);
    write_taps(p, 1, memory);
    write_taps(p, 2, memory + (size_t)p->out[1] * fc_sizeof(p->dtype));
}

/* ---- Tasks --------------------------------------------------------------------------------------------------------*/

struct job {
    struct fc_planes w;            /* of all planes and rows */
    void (*run)(const struct fc_planes *);
    size_t size, bytes;            /* of an element; of a thread's scratch memory */
    int64_t planes, rows;          /* of a task */
    int64_t groups, strips;        /* tasks of an image */
    int64_t result_rows;
    int joined;                    /* the planes of a task are one */
    int streamed, backward;        /* the result, dx if backward, goes through scratch memory, there from stream_at on */
    size_t stream_at;
    void (*stream)(void *to, const void *from, int64_t count);
    const fc_pool_data *data;
    char *scratch;
};

static void *plane_at(const fc_tensor *t, size_t size, int64_t image, int64_t plane)
{
    return (char *)t->data + (image * t->batch + plane * t->channel) * (ptrdiff_t)size;
}

/* See joins. */
static void join_planes(struct fc_planes *w)
{
    w->height *= w->planes;
    w->rows *= w->planes;
    w->end *= w->planes;
    w->x_plane *= w->planes;
    w->y_plane *= w->planes;
    w->index_plane *= w->planes;
    w->planes = 1;
}

static void stream_task(const struct job *j, struct fc_planes *w)
{
    char *memory = (char *)w->scratch + j->stream_at;
    void **result = j->backward ? &w->x : &w->y;
    const ptrdiff_t row = j->backward ? w->x_row : w->y_row, plane = j->backward ? w->x_plane : w->y_plane;
    const ptrdiff_t length = j->backward ? w->width : w->columns;    /* not `row`, which of a single row may be anything */
    const ptrdiff_t first = w->first * row, count = (w->planes - 1) * plane + (w->end - w->first - 1) * row + length;
    char *to = (char *)*result + first * (ptrdiff_t)j->size;
    *result = memory - first * (ptrdiff_t)j->size;
    j->run(w);
    j->stream(to, memory, count);
}

static void planes_task(void *data, int64_t task, int worker)
{
    const struct job *j = data;
    const fc_pool_data *d = j->data;
    const int64_t image = task / j->strips / j->groups, plane = task / j->strips % j->groups * j->planes;
    struct fc_planes w = j->w;
    if (fc_stopping()) return;
    w.planes = fc_min(j->planes, j->w.planes - plane);
    w.first = task % j->strips * j->rows;
    w.end = fc_min(w.first + j->rows, j->result_rows);
    w.x = plane_at(&d->x, j->size, image, plane);
    w.y = plane_at(&d->y, j->size, image, plane);
    if (d->indices.data) w.position = plane_at(&d->indices, sizeof *w.position, image, plane);
    if (d->codes.data) {
        w.code = plane_at(&d->codes, 1, image, plane);
        w.code_first = w.code;
        w.code_end = w.code + (w.planes - 1) * w.index_plane + (w.rows - 1) * w.index_row + w.columns;
    }
    if (j->joined) join_planes(&w);
    w.scratch = j->scratch + (size_t)worker * j->bytes;
    if (j->streamed) stream_task(j, &w);
    else j->run(&w);
}

/* Whether gapless planes, whose windows neither overlap nor leave rows over, are one tall plane: rows of windows are then
 * equally far apart throughout. */
static int joins(const struct fc_planes *w, const fc_pool_data *d)
{
    return w->kernel[0] <= w->stride[0] && !w->pad[0] && w->height == w->rows * w->stride[0] && w->x_plane == w->height * w->x_row &&
           w->y_plane == w->rows * w->y_row && !w->row_taps && !d->indices.data &&
           (!d->codes.data || w->index_plane == w->rows * w->index_row);
}

/* Several small planes, or some rows of a large one, are a task; all planes of a tensor follow each other if they can. */
static fc_status run_tasks(struct job *j, const fc_pool *p, int merged)
{
    const double plane = (double)fc_volume(j->streamed && !j->backward ? p->out : p->in) * (double)j->size;
    const double bytes = j->streamed ? STREAM_BYTES : TASK_BYTES;
    int64_t images = p->batch;
    j->w.planes = p->channels;
    if (merged) j->w.planes *= images, images = 1;
    j->planes = fc_max(1, fc_min(j->w.planes, (int64_t)(bytes / plane)));
    j->rows = fc_max(1, fc_min(j->result_rows, (int64_t)(bytes / plane * (double)j->result_rows)));
    if (j->rows > 1 && j->rows < j->result_rows) j->rows -= j->rows % 2;    /* windows 2 apart have their rows together */
    j->groups = fc_ceil_div(j->w.planes, j->planes);
    j->strips = fc_ceil_div(j->result_rows, j->rows);
    j->joined = j->strips == 1 && !fc_pool_is_total(p) && joins(&j->w, j->data);
    return fc_parallel(planes_task, j, images * j->groups * j->strips, j->data->threads);
}

static void (*kernel_of(const fc_pool_plan *plan, int backward))(const struct fc_planes *)
{
    const struct fc_kernels *k = plan->kernels;
    if (fc_pool_is_total(&plan->problem)) return backward ? k->pool.planes.fill : k->pool.planes.total;
    if (backward) return small_windows(&plan->problem) ? k->pool.planes.spread : k->pool.planes.expand;
    if (!small_windows(&plan->problem)) return k->pool.planes.narrow;
    return plan->problem.kind == FC_MAX_POOL ? k->pool.planes.max : k->pool.planes.average;
}

int fc_planes_run(const fc_pool_plan *plan, const fc_pool_data *d, int backward, fc_status *status)
{
    const fc_pool *p = &plan->problem;
    if (!suits(plan, d, backward) || !kernel_of(plan, backward)) return 0;
    const fc_tensor *index = d->codes.data ? &d->codes : &d->indices;
    struct job j = { .run = kernel_of(plan, backward), .size = fc_sizeof(p->dtype), .bytes = plan->workspace, .data = d,
                     .result_rows = backward ? p->in[1] : p->out[1], .scratch = (char *)d->workspace + taps_bytes(p) };
    j.w = (struct fc_planes){ .x_plane = d->x.channel, .x_row = d->x.space[1], .y_plane = d->y.channel, .y_row = d->y.space[1],
                              .height = p->in[1], .width = p->in[2], .rows = p->out[1], .columns = p->out[2],
                              .kernel = { p->kernel[1], p->kernel[2] }, .stride = { p->stride[1], p->stride[2] },
                              .pad = { p->pad_lo[1], p->pad_lo[2] }, .index_plane = index->channel, .index_row = index->space[1],
                              .weight = d->codes.data ? p->kernel[2] : p->in[2] };
    const fc_tensor *result = backward ? &d->x : &d->y;
    const int64_t *space = backward ? p->in : p->out;
    j.streamed = is_large(p, space) && gapless(result, space) && result->channel == space[1] * space[2] && !fc_pool_is_total(p);
    j.backward = backward;
    j.stream_at = scratch_bytes(p);
    j.stream = plan->kernels->pool.planes.stream;
    if (p->kind == FC_AVG_POOL) set_divisor(&j.w, p, d->workspace);
    if (fc_pool_is_total(p)) j.w.width *= j.w.height, j.w.height = 1, j.result_rows = 1;
    *status = run_tasks(&j, p, fc_pool_is_merged(&d->x, p) && fc_pool_is_merged(&d->y, p) && fc_pool_is_merged(index, p));
    return 1;
}
