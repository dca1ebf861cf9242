/* strips.c - the loop over strips of windows that maximum and average pooling share; see pool.h.
 *
 * A task is a strip of result rows for 16 channels of one image. Where those channels are adjacent in memory (NHWC) the
 * kernels read the tensor itself. Otherwise the source of the strip is packed into scratch memory, or, where windows
 * are so far apart or so wide that it would not fit, window by window.
 *
 * A window is a list of runs: its rows, cut into pieces of at most MAX_TAPS taps. The kernels take MAX_RUNS of them at a
 * time and continue from their result. So scratch memory is bounded whatever the window, sums are sums of blocks of
 * blocks, and their order, and with it every bit, depends on the problem alone.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

enum {
    MAX_TAPS = 64,
    MAX_RUNS = 64,
    SPARSE_COLUMNS = 256,    /* results of a strip whose windows are packed one by one */
    MAX_WASTE = 32           /* packed pixels for each one that is used, beyond which they are */
};

/* ---- Scratch memory: runs, source, result, indices of a row ------------------------------------------------------*/

static size_t runs_bytes(void) { return fc_align(MAX_RUNS * sizeof(struct fc_run)); }

/* With one row only the slices and rows that it uses are packed. */
static double source_pixels(const struct fc_axis *axis, const struct fc_pool_strip *s)
{
    if (s->sparse) return MAX_TAPS * MAX_RUNS;
    const double rows = (double)(s->rows == 1 ? fc_axis_taps(&axis[1]) : fc_axis_reach(&axis[1], s->rows));
    return (double)fc_axis_taps(&axis[0]) * rows * (double)fc_axis_reach(&axis[2], s->columns);
}

static double strip_bytes(const struct fc_axis *axis, const struct fc_pool_strip *s, size_t size)
{
    const double results = (double)s->rows * (double)s->columns + (double)s->columns;
    return (source_pixels(axis, s) + results) * (double)(FC_BLOCK * size);
}

static int64_t half(int64_t x) { return fc_ceil_div(x, 2); }

/* Strips that stay in the level-2 cache. Rows that share nothing are not worth packing together with what is between. */
static struct fc_pool_strip choose_strip(const struct fc_axis *axis, size_t size)
{
    const double goal = (double)fc_workspace_goal() / 2;
    const int64_t rows = axis[1].result, taps = fc_axis_taps(&axis[2]);
    const int gaps = (double)fc_axis_reach(&axis[1], rows) > (double)rows * (double)fc_axis_taps(&axis[1]);
    struct fc_pool_strip s = { gaps ? 1 : rows, axis[2].result, 0 };
    while (s.rows > 1 && strip_bytes(axis, &s, size) > goal) s.rows = half(s.rows);
    while (s.columns > 1 && strip_bytes(axis, &s, size) > goal) s.columns = half(s.columns);
    const double waste = (double)fc_axis_reach(&axis[2], s.columns) / ((double)s.columns * (double)taps);
    if (waste > MAX_WASTE || strip_bytes(axis, &s, size) > goal)
        s = (struct fc_pool_strip){ 1, fc_min(axis[2].result, SPARSE_COLUMNS), 1 };
    return s;
}

static size_t source_bytes(const struct fc_pooling *j)
{
    return fc_align((size_t)source_pixels(j->axis, &j->strip) * FC_BLOCK * j->size);
}
static size_t result_bytes(const struct fc_pooling *j) { return fc_align((size_t)(j->strip.rows * j->strip.columns * FC_BLOCK) * j->size); }
static size_t indices_bytes(const struct fc_pooling *j) { return fc_align((size_t)(j->strip.columns * FC_BLOCK) * j->size); }

size_t fc_pool_workspace(const fc_pool *p, int backward)
{
    struct fc_pooling j = { .size = fc_sizeof(p->dtype) };
    for (int a = 0; a < FC_AXES; a++) fc_axis_init(&j.axis[a], p, a, backward);
    j.strip = choose_strip(j.axis, j.size);
    return runs_bytes() + source_bytes(&j) + result_bytes(&j) + indices_bytes(&j);
}

/* ---- One strip ----------------------------------------------------------------------------------------------------*/

/* Where the source is: `unit` elements from one position to the next, `tap` from one tap of a window to the next. */
struct source {
    const char *data;              /* NULL: windows are packed one by one */
    int64_t origin[FC_AXES];
    ptrdiff_t unit[FC_AXES], tap[FC_AXES];
};

