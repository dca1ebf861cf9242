/* reduce.c - one row of results of a pooling; see pool.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

/* The windows of a segment: those of its slice and row, and of its first column. */
struct windows {
    struct fc_window slices, rows;
    const struct fc_segment *segment;
    int64_t skipped[FC_AXES];    /* taps before the window's first that lie outside, for codes: windows are not dilated */
};

/* The index of a tap counts from the first row of the window and the unclipped first column: it is below 2^32 where
 * max.c lets a float32 problem have indices, and one formula gives the positions of a whole row. Codes count the taps. */
static int64_t index_at(const struct fc_pooling *j, const struct windows *w, int64_t slice, int64_t row, int64_t tap)
{
    const struct fc_axis *a = j->axis;
    if (j->codes.data)
        return ((slice + w->skipped[0]) * a[1].kernel + row + w->skipped[1]) * a[2].kernel + tap + w->skipped[2];
    const int64_t start = w->segment->start * a[2].stride - a[2].pad, h = slice * a[0].step * a[1].source + row * a[1].step;
    return h * a[2].source + w->segment->window.first - start + tap * a[2].step;
}

static ptrdiff_t offset_at(const struct fc_pool_source *s, const struct windows *w, int64_t slice, int64_t row, int64_t tap)
{
    return (w->slices.first - s->origin[0]) * s->unit[0] + (w->rows.first - s->origin[1]) * s->unit[1] +
           (w->segment->window.first - s->origin[2]) * s->unit[2] + slice * s->tap[0] + row * s->tap[1] + tap * s->tap[2];
}

/* The axis along which a run goes. */
static int along(const struct fc_pooling *j) { return j->down ? 1 : 2; }

/* Packs the taps of one run of a window that is packed alone. */
static void pack_run(const struct fc_pooling *j, const struct fc_pool_task *t, const int64_t *at, int64_t taps, char *to)
{
    const struct fc_row row = { .strided = fc_element(&j->from, j->size, t->image, t->channel, at[0], at[1], at[2]),
                                .channel = j->from.channel, .leap = j->from.block, .pixel = j->from.space[along(j)] * j->axis[along(j)].step, .blocked = to,
                                .channels = t->channels, .count = taps };
    j->k->pack_row(&row);
    if (!j->before) return;
    for (int64_t i = 0; i < taps; i++) {
        const struct fc_pixels pixel = { to + i * FC_BLOCK * (ptrdiff_t)j->size, FC_BLOCK };
        j->before(j, (const int64_t[]){ at[0], at[1], at[2] + i * j->axis[2].step }, 1, t->lanes, pixel, pixel);
    }
}

static void add_run(const struct fc_pooling *j, const struct fc_pool_task *t, const struct windows *w, struct fc_pool_row *to,
                    const int64_t *taps, int64_t count)
{
    struct fc_run *run = &t->run[to->runs];
    run->taps = count;
    run->index = index_at(j, w, taps[0], taps[1], taps[2]);
    if (t->source.data) {
        run->offset = offset_at(&t->source, w, taps[0], taps[1], taps[2]);
    } else {
        const int64_t first[] = { w->slices.first, w->rows.first, w->segment->window.first };
        int64_t at[FC_AXES];
        for (int a = 0; a < FC_AXES; a++) at[a] = first[a] + taps[a] * j->axis[a].step;
        run->offset = to->runs * FC_POOL_TAPS * FC_BLOCK;
        pack_run(j, t, at, count, t->packed + run->offset * (ptrdiff_t)j->size);
    }
    to->runs++;
}

static void flush(const struct fc_pooling *j, struct fc_pool_row *to)
{
    j->reduce(to);
    to->continues = 1;
    to->runs = 0;
}

static void reduce_windows(const struct fc_pooling *j, const struct fc_pool_task *t, const struct windows *w, struct fc_pool_row *to)
{
    const int64_t lines = j->down ? w->segment->window.count : w->rows.count;
    const int64_t length = j->down ? w->rows.count : w->segment->window.count, pieces = fc_ceil_div(length, FC_POOL_TAPS);
    t->run[0].index = index_at(j, w, 0, 0, 0);    /* also of a window without taps */
    for (int64_t slice = 0; slice < w->slices.count; slice++) {
        for (int64_t line = 0; line < lines; line++) {
            for (int64_t i = 0; i < pieces; i++) {
                if (to->runs == FC_POOL_RUNS) {
                    flush(j, to);
                    if (fc_stopping()) return;
                }
                const int64_t tap = length * i / pieces, end = length * (i + 1) / pieces;
                add_run(j, t, w, to, (const int64_t[]){ slice, j->down ? tap : line, j->down ? line : tap }, end - tap);
            }
        }
    }
    flush(j, to);
}

void fc_pool_reduce_row(const struct fc_pooling *j, const struct fc_pool_task *t, int64_t row, struct fc_pixels y)
{
    const struct fc_pool_source *s = &t->source;
    const struct fc_axis *a = j->axis;
    struct windows w = { .slices = fc_axis_window(&a[0], t->start[0]), .rows = fc_axis_window(&a[1], row) };
    w.skipped[0] = w.slices.first - (t->start[0] * a[0].stride - a[0].pad);
    w.skipped[1] = w.rows.first - (row * a[1].stride - a[1].pad);
    for (int64_t i = 0; i < t->segments; i++) {
        const struct fc_segment *g = w.segment = &t->segment[i];
        w.skipped[2] = g->window.first - (g->start * a[2].stride - a[2].pad);
        const ptrdiff_t column = g->start - t->start[2], size = (ptrdiff_t)j->size;
        struct fc_pool_row to = { .x = s->data ? s->data : t->packed, .x_step = g->advance * s->unit[2],
                                  .x_tap = s->data ? s->tap[along(j)] : FC_BLOCK, .run = t->run, .index_tap = j->axis[2].step,
                                  .count = g->count, .lanes = t->lanes, .y = y.data + column * y.step * size,
                                  .y_step = g->period * y.step, .index = t->index + column * t->lanes * size };
        reduce_windows(j, t, &w, &to);
    }
}

static void write_codes(const struct fc_pooling *j, const struct fc_pool_task *t, int64_t row)
{
    const struct fc_codes w = {
        .index = t->index, .lanes = t->lanes, .channel = j->codes.channel, .pixel = j->codes.space[2], .channels = t->channels,
        .to = (uint8_t *)fc_element(&j->codes, 1, t->image, t->channel, t->start[0], row, t->start[2]), .count = t->columns,
    };
    j->k->pool.codes(&w);
}

void fc_pool_write_places(const struct fc_pooling *j, const struct fc_pool_task *t, int64_t row)
{
    const struct fc_axis *a = j->axis;
    if (j->codes.data) {
        write_codes(j, t, row);
        return;
    }
    const int64_t d = fc_axis_window(&a[0], t->start[0]).first, h = fc_axis_window(&a[1], row).first;
    const struct fc_positions w = {
        .index = t->index, .lanes = t->lanes,
        .to = (int64_t *)(void *)fc_element(&j->indices, sizeof(int64_t), t->image, t->channel, t->start[0], row, t->start[2]),
        .channel = j->indices.channel, .pixel = j->indices.space[2], .channels = t->channels, .count = t->columns,
        .first = (d * a[1].source + h) * a[2].source + t->start[2] * a[2].stride - a[2].pad, .step = a[2].stride,
    };
    j->k->pool.positions(&w);
}
