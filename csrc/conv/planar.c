/* planar.c - direct convolution on planes as they are stored, for few channels; planar_template.h has the sums.
 *
 * A strip of input lines is copied into scratch memory with its padding, channel by channel. Where there is a stride, the
 * columns, and the lines, that one tap meets become planes of their own, so that the inputs of adjacent outputs are
 * adjacent. A tap is then an offset.
 *
 * The pixels of an output line fill the lanes of vectors: nothing is transposed, and no lane is lost to channels that do
 * not exist. Where lines are so short that their last vectors would be half empty, all lines of a strip are computed as one
 * run, padding included, and copied out without it. Where there are lanes enough and sums so long that packing the result
 * costs little beside them, output channels fill the lanes instead, which wastes no pixel. Both add in the same order.
 *
 * A task of forward and backward-data is a strip of output lines of one image and group, with all output channels;
 * backward-weights is in planar_gradient.c.
 *
 * Applies to every problem whose smallest strip fits into the limit of scratch memory; pays where vectors of 16 channels
 * would be half empty.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/planar.h"

/* ---- Strips -------------------------------------------------------------------------------------------------------*/

/* Taps r and r + phases(a) meet inputs of the same residue class of the stride; all taps reach so far beyond an output
 * within their classes. */
static int64_t phases(const struct fc_corr *c, int a) { return fc_min(c->stride[a] / fc_gcd(c->stride[a], c->dilation[a]), c->taps[a]); }
static int64_t reach(const struct fc_corr *c, int a) { return (c->taps[a] - 1) * c->dilation[a] / c->stride[a]; }
static int64_t phase_start(const struct fc_corr *c, int a, int64_t phase) { return phase * c->dilation[a] % c->stride[a]; }

static int64_t planes(const struct fc_corr *c) { return c->depths * c->taps[0] * phases(c, 1) * phases(c, 2); }

/* Lines share padding up to what taps reach: lines of the output have the same pitch, and are not to overlap. */
struct fc_slab fc_slab_of(const struct fc_corr *c, int64_t rows, int64_t columns)
{
    struct fc_slab s = { rows, columns, rows + reach(c, 1), columns + reach(c, 2), 0 };
    if (c->stride[2] == 1 && columns == c->to_size[2] && c->border == FC_ZEROS)
        s.shared = fc_max(0, fc_min(reach(c, 2), fc_min(c->offset[2], s.pitch - c->offset[2] - c->from_size[2])));
    s.pitch -= s.shared;
    return s;
}

/* Behind the last line are its zeros, and what whole vectors read or write too much. */
size_t fc_slab_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return fc_align((size_t)(planes(c) * s->lines * s->pitch + s->shared + 2 * FC_BLOCK) * c->size);
}

int fc_slab_fit(const struct fc_corr *c)
{
    const double least = (double)planes(c) * (double)(1 + reach(c, 1)) * (double)(FC_BLOCK + reach(c, 2));
    return least * (double)c->size < FC_WORKSPACE_LIMIT && (double)(c->lanes + c->depths) * (double)fc_volume(c->taps) < FC_WORKSPACE_LIMIT;
}

/* Most of the level-1 cache, but eight lines even so, while they fit into the level-2 cache: lines that taps reach beyond
 * a strip are copied once more for the next. */
struct fc_slab fc_slab_choose(const struct fc_corr *c, size_t (*bytes)(const struct fc_corr *, const struct fc_slab *))
{
    const size_t near = fc_cache_sizes().l1 / 4 * 3, far = fc_workspace_goal();
    const double most = FC_WORKSPACE_LIMIT / (double)(c->lanes + planes(c));    /* beyond it bytes() might overflow */
    int64_t rows = c->to_size[1], columns = c->to_size[2];
    while (columns > FC_BLOCK && (double)columns > most) columns = fc_half(columns, FC_BLOCK);
    while (rows > 1 && (double)rows > most) rows = fc_half(rows, 1);
    struct fc_slab s = fc_slab_of(c, rows, columns);
    while (s.rows > 1 && bytes(c, &s) > (s.rows > 8 ? near : far)) s = fc_slab_of(c, fc_half(s.rows, 1), columns);
    while (s.columns > FC_BLOCK && bytes(c, &s) > far) s = fc_slab_of(c, s.rows, fc_half(s.columns, FC_BLOCK));
    return s;
}

