/* strips.c - the loop over strips of windows that maximum and average pooling share; see pool.h.
 *
 * A task is a strip of result rows of some channels of one image. Where the channels are adjacent in memory (NHWC) the
 * kernels work on the tensors themselves, on up to 64 channels, so that whole pieces of lines are used at once. Otherwise
 * the source of the strip is packed into scratch memory, 16 channels, or, where windows are so far apart or so wide that
 * it would not fit, window by window. None of this changes a result: each channel of each window is computed for itself.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

enum {
    WIDE = 64,               /* channels of a task that needs no packing */
    SPARSE_COLUMNS = 256,    /* results of a strip whose windows are packed one by one */
    MAX_WASTE = 32           /* packed pixels for each one that is used, beyond which they are */
};

/* ---- Scratch memory: runs, segments, source, result, indices of a row --------------------------------------------*/

static size_t runs_bytes(void) { return fc_align(FC_POOL_RUNS * sizeof(struct fc_run)); }

/* With one row only the slices and rows that it uses are packed. */
static double source_pixels(const struct fc_axis *axis, const struct fc_pool_strip *s)
{
    if (s->sparse) return FC_POOL_TAPS * FC_POOL_RUNS;
    const double rows = (double)(s->rows == 1 ? fc_axis_taps(&axis[1]) : fc_axis_reach(&axis[1], s->rows));
    return (double)fc_axis_taps(&axis[0]) * rows * (double)fc_axis_reach(&axis[2], s->columns);
}

static double strip_bytes(const struct fc_pooling *j, const struct fc_pool_strip *s)
{
    const double results = (double)s->rows * (double)s->columns + (double)s->columns;
    return (source_pixels(j->axis, s) + results) * (double)j->lanes * (double)j->size + (double)s->columns * sizeof(struct fc_segment);
}

static int64_t half(int64_t x) { return fc_ceil_div(x, 2); }

/* Strips that stay in the level-2 cache. Rows that share nothing are not worth packing together with what is between. */
static struct fc_pool_strip choose_strip(const struct fc_pooling *j)
{
    const struct fc_axis *axis = j->axis;
    const double goal = (double)fc_workspace_goal() / 2;
    const int64_t rows = axis[1].result;
    const int gaps = (double)fc_axis_reach(&axis[1], rows) > (double)rows * (double)fc_axis_taps(&axis[1]);
    struct fc_pool_strip s = { gaps ? 1 : rows, axis[2].result, 0 };
    while (s.rows > 1 && strip_bytes(j, &s) > goal) s.rows = half(s.rows);
    while (s.columns > 1 && strip_bytes(j, &s) > goal) s.columns = half(s.columns);
    const double waste = (double)fc_axis_reach(&axis[2], s.columns) / ((double)s.columns * (double)fc_axis_taps(&axis[2]));
    if (waste > MAX_WASTE || strip_bytes(j, &s) > goal)
        s = (struct fc_pool_strip){ 1, fc_min(axis[2].result, SPARSE_COLUMNS), 1 };
    return s;
}

static size_t segments_bytes(const struct fc_pooling *j) { return fc_align((size_t)j->strip.columns * sizeof(struct fc_segment)); }
static size_t pixels_bytes(const struct fc_pooling *j, double pixels) { return fc_align((size_t)pixels * (size_t)j->lanes * j->size); }
static size_t source_bytes(const struct fc_pooling *j) { return pixels_bytes(j, source_pixels(j->axis, &j->strip)); }
static size_t result_bytes(const struct fc_pooling *j) { return pixels_bytes(j, (double)(j->strip.rows * j->strip.columns)); }
static size_t row_bytes(const struct fc_pooling *j) { return pixels_bytes(j, (double)j->strip.columns); }

static size_t task_bytes(const struct fc_pooling *j)
{
    return runs_bytes() + segments_bytes(j) + source_bytes(j) + result_bytes(j) + row_bytes(j);
}

/* A strip of 64 channels that would be sparse is one of 16: then nothing is larger than for them. */
static void choose_lanes(struct fc_pooling *j, int64_t most)
{
    j->lanes = most;
    j->strip = choose_strip(j);
    if (!j->strip.sparse || most == FC_BLOCK) return;
    choose_lanes(j, FC_BLOCK);
}

size_t fc_pool_workspace(const fc_pool *p, int backward)
{
    struct fc_pooling j = { .size = fc_sizeof(p->dtype) };
    for (int a = 0; a < FC_AXES; a++) fc_axis_init(&j.axis[a], p, a, backward);
    choose_lanes(&j, FC_BLOCK);
    const size_t narrow = task_bytes(&j);
    choose_lanes(&j, WIDE);
    return narrow > task_bytes(&j) ? narrow : task_bytes(&j);
}