struct strip {
    int64_t image, channel, channels, lanes;
    int64_t start[FC_AXES], rows, columns;    /* of the result */
    struct source source;
    struct fc_run *run;
    char *packed, *result, *index;
    char *y;                       /* result or, where the channels are adjacent, the tensor */
    ptrdiff_t y_row, y_pixel;      /* elements */
};

/* Whether the kernels can work on the tensor itself. */
static int in_place(const fc_tensor *t, const struct strip *s) { return t->channel == 1 && s->channels == FC_BLOCK; }

static struct strip strip_of(const struct fc_pooling *j, int64_t task, int worker)
{
    const struct fc_pool_strip *p = &j->strip;
    const int64_t blocks = fc_blocks(j->channels), columns = fc_ceil_div(j->axis[2].result, p->columns);
    const int64_t rows = fc_ceil_div(j->axis[1].result, p->rows), i = task / blocks;    /* blocks of a strip share lines */
    struct strip s = { .image = i / columns / rows / j->axis[0].result, .channel = task % blocks * FC_BLOCK,
                       .start = { i / columns / rows % j->axis[0].result, i / columns % rows * p->rows, i % columns * p->columns } };
    s.channels = fc_min(FC_BLOCK, j->channels - s.channel);
    s.lanes = fc_round_up(s.channels, fc_min(j->k->vector, FC_BLOCK));
    s.rows = fc_min(p->rows, j->axis[1].result - s.start[1]);
    s.columns = fc_min(p->columns, j->axis[2].result - s.start[2]);
    char *memory = j->workspace + (size_t)worker * j->bytes;
    s.run = (struct fc_run *)memory;
    s.packed = memory + runs_bytes();
    s.result = s.packed + source_bytes(j);
    s.index = s.result + result_bytes(j);
    return s;
}

static int64_t task_count(const struct fc_pooling *j)
{
    return j->batch * j->axis[0].result * fc_ceil_div(j->axis[1].result, j->strip.rows) *
           fc_ceil_div(j->axis[2].result, j->strip.columns) * fc_blocks(j->channels);
}

static void read_in_place(const struct fc_pooling *j, struct strip *s)
{
    s->source.data = fc_element(&j->from, j->size, s->image, s->channel, 0, 0, 0);
    for (int a = 0; a < FC_AXES; a++) {
        s->source.unit[a] = j->from.space[a];
        s->source.tap[a] = j->from.space[a] * j->axis[a].step;
    }
}

/* Packed slices are taps; packed rows are taps if the strip has one row, else all rows in the strip's range. */
static void pack_source(const struct fc_pooling *j, struct strip *s)
{
    const struct fc_window slices = fc_axis_window(&j->axis[0], s->start[0]), columns = fc_axis_range(&j->axis[2], s->start[2], s->columns);
    const int single = j->strip.rows == 1;
    const struct fc_window rows = single ? fc_axis_window(&j->axis[1], s->start[1]) : fc_axis_range(&j->axis[1], s->start[1], s->rows);
    const ptrdiff_t row = columns.count * FC_BLOCK, slice = rows.count * row;
    const int64_t extent[FC_AXES] = { j->axis[0].source, j->axis[1].source, j->axis[2].source };
    const int64_t row_step = single ? j->axis[1].step : 1, at_once = row_step == 1 ? rows.count : 1;
    struct fc_box b = { .image = s->image, .channel = s->channel, .channels = s->channels, .slices = 1,
                        .start = { 0, 0, columns.first }, .rows = at_once, .columns = columns.count };
    char *to = s->packed;
    for (int64_t d = 0; d < slices.count; d++) {
        b.start[0] = slices.first + d * j->axis[0].step;
        for (int64_t r = 0; r < rows.count; r += at_once, to += at_once * row * (ptrdiff_t)j->size) {
            b.start[1] = rows.first + r * row_step;
            fc_box_pack(j->k, &j->from, extent, &b, to);
            if (!j->before) continue;
            for (int64_t i = 0; i < at_once; i++)
                j->before(j, (const int64_t[]){ b.start[0], b.start[1] + i, columns.first }, columns.count,
                          to + i * row * (ptrdiff_t)j->size, FC_BLOCK, s->lanes);
        }
    }
    s->source = (struct source){ s->packed, { slices.first, rows.first, columns.first }, { 0, single ? 0 : row, FC_BLOCK },
                                 { slice, single ? row : row * j->axis[1].step, FC_BLOCK * j->axis[2].step } };
}