void fc_slab_offsets(const struct fc_corr *c, const struct fc_slab *s, ptrdiff_t *offset)
{
    const int64_t high = phases(c, 1), wide = phases(c, 2);
    for (int64_t d = 0; d < c->depths * c->taps[0]; d++)
        for (int64_t r = 0; r < c->taps[1]; r++)
            for (int64_t q = 0; q < c->taps[2]; q++) {
                const int64_t plane = (r % high * wide + q % wide) * c->depths * c->taps[0] + d;
                *offset++ = (plane * s->lines + r * c->dilation[1] / c->stride[1]) * s->pitch + q * c->dilation[2] / c->stride[2];
            }
}

int64_t fc_pieces(const struct fc_corr *c, const struct fc_slab *s)
{
    return c->to_size[0] * fc_ceil_div(c->to_size[1], s->rows) * fc_ceil_div(c->to_size[2], s->columns);
}

struct fc_piece fc_piece_of(const struct fc_corr *c, const struct fc_slab *s, int64_t image, int64_t group, int64_t i)
{
    const int64_t wide = fc_ceil_div(c->to_size[2], s->columns), high = fc_ceil_div(c->to_size[1], s->rows);
    struct fc_piece p = { image, group, { i / wide / high, i / wide % high * s->rows, i % wide * s->columns }, 0, 0 };
    p.rows = fc_min(s->rows, c->to_size[1] - p.start[1]);
    p.columns = fc_min(s->columns, c->to_size[2] - p.start[2]);
    return p;
}

/* Positions of one phase along an axis: `before` lie in front of the input, `inside` in it, `first` is the first of those. */
struct range {
    int64_t before, inside, first;
};

static struct range range_of(const struct fc_corr *c, const struct fc_piece *p, int a, int64_t phase, int64_t count)
{
    const int64_t stride = c->stride[a], start = p->start[a] * stride - c->offset[a] + phase_start(c, a, phase);
    struct range k = { .before = start >= 0 ? 0 : fc_min(fc_ceil_div(-start, stride), count) };
    k.first = start + k.before * stride;
    k.inside = k.first >= c->from_size[a] ? 0 : fc_min((c->from_size[a] - 1 - k.first) / stride + 1, count - k.before);
    return k;
}

/* The same where the border is not zeros: line by line. */
static void copy_lines(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, int64_t high, int64_t wide, char *to)
{
    int64_t at[FC_AXES];
    at[2] = p->start[2] * c->stride[2] - c->offset[2] + phase_start(c, 2, wide);
    for (int64_t depth = 0; depth < c->depths; depth++) {
        for (int64_t slice = 0; slice < c->taps[0]; slice++, to += s->lines * s->pitch * (ptrdiff_t)c->size) {
            at[0] = p->start[0] * c->stride[0] - c->offset[0] + slice * c->dilation[0];
            for (int64_t line = 0; line < p->rows + reach(c, 1); line++) {
                at[1] = (p->start[1] + line) * c->stride[1] - c->offset[1] + phase_start(c, 1, high);
                fc_border_line(c, p->image, p->group * c->depths + depth, at, s->pitch, to + line * s->pitch * (ptrdiff_t)c->size);
            }
        }
    }
}

/* One phase of all channels and slices. */
static void copy_phase(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, int64_t high, int64_t wide, char *to)
{
    const int64_t width = s->pitch + s->shared, height = p->rows + reach(c, 1);
    const struct range x = range_of(c, p, 2, wide, width), y = range_of(c, p, 1, high, height);
    struct fc_plane plane = { .step = c->stride[2] * c->from.space[2], .from_line = c->stride[1] * c->from.space[1],
                              .pitch = s->pitch, .before = x.before, .count = x.inside, .after = width - x.before - x.inside,
                              .above = y.before };
    for (int64_t depth = 0; depth < c->depths; depth++) {
        for (int64_t slice = 0; slice < c->taps[0]; slice++, to += s->lines * s->pitch * (ptrdiff_t)c->size) {
            const int64_t d = p->start[0] * c->stride[0] - c->offset[0] + slice * c->dilation[0];
            plane.to = to;
            plane.lines = x.inside && d >= 0 && d < c->from_size[0] ? y.inside : 0;
            plane.below = height - plane.above - plane.lines;
            if (plane.lines) plane.from = fc_element(&c->from, c->size, p->image, p->group * c->depths + depth, d, y.first, x.first);
            c->k->planar_plane(&plane);
        }
    }
}