/* ---- One strip ----------------------------------------------------------------------------------------------------*/

/* Groups of `lanes` channels: whole blocks first, then the partly empty block. */
static int64_t channel_groups(const struct fc_pooling *j)
{
    const int64_t whole = j->channels / FC_BLOCK * FC_BLOCK;
    return fc_ceil_div(whole, j->lanes) + (whole < j->channels);
}

static void choose_channels(const struct fc_pooling *j, struct fc_pool_task *t, int64_t group)
{
    const int64_t whole = j->channels / FC_BLOCK * FC_BLOCK;
    t->channel = fc_min(group * j->lanes, whole);
    t->channels = t->channel < whole ? fc_min(j->lanes, whole - t->channel) : j->channels - whole;
    t->lanes = t->channel < whole ? t->channels : fc_round_up(t->channels, fc_min(j->k->vector, FC_BLOCK));
}

/* The groups of channels of a strip follow each other: where they are adjacent they share lines and pages. */
static struct fc_pool_task task_of(const struct fc_pooling *j, int64_t number, int worker)
{
    const struct fc_pool_strip *s = &j->strip;
    const int64_t groups = channel_groups(j), columns = fc_ceil_div(j->axis[2].result, s->columns);
    const int64_t rows = fc_ceil_div(j->axis[1].result, s->rows), i = number / groups;
    struct fc_pool_task t = { .image = i / columns / rows / j->axis[0].result,
                              .start = { i / columns / rows % j->axis[0].result, i / columns % rows * s->rows, i % columns * s->columns } };
    choose_channels(j, &t, number % groups);
    t.rows = fc_min(s->rows, j->axis[1].result - t.start[1]);
    t.columns = fc_min(s->columns, j->axis[2].result - t.start[2]);
    char *memory = j->workspace + (size_t)worker * j->bytes;
    t.run = (struct fc_run *)memory;
    t.segment = (struct fc_segment *)(memory + runs_bytes());
    t.packed = (char *)t.segment + segments_bytes(j);
    t.result = t.packed + source_bytes(j);
    t.index = t.result + result_bytes(j);
    return t;
}

static int64_t task_count(const struct fc_pooling *j)
{
    return j->batch * j->axis[0].result * fc_ceil_div(j->axis[1].result, j->strip.rows) *
           fc_ceil_div(j->axis[2].result, j->strip.columns) * channel_groups(j);
}

/* Whether the kernels can work on the tensor itself. */
static int in_place(const fc_tensor *t, const struct fc_pool_task *s) { return t->channel == 1 && s->channels % FC_BLOCK == 0; }

static void read_in_place(const struct fc_pooling *j, struct fc_pool_task *t)
{
    t->source.data = fc_element(&j->from, j->size, t->image, t->channel, 0, 0, 0);
    for (int a = 0; a < FC_AXES; a++) {
        t->source.unit[a] = j->from.space[a];
        t->source.tap[a] = j->from.space[a] * j->axis[a].step;
    }
}

/* Divides the packed rows of a slice where the pooling asks for it; adjacent channels are read from the tensor. */
static void divide_rows(const struct fc_pooling *j, const struct fc_pool_task *t, const struct fc_box *b, int adjacent, char *to)
{
    const ptrdiff_t lanes = fc_round_up(t->lanes, FC_BLOCK), size = (ptrdiff_t)j->size;
    for (int64_t i = 0; i < b->rows; i++) {
        const int64_t at[] = { b->start[0], b->start[1] + i * (1 + b->row_gap), b->start[2] };
        const struct fc_pixels packed = { to + i * b->columns * lanes * size, lanes };
        const struct fc_pixels tensor = { fc_element(&j->from, j->size, t->image, t->channel, at[0], at[1], at[2]), j->from.space[2] };
        j->before(j, at, b->columns, t->lanes, adjacent ? tensor : packed, packed);
    }
}

/* The source as [slice][row][column][lanes]. Slices are taps; rows are taps if the strip has one row, else all rows in the
 * strip's range. */