/* Packs the taps of one run of a window that is packed alone. */
static void pack_run(const struct fc_pooling *j, const struct strip *s, const int64_t *at, int64_t taps, char *to)
{
    const ptrdiff_t pixel = j->from.space[2];
    const int64_t step = j->axis[2].step;
    const struct fc_row row = { .strided = fc_element(&j->from, j->size, s->image, s->channel, at[0], at[1], at[2]),
                                .channel = j->from.channel, .pixel = pixel * step, .blocked = to, .channels = s->channels,
                                .count = taps };
    j->k->pack_row(&row);
    if (!j->before) return;
    for (int64_t t = 0; t < taps; t++)
        j->before(j, (const int64_t[]){ at[0], at[1], at[2] + t * step }, 1, to + t * FC_BLOCK * (ptrdiff_t)j->size, FC_BLOCK, s->lanes);
}

/* ---- Windows ------------------------------------------------------------------------------------------------------*/

/* Results side by side whose windows differ in nothing but their place. */
struct segment {
    struct fc_window slices, rows, columns;    /* of the first */
    int64_t column, count, period;             /* result columns column + i*period */
};

/* The index of a tap counts from the first row of the window and the unclipped first column: it is below 2^32 where
 * max.c lets a float32 problem have indices, and one formula gives the positions of a whole row. */
static int64_t index_at(const struct fc_pooling *j, const struct segment *g, int64_t slice, int64_t row, int64_t tap)
{
    const struct fc_axis *a = j->axis;
    const int64_t start = g->column * a[2].stride - a[2].pad, h = slice * a[0].step * a[1].source + row * a[1].step;
    return h * a[2].source + g->columns.first - start + tap * a[2].step;
}

static ptrdiff_t offset_at(const struct source *s, const struct segment *g, int64_t slice, int64_t row, int64_t tap)
{
    return (g->slices.first - s->origin[0]) * s->unit[0] + (g->rows.first - s->origin[1]) * s->unit[1] +
           (g->columns.first - s->origin[2]) * s->unit[2] + slice * s->tap[0] + row * s->tap[1] + tap * s->tap[2];
}

static void add_run(const struct fc_pooling *j, const struct strip *s, const struct segment *g, struct fc_pool_row *w, int64_t slice,
                    int64_t row, int64_t tap, int64_t taps)
{
    const struct fc_axis *a = j->axis;
    struct fc_run *run = &s->run[w->runs];
    run->taps = taps;
    run->index = index_at(j, g, slice, row, tap);
    if (s->source.data) {
        run->offset = offset_at(&s->source, g, slice, row, tap);
    } else {
        const int64_t at[] = { g->slices.first + slice * a[0].step, g->rows.first + row * a[1].step, g->columns.first + tap * a[2].step };
        run->offset = w->runs * MAX_TAPS * FC_BLOCK;
        pack_run(j, s, at, taps, s->packed + run->offset * (ptrdiff_t)j->size);
    }
    w->runs++;
}

static void flush(const struct fc_pooling *j, struct fc_pool_row *w)
{
    j->reduce(w);
    w->continues = 1;
    w->runs = 0;
}

/* The results of a segment. */
static void reduce_segment(const struct fc_pooling *j, const struct strip *s, const struct segment *g, char *y)
{
    const struct fc_axis *a = &j->axis[2];
    const int packed_alone = s->source.data == NULL;
    struct fc_pool_row w = { .x = packed_alone ? s->packed : s->source.data, .x_step = a->advance * s->source.unit[2],
                             .x_tap = packed_alone ? FC_BLOCK : s->source.tap[2], .run = s->run, .index_tap = a->step,
                             .count = g->count, .lanes = s->lanes, .y = y, .y_step = g->period * s->y_pixel,
                             .index = s->index + (g->column - s->start[2]) * FC_BLOCK * (ptrdiff_t)j->size };
    const int64_t pieces = fc_ceil_div(g->columns.count, MAX_TAPS);
    s->run[0].index = index_at(j, g, 0, 0, 0);    /* also of a window without taps */
    for (int64_t slice = 0; slice < g->slices.count; slice++) {
        for (int64_t row = 0; row < g->rows.count; row++) {
            for (int64_t i = 0; i < pieces; i++) {
                const int64_t tap = g->columns.count * i / pieces, end = g->columns.count * (i + 1) / pieces;
                if (w.runs == MAX_RUNS) {
                    flush(j, &w);
                    if (fc_stopping()) return;
                }
                add_run(j, s, g, &w, slice, row, tap, end - tap);
            }
        }
    }
    flush(j, &w);
}