void fc_slab_copy(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, char *to)
{
    void (*const copy)(const struct fc_corr *, const struct fc_slab *, const struct fc_piece *, int64_t, int64_t, char *) =
        c->border == FC_ZEROS ? copy_phase : copy_lines;
    const int64_t high = phases(c, 1), wide = phases(c, 2), phase = c->depths * c->taps[0] * s->lines * s->pitch * (int64_t)c->size;
    for (int64_t i = 0; i < high; i++)
        for (int64_t j = 0; j < wide; j++) copy(c, s, p, i, j, to + (i * wide + j) * phase);
}

/* Whether output channels fill the lanes: all of them, and sums are long enough; longer for wide tiles, which pixels fill
 * as well. Packed weights outlive an input's size, so it may not decide. */
static int in_lanes(const struct fc_corr *c)
{
    return fc_steps_of(c) >= (c->lanes <= c->k->vector ? 128 : 256) && 8 * fc_round_up(c->lanes, c->k->vector) <= 9 * c->lanes;
}

/* ---- Weights: [tile of lanes][step][rows of the tile], or panels of lanes ---------------------------------------- */

static int64_t packed_steps(const struct fc_corr *c) { return in_lanes(c) ? fc_round_up(fc_steps_of(c), FC_BLOCK) : fc_steps_of(c); }

static int64_t tiles(const struct fc_corr *c) { return fc_spans(c->lanes, c->k->tile_rows); }
static struct fc_span tile_of(const struct fc_corr *c, int64_t i) { return fc_span_of(c->lanes, c->k->tile_rows, i); }

static void pack_tile(const struct fc_corr *c, const struct fc_weights *w, int64_t rows, char *to)
{
    for (int64_t d = 0; d < c->depths; d++)
        for (int64_t t = 0; t < c->taps[0]; t++)
            for (int64_t r = 0; r < c->taps[1]; r++)
                for (int64_t q = 0; q < c->taps[2]; q++, to += rows * (ptrdiff_t)c->size) {
                    const ptrdiff_t at = d * w->depth + t * w->tap[0] + r * w->tap[1] + q * w->tap[2];
                    c->k->copy_line(to, (const char *)w->source + at * (ptrdiff_t)c->size, w->lane, rows);
                }
}

/* The tiles that begin in a panel; `to` is the place of its first lane. */
static void pack_panel(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to)
{
    if (in_lanes(c)) {
        struct fc_weights w = fc_weights_of(c, weight, group, lane, 0);
        w.packed = to;
        w.flat = 1;
        c->k->pack_weights(&w, 0);
        return;
    }
    for (int64_t i = 0; i < tiles(c); i++) {
        const struct fc_span tile = tile_of(c, i);
        if (tile.first < lane || tile.first >= lane + c->k->lanes) continue;
        const struct fc_weights w = fc_weights_of(c, weight, group, tile.first, 0);
        pack_tile(c, &w, tile.count, to + (tile.first - lane) * fc_steps_of(c) * (ptrdiff_t)c->size);
    }
}

static const struct fc_packer packer = { packed_steps, pack_panel };

/* ---- Forward and backward-data ----------------------------------------------------------------------------------*/

static int64_t output_channel(const struct fc_slab *s) { return s->rows * s->pitch; }
static size_t output_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    const int64_t pixels = in_lanes(c) ? fc_padded_lanes(c) * s->rows * s->columns : c->lanes * output_channel(s) + FC_BLOCK;
    return fc_align((size_t)pixels * c->size);
}
static size_t blocked_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return fc_align((size_t)(fc_round_up(c->lanes, FC_BLOCK) * s->columns) * c->size);
}
static size_t forward_bytes(const struct fc_corr *c, const struct fc_slab *s)
{
    return fc_offsets_bytes(c) + fc_slab_bytes(c, s) + output_bytes(c, s) + blocked_bytes(c, s);
}

static int64_t vectors(const struct fc_corr *c, int64_t pixels) { return fc_ceil_div(pixels, c->k->vector); }
static int64_t flat_pixels(const struct fc_slab *s, int64_t rows, int64_t columns) { return (rows - 1) * s->pitch + columns; }

/* Whether to compute the lines of a strip as one run: copying a vector out costs about as much as four steps. */
static int is_flat(const struct fc_corr *c, const struct fc_slab *s)
{
    const int64_t lines = s->rows * vectors(c, s->columns), flat = vectors(c, flat_pixels(s, s->rows, s->columns));
    return !in_lanes(c) && s->rows > 1 && s->columns == c->to_size[2] && flat * (fc_steps_of(c) + 4) < lines * fc_steps_of(c);
}