static void pack_source(const struct fc_pooling *j, struct fc_pool_task *t)
{
    const struct fc_axis *a = j->axis;
    const int single = j->strip.rows == 1, adjacent = j->before && in_place(&j->from, t);
    const struct fc_window slices = fc_axis_window(&a[0], t->start[0]), columns = fc_axis_range(&a[2], t->start[2], t->columns);
    const struct fc_window rows = single ? fc_axis_window(&a[1], t->start[1]) : fc_axis_range(&a[1], t->start[1], t->rows);
    const int64_t extent[FC_AXES] = { a[0].source, a[1].source, a[2].source };
    const ptrdiff_t pixel = fc_round_up(t->lanes, FC_BLOCK), row = columns.count * pixel, slice = rows.count * row;
    struct fc_box b = { .image = t->image, .channel = t->channel, .channels = t->channels, .slices = 1,
                        .start = { 0, rows.first, columns.first }, .rows = rows.count, .columns = columns.count,
                        .row_gap = single ? a[1].step - 1 : 0 };
    for (int64_t d = 0; d < slices.count; d++) {
        char *to = t->packed + d * slice * (ptrdiff_t)j->size;
        b.start[0] = slices.first + d * a[0].step;
        if (!adjacent) fc_box_pack(j->k, &j->from, extent, &b, to);
        if (j->before) divide_rows(j, t, &b, adjacent, to);
    }
    t->source = (struct fc_pool_source){ t->packed, { slices.first, rows.first, columns.first }, { 0, single ? 0 : row, pixel },
                                         { slice, single ? row : row * a[1].step, pixel * a[2].step } };
}

static void bring_source(const struct fc_pooling *j, struct fc_pool_task *t)
{
    if (!j->before && in_place(&j->from, t)) read_in_place(j, t);
    else if (!j->strip.sparse) pack_source(j, t);
}

/* Windows packed one by one are reduced one by one. */
static void bring_segments(const struct fc_pooling *j, struct fc_pool_task *t)
{
    const struct fc_axis *a = &j->axis[2];
    if (t->source.data) {
        t->segments = fc_axis_segments(a, t->start[2], t->columns, t->segment);
        return;
    }
    t->segments = t->columns;
    for (int64_t i = 0; i < t->columns; i++)
        t->segment[i] = (struct fc_segment){ t->start[2] + i, 1, 1, 0, fc_axis_window(a, t->start[2] + i) };
}

static void strip_task(void *data, int64_t number, int worker)
{
    const struct fc_pooling *j = data;
    struct fc_pool_task t = task_of(j, number, worker);
    bring_source(j, &t);
    bring_segments(j, &t);
    const int direct = in_place(&j->to, &t);
    const ptrdiff_t step = direct ? j->to.space[2] : FC_BLOCK, row_step = direct ? j->to.space[1] : t.columns * FC_BLOCK;
    char *y = direct ? fc_element(&j->to, j->size, t.image, t.channel, t.start[0], t.start[1], t.start[2]) : t.result;
    for (int64_t r = 0; r < t.rows; r++) {
        if (fc_stopping()) return;
        const int64_t at[] = { t.start[0], t.start[1] + r, t.start[2] };
        const struct fc_pixels row = { y + r * row_step * (ptrdiff_t)j->size, step };
        fc_pool_reduce_row(j, &t, at[1], row);
        if (j->after) j->after(j, at, t.columns, t.lanes, row, row);
        if (j->indices.data || j->codes.data) fc_pool_write_places(j, &t, at[1]);
    }
    if (direct) return;
    const struct fc_box b = { .image = t.image, .channel = t.channel, .channels = t.channels, .slices = 1,
                              .start = { t.start[0], t.start[1], t.start[2] }, .rows = t.rows, .columns = t.columns };
    fc_box_unpack(j->k, &j->to, &b, t.result);
}

/* ---- The whole ----------------------------------------------------------------------------------------------------*/

/* Whether all channels are adjacent, not only those of a block. */
static int in_lines(const fc_tensor *t) { return !t->data || (t->channel == 1 && t->block == FC_BLOCK); }

void fc_pooling_init(struct fc_pooling *j, const fc_pool_plan *plan, const fc_pool_data *data, int backward)
{
    const fc_pool *p = &plan->problem;
    *j = (struct fc_pooling){ .k = plan->kernels, .problem = p, .size = fc_sizeof(p->dtype), .batch = p->batch, .channels = p->channels,
                              .from = backward ? data->y : data->x, .to = backward ? data->x : data->y, .indices = data->indices, .codes = data->codes,
                              .workspace = data->workspace, .bytes = plan->workspace };
    if (backward) j->indices.data = j->codes.data = NULL;
    for (int a = 0; a < FC_AXES; a++) fc_axis_init(&j->axis[a], p, a, backward);
    choose_lanes(j, in_lines(&j->from) && in_lines(&j->to) && in_lines(&j->indices) && in_lines(&j->codes) ? WIDE : FC_BLOCK);
    if (p->batch > 1 && fc_pool_is_merged(&j->from, p) && fc_pool_is_merged(&j->to, p) && fc_pool_is_merged(&j->indices, p) &&
        fc_pool_is_merged(&j->codes, p)) {
        j->channels *= p->batch;
        j->batch = 1;
    }
}

fc_status fc_pooling_run(struct fc_pooling *j, int threads) { return fc_parallel(strip_task, j, task_count(j), threads); }