/* One row of results: in the interior a segment for each phase of the period, at the borders each result by itself. */
static void reduce_row(const struct fc_pooling *j, const struct strip *s, int64_t row, char *y)
{
    const struct fc_axis *a = &j->axis[2];
    const int64_t end = s->start[2] + s->columns;
    struct segment g = { .slices = fc_axis_window(&j->axis[0], s->start[0]), .rows = fc_axis_window(&j->axis[1], row) };
    for (int64_t i = s->start[2]; i < end;) {
        const int inside = s->source.data && a->interior[0] <= i && i <= a->interior[1];
        const int64_t past = inside ? fc_min(end, a->interior[1] + 1) : i + 1;
        for (int64_t phase = i; phase < fc_min(past, i + a->period); phase++) {
            g.columns = fc_axis_window(a, phase);
            g.column = phase;
            g.period = a->period;
            g.count = fc_ceil_div(past - phase, a->period);
            reduce_segment(j, s, &g, y + (phase - s->start[2]) * s->y_pixel * (ptrdiff_t)j->size);
        }
        i = past;
    }
}

static void write_positions(const struct fc_pooling *j, const struct strip *s, int64_t row)
{
    const struct fc_axis *a = j->axis;
    const int64_t d = fc_axis_window(&a[0], s->start[0]).first, h = fc_axis_window(&a[1], row).first;
    const struct fc_positions w = {
        .index = s->index,
        .to = (int64_t *)(void *)fc_element(&j->indices, sizeof(int64_t), s->image, s->channel, s->start[0], row, s->start[2]),
        .channel = j->indices.channel, .pixel = j->indices.space[2], .channels = s->channels, .count = s->columns,
        .first = (d * a[1].source + h) * a[2].source + s->start[2] * a[2].stride - a[2].pad, .step = a[2].stride,
    };
    j->k->pool.positions(&w);
}

static void strip_task(void *data, int64_t task, int worker)
{
    const struct fc_pooling *j = data;
    struct strip s = strip_of(j, task, worker);
    if (!j->before && in_place(&j->from, &s)) read_in_place(j, &s);
    else if (!j->strip.sparse) pack_source(j, &s);
    const int direct = in_place(&j->to, &s);
    s.y = direct ? fc_element(&j->to, j->size, s.image, s.channel, s.start[0], s.start[1], s.start[2]) : s.result;
    s.y_row = direct ? j->to.space[1] : s.columns * FC_BLOCK;
    s.y_pixel = direct ? j->to.space[2] : FC_BLOCK;
    for (int64_t r = 0; r < s.rows; r++) {
        if (fc_stopping()) return;
        const int64_t row = s.start[1] + r;
        char *y = s.y + r * s.y_row * (ptrdiff_t)j->size;
        reduce_row(j, &s, row, y);
        if (j->after) j->after(j, (const int64_t[]){ s.start[0], row, s.start[2] }, s.columns, y, s.y_pixel, s.lanes);
        if (j->indices.data) write_positions(j, &s, row);
    }
    if (direct) return;
    const struct fc_box b = { .image = s.image, .channel = s.channel, .channels = s.channels, .slices = 1,
                              .start = { s.start[0], s.start[1], s.start[2] }, .rows = s.rows, .columns = s.columns };
    fc_box_unpack(j->k, &j->to, &b, s.result);
}

/* ---- The whole ----------------------------------------------------------------------------------------------------*/

static int is_merged(const fc_tensor *t, int64_t channels) { return !t->data || t->batch == channels * t->channel; }

void fc_pooling_init(struct fc_pooling *j, const fc_pool_plan *plan, const fc_pool_data *data, int backward)
{
    const fc_pool *p = &plan->problem;
    *j = (struct fc_pooling){ .k = plan->kernels, .problem = p, .size = fc_sizeof(p->dtype), .batch = p->batch, .channels = p->channels,
                              .from = backward ? data->y : data->x, .to = backward ? data->x : data->y, .indices = data->indices,
                              .workspace = data->workspace, .bytes = plan->workspace };
    if (backward) j->indices.data = NULL;
    for (int a = 0; a < FC_AXES; a++) fc_axis_init(&j->axis[a], p, a, backward);
    j->strip = choose_strip(j->axis, j->size);
    if (p->batch > 1 && is_merged(&j->from, p->channels) && is_merged(&j->to, p->channels) && is_merged(&j->indices, p->channels)) {
        j->channels *= p->batch;
        j->batch = 1;
    }
}

fc_status fc_pooling_run(struct fc_pooling *j, int threads) { return fc_parallel(strip_task, j, task_count(j), threads); }