struct job {
    const struct fc_corr *c;
    struct fc_slab s;
    int flat;
    ptrdiff_t *offset;
    char *workspace;
    size_t bytes;
};

/* All tiles of channels for a run of pixels. */
static void run_tiles(const struct fc_corr *c, int64_t group, struct fc_planar *t)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const char *w = fc_packed_group(c, group, packed_steps), *bias = fc_packed_bias(c, group);
    char *y = t->y;
    for (int64_t i = 0; i < tiles(c); i++) {
        const struct fc_span tile = tile_of(c, i);
        t->w = w + tile.first * t->steps * size;
        t->init = bias + tile.first * size;
        t->y = y + tile.first * t->y_row * size;
        c->k->planar[tile.count - 1](t);
    }
}

/* Lines of planes to a tensor, by way of the blocked layout where its pixels are not adjacent. */
static void write_output(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, char *output, char *blocked)
{
    if (fc_has_planes(&c->to)) {
        char *y = fc_element(&c->to, c->size, p->image, p->group * c->lanes, p->start[0], p->start[1], p->start[2]);
        const struct fc_lines l = { .from = output, .to = y, .from_channel = output_channel(s), .from_line = s->pitch,
                                    .to_channel = c->to.channel, .to_line = c->to.space[1], .channels = c->lanes, .lines = p->rows,
                                    .count = p->columns };
        c->k->planar_copy(&l);
        return;
    }
    struct fc_box box = { .image = p->image, .channel = p->group * c->lanes, .channels = c->lanes, .slices = 1,
                          .start = { p->start[0], p->start[1], p->start[2] }, .rows = 1, .columns = p->columns };
    struct fc_row row = { .strided = output, .channel = output_channel(s), .pixel = 1, .leap = FC_BLOCK * output_channel(s),
                          .blocked = blocked, .block = p->columns * FC_BLOCK, .channels = c->lanes, .count = p->columns };
    for (int64_t r = 0; r < p->rows; r++, box.start[1]++, row.strided = (char *)row.strided + s->pitch * (ptrdiff_t)c->size) {
        c->k->pack_row(&row);
        fc_box_unpack(c->k, &c->to, &box, blocked);
    }
}

/* Channels in the lanes: [block][row][column][16]. */
static void run_panels(const struct fc_corr *c, const struct fc_slab *s, const struct fc_piece *p, const ptrdiff_t *offset, const char *input,
                       char *output)
{
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t most = c->k->tile_rows;
    struct fc_tile t = { .a_row = 1, .offset = offset, .runs = fc_steps_of(c), .c_row = FC_BLOCK, .c_block = p->rows * p->columns * FC_BLOCK };
    for (int64_t r = 0; r < p->rows; r++) {
        for (int64_t lane = 0; lane < c->lanes; lane += c->k->lanes) {
            const int vectors = fc_panel_vectors(c->k, lane, c->lanes);
            t.b = fc_packed_group(c, p->group, packed_steps) + lane * packed_steps(c) * size;
            t.init = fc_packed_bias(c, p->group) + lane * size;
            char *line = output + (lane / FC_BLOCK * t.c_block + r * p->columns * FC_BLOCK + lane % FC_BLOCK) * size;
            for (int64_t i = 0; i < fc_spans(p->columns, most); i++) {
                const struct fc_span tile = fc_span_of(p->columns, most, i);
                t.a = input + (r * s->pitch + tile.first) * size;
                t.c = line + tile.first * FC_BLOCK * size;
                c->k->tap_tile[vectors - 1][tile.count - 1](&t);
            }
        }
    }
    const struct fc_box box = { .image = p->image, .channel = p->group * c->lanes, .channels = c->lanes, .slices = 1,
                                .start = { p->start[0], p->start[1], p->start[2] }, .rows = p->rows, .columns = p->columns, .relu = c->relu };
    fc_box_unpack(c->k, &c->to, &box, output);
}

static void forward_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const struct fc_slab *s = &job->s;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t pieces = fc_pieces(c, s), plane = task / pieces;
    const struct fc_piece p = fc_piece_of(c, s, plane / c->groups, plane % c->groups, task % pieces);
    char *input = job->workspace + (size_t)worker * job->bytes + fc_offsets_bytes(c), *output = input + fc_slab_bytes(c, s);
    fc_slab_copy(c, s, &p, input);
    if (in_lanes(c)) {
        run_panels(c, s, &p, job->offset, input, output);
        return;
    }
    const int straight = !job->flat && fc_has_planes(&c->to);
    char *y = straight ? fc_element(&c->to, c->size, p.image, p.group * c->lanes, p.start[0], p.start[1], p.start[2]) : output;
    struct fc_planar t = { .offset = job->offset, .steps = fc_steps_of(c), .y_row = straight ? c->to.channel : output_channel(s),
                           .count = job->flat ? flat_pixels(s, p.rows, p.columns) : p.columns, .relu = c->relu };
    for (int64_t r = 0; r < (job->flat ? 1 : p.rows); r++) {
        t.x = input + r * s->pitch * size;
        t.y = y + r * (straight ? c->to.space[1] : s->pitch) * size;
        run_tiles(c, p.group, &t);
    }
    if (!straight) write_output(c, s, &p, output, output + output_bytes(c, s));
}

/* The offsets are the same for all threads: they lie in the first one's scratch memory. */
static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    if (fc_volume(c->to_size) == 0) return FC_OK;
    struct job job = { .c = c, .s = fc_slab_choose(c, forward_bytes), .offset = data->workspace, .workspace = data->workspace,
                       .bytes = plan->workspace };
    job.flat = is_flat(c, &job.s);
    fc_slab_offsets(c, &job.s, job.offset);
    return fc_parallel(forward_task, &job, c->batch * c->groups * fc_pieces(c, &job.s), data->threads);
}

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t forward_workspace(const struct fc_corr *c)
{
    if (!fc_slab_fit(c)) return 0;
    const struct fc_slab s = fc_slab_choose(c, forward_bytes);
    const size_t bytes = forward_bytes(c, &s);
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}

static size_t workspace(const fc_conv_plan *plan)
{
    return fc_most_bytes(plan, plan->pass == FC_BACKWARD_WEIGHTS ? fc_planar_gradient_workspace : forward_workspace);
}

static const char *refuses(const fc_conv_plan *plan)
{
    (void)plan;
    return NULL;
}

static double max(double a, double b) { return a > b ? a : b; }

/* A step costs half a cycle for each row of a tile, or what its loads cost at two a cycle: two for a vector of pixels,
 * which begins anywhere, one for a weight. Then the sums go out. Planes are copied four elements a cycle. */
static double forward_cycles(const struct fc_corr *c)
{
    const struct fc_slab s = fc_slab_choose(c, forward_bytes);
    const double strips = (double)c->to_size[1] / (double)s.rows * (double)c->to_size[2] / (double)s.columns;
    const double copied = (double)(planes(c) * s.lines * s.pitch) / 4, outputs = (double)(s.rows * s.columns * fc_padded_lanes(c));
    if (in_lanes(c)) return (double)c->to_size[0] * strips * (outputs * (double)fc_steps_of(c) * 0.55 / c->k->vector + outputs / 2 + copied);
    const int flat = is_flat(c, &s);
    const double run = (double)(flat ? vectors(c, flat_pixels(&s, s.rows, s.columns)) : s.rows * vectors(c, s.columns));
    const double rows = (double)c->lanes / (double)tiles(c), wide = c->lanes <= c->k->few_rows ? c->k->few_vectors : FC_MAX_VECTORS;
    const double step = max(0.55 * rows, 1 + rows / wide / 2);
    const double tile = step * (double)fc_steps_of(c) + (flat ? 4 : 2) * rows;
    return (double)c->to_size[0] * strips * (run * (double)tiles(c) * tile + copied);
}

/* Channels that fill whole blocks on both sides are likely to come and go in the blocked layout, whose planes are gathered
 * element by element. */
static double cycles(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const int blocked = p->in_channels % FC_BLOCK == 0 && p->out_channels % FC_BLOCK == 0;
    struct fc_corr c;
    double total = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        if (!fc_phase(plan, NULL, i, &c)) continue;
        total += plan->pass == FC_BACKWARD_WEIGHTS ? fc_planar_gradient_cycles(&c) : forward_cycles(&c);
        if (blocked) total += 2 * (double)(c.depths * fc_volume(c.from_size) + c.lanes * fc_volume(c.to_size));
    }
    return (double)p->groups * total;
}

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    return plan->pass == FC_BACKWARD_WEIGHTS ? fc_planar_gradient(plan, data) : fc_each_phase(plan, data, packed_steps, forward);
}

const struct fc_algorithm fc_planar = {
    .name = FC_PLANAR, .label = "direct", .variant = "planar", .refuses = refuses, .cycles = cycles, .workspace = workspace,
    .packer = &packer, .run = run,
};
