/* direct.c - blocked direct convolution: the sum as it stands, in register tiles.
 *
 * A task of forward and backward-data is a strip of output rows for some output channels: the input rows it needs are
 * packed into scratch memory (with their padding), the tiles run over them, the result is unpacked. All of it fits into
 * half of the level-2 cache; the weights stream past, one panel for all rows of the strip. Where all input channels do
 * not fit at once they come in chunks, and the tiles continue from the output of the chunk before: the order of the
 * additions, depth block by block, tap by tap, is the same for every blocking, and so are the bits.
 *
 * Strips are in strips.c, backward-weights is in direct_gradient.c.
 *
 * Applies to every problem whose smallest strip fits into the limit of scratch memory.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/direct.h"
#include "conv/pointwise.h"

#include <string.h>

static int64_t steps(const struct fc_corr *c) { return fc_blocks(c->depths) * FC_BLOCK * fc_volume(c->taps); }

/* ---- Padding ------------------------------------------------------------------------------------------------------
 * A product with padding is 0 if the weight is finite. Such products are left out: of rows of taps that lie in the padding
 * wholly and, where much of a row of outputs meets padding, of each tap. Panels that hold an infinity or NaN are marked when
 * they are packed, and use the zeros that are packed around the input. */

static int has_zeros(const struct fc_corr *c) { return c->taps[0] == 1 && c->border == FC_ZEROS; }

struct range {
    int64_t first, end;
};

/* The taps along axis `a` that meet inputs for an output. */
static struct range real_taps(const struct fc_corr *c, int a, int64_t out)
{
    const int64_t start = out * c->stride[a] - c->offset[a], step = c->dilation[a];
    const int64_t first = start < 0 ? fc_min(fc_ceil_div(-start, step), c->taps[a]) : 0;
    const int64_t end = start < c->from_size[a] ? fc_min(fc_ceil_div(c->from_size[a] - start, step), c->taps[a]) : 0;
    return (struct range){ first, fc_max(first, end) };
}

/* Of the `count` outputs along axis `a` from `out` on, those for which a tap meets an input. */
static struct range real_outputs(const struct fc_corr *c, int a, int64_t tap, int64_t out, int64_t count)
{
    const int64_t shift = c->offset[a] - tap * c->dilation[a], stride = c->stride[a];
    const int64_t first = fc_ceil_div(fc_max(shift, 0), stride), end = fc_ceil_div(fc_max(shift + c->from_size[a], 0), stride);
    const struct range r = { fc_min(fc_max(first - out, 0), count), fc_min(fc_max(end - out, 0), count) };
    return (struct range){ r.first, fc_max(r.first, r.end) };
}

/* The share of products along an axis that no padding takes part in. */
static double real_share(const struct fc_corr *c, int a)
{
    double real = 0;
    for (int64_t tap = 0; tap < c->taps[a]; tap++) {
        const struct range r = real_outputs(c, a, tap, 0, c->to_size[a]);
        real += (double)(r.end - r.first);
    }
    return real / (double)(c->to_size[a] * c->taps[a]);
}

/* Tap by tap sums are loaded and stored for each tap, which pays where depths are many and much is left out. */
static int is_by_tap(const struct fc_corr *c, const struct fc_strip *s)
{
    return has_zeros(c) && s->chunk == fc_blocks(c->depths) && s->chunk >= 4 && real_share(c, 2) < 0.8;
}

/* ---- Phases -------------------------------------------------------------------------------------------------------
 * Each phase of backward-data writes every stride-th pixel of dx, so that on its own it would fetch and write all lines of
 * its rows. Here they share a strip: dy is packed once, as far as any of them reaches, and their pixels lie between each other in
 * one output, with zeros where no tap reaches. */

enum { MOST_PHASES = 16 };

struct phases {
    struct fc_corr all, each[MOST_PHASES];
    int count, has_gaps;
};

/* all: with as many taps as cover those of c, too. */
static void cover(struct fc_corr *all, const struct fc_corr *c)
{
    for (int a = 1; a < FC_AXES; a++) {
        const int64_t end = fc_max(all->taps[a] - all->offset[a], c->taps[a] - c->offset[a]);
        all->offset[a] = fc_max(all->offset[a], c->offset[a]);
        all->taps[a] = end + all->offset[a];
    }
}

static size_t forward_workspace(const struct fc_corr *c)
{
    if (!fc_strip_fits(c)) return 0;
    const struct fc_strip s = fc_strip_choose(c);
    const size_t blocked = fc_strip_bytes(c, &s), pointwise = fc_pointwise_bytes(c), bytes = pointwise > blocked ? pointwise : blocked;
    return bytes <= FC_WORKSPACE_LIMIT ? bytes : 0;
}

/* Whether the phases share strips; fills *f. The weights are known only with data. */
static int shares_strips(const fc_conv_plan *plan, const fc_conv_data *data, struct phases *f)
{
    const fc_conv *p = &plan->problem;
    const int64_t *stride = p->stride;
    if (plan->pass != FC_BACKWARD_DATA || stride[0] > 1 || fc_max(stride[1], stride[2]) > MOST_PHASES) return 0;
    if (stride[1] * stride[2] == 1 || stride[1] * stride[2] > MOST_PHASES) return 0;
    const char *weights = NULL;
    f->count = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        struct fc_corr *c = &f->each[f->count];
        const int exists = fc_phase(plan, NULL, i, c);
        if (c->dilation[1] > 1 || c->dilation[2] > 1) return 0;
        if (data) {
            c->packed = data->packed;
            c->weights = weights ? weights : fc_packed_first(c);
            weights = fc_packed_next(c, steps);
        }
        if (!exists) continue;
        if (f->count++ == 0) f->all = *c;
        cover(&f->all, c);
    }
    if (f->count == 0) return 0;
    for (int a = 1; a < FC_AXES; a++) {
        f->all.step[a] = stride[a];
        f->all.to_size[a] = fc_ceil_div(p->in[a], stride[a]);
    }
    f->has_gaps = f->count < stride[1] * stride[2];
    if (data) {
        f->all.from = data->y;
        f->all.to = data->x;
    }
    return forward_workspace(&f->all) > 0;
}

/* ---- Forward and backward-data ----------------------------------------------------------------------------------*/

/* The outputs of c are those of one phase, or of phases that share its strips. */
struct forward_job {
    const struct fc_corr *c, *phases;
    int count, has_gaps;
    const int64_t *size;    /* of the space they fill */
    struct fc_strip s;
    int64_t parts, row_strips, column_strips;
    char *workspace;
    size_t bytes;
};

struct piece {
    int64_t image, group, out[FC_AXES], lane, lanes;
    int64_t start[FC_AXES], rows, columns;    /* what it fills */
};

static struct piece decode(const struct forward_job *job, int64_t task)
{
    const struct fc_corr *c = job->c;
    struct piece p;
    p.lane = task % job->parts * job->s.part;
    p.lanes = fc_min(job->s.part, c->lanes - p.lane);
    task /= job->parts;
    p.out[2] = task % job->column_strips * job->s.columns;
    task /= job->column_strips;
    p.out[1] = task % job->row_strips * job->s.rows;
    task /= job->row_strips;
    p.out[0] = task % c->to_size[0];
    task /= c->to_size[0];
    p.group = task % c->groups;
    p.image = task / c->groups;
    for (int a = 0; a < FC_AXES; a++) p.start[a] = p.out[a] * c->step[a];
    p.rows = fc_min(job->s.rows * c->step[1], job->size[1] - p.start[1]);
    p.columns = fc_min(job->s.columns * c->step[2], job->size[2] - p.start[2]);
    return p;
}

/* One row of outputs against a panel, with all taps but those that meet only padding: block by block in a row at the edge. */
static void run_row(const struct fc_corr *c, struct fc_tiles t, struct range taps, int64_t blocks, int64_t columns, int vectors)
{
    const int64_t all = fc_volume(c->taps), each = c->taps[2], run = FC_BLOCK * vectors * c->k->vector * (int64_t)c->size;
    if (taps.end - taps.first == c->taps[1]) {
        t.runs = blocks * all;
        fc_tiles_run(&t, columns, vectors);
        return;
    }
    const char *b = t.b;
    const ptrdiff_t *offset = t.offset;
    t.runs = (taps.end - taps.first) * each;
    for (int64_t block = 0; block < blocks; block++, t.init = NULL) {
        t.offset = offset + block * all + taps.first * each;
        t.b = b + (block * all + taps.first * each) * run;
        fc_tiles_run(&t, columns, vectors);
    }
}

/* The same tap by tap, each for those outputs only for which it meets an input. */
static void run_row_by_tap(const struct fc_corr *c, struct fc_tiles t, struct range taps, int64_t first, int64_t columns, int vectors, int exact)
{
    const int64_t blocks = fc_blocks(c->depths), size = (int64_t)c->size, step = FC_BLOCK * vectors * c->k->vector;
    const struct fc_tiles row = t;
    t.runs = 0;
    fc_tiles_run(&t, columns, vectors);    /* the bias */
    t.runs = blocks;
    t.init = NULL;
    t.b_skip = (fc_volume(c->taps) - 1) * step;
    for (int64_t tap = taps.first * c->taps[2]; tap < taps.end * c->taps[2]; tap++) {
        const struct range x = exact ? real_outputs(c, 2, tap % c->taps[2], first, columns) : (struct range){ 0, columns };
        if (x.first == x.end) continue;
        t.offset = row.offset + tap * blocks;
        t.a = row.a + x.first * t.a_row * size;
        t.b = row.b + tap * step * size;
        t.c = row.c + x.first * t.c_row * size;
        fc_tiles_run(&t, x.end - x.first, vectors);
    }
}

/* All tiles of phase `c` in a piece for one chunk of depth that is packed at `input`. */
static void run_tiles(const struct forward_job *job, const struct fc_corr *c, const struct piece *p, int64_t first, int64_t blocks,
                      const ptrdiff_t *offset, const char *input, char *output)
{
    const struct fc_strip *s = &job->s;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    const int64_t *step = job->c->step, taps = fc_volume(c->taps);
    const int64_t pitch = fc_strip_reach(job->c, 2, s->columns), row = pitch * c->stride[1] * FC_BLOCK;
    const int64_t count = fc_min(s->rows, c->to_size[1] - p->out[1]), columns = fc_min(s->columns, c->to_size[2] - p->out[2]);
    const int by_tap = is_by_tap(c, s);
    if (columns <= 0) return;
    struct fc_tiles t = { .k = c->k, .a_row = c->stride[2] * FC_BLOCK, .offset = offset, .c_row = step[2] * FC_BLOCK,
                          .c_block = p->rows * p->columns * FC_BLOCK };
    input += ((job->c->offset[1] - c->offset[1]) * pitch + job->c->offset[2] - c->offset[2]) * FC_BLOCK * size;
    output += (c->first[1] % step[1] * p->columns + c->first[2] % step[2]) * FC_BLOCK * size;
    for (int64_t lane = p->lane; lane < p->lane + p->lanes; lane += c->k->lanes) {
        const int vectors = fc_panel_vectors(c->k, lane, c->lanes), finite = *fc_packed_mark(c, p->group, lane);
        t.b = fc_packed_group(c, p->group, steps) + (lane * steps(c) + first * taps * FC_BLOCK * vectors * c->k->vector) * size;
        t.init = first == 0 ? fc_packed_bias(c, p->group) + lane * size : NULL;
        const int64_t at = lane - p->lane;
        for (int64_t r = 0; r < count; r++) {
            const struct range rows = finite && has_zeros(c) ? real_taps(c, 1, p->out[1] + r) : (struct range){ 0, c->taps[1] };
            t.a = input + r * row * size;
            t.c = output + (at / FC_BLOCK * t.c_block + at % FC_BLOCK + r * step[1] * p->columns * FC_BLOCK) * size;
            if (by_tap) run_row_by_tap(c, t, rows, p->out[2], columns, vectors, finite);
            else run_row(c, t, rows, blocks, columns, vectors);
        }
    }
}

static void forward_task(void *data, int64_t task, int worker)
{
    const struct forward_job *job = data;
    const struct fc_corr *c = job->c;
    const struct piece p = decode(job, task);
    char *memory = job->workspace + (size_t)worker * job->bytes;
    int64_t *packed_strip = (int64_t *)memory;
    ptrdiff_t *offset = (ptrdiff_t *)(memory + 64);
    char *input = memory + 64 + fc_strip_offsets_bytes(c, &job->s), *output = input + fc_strip_input_bytes(c, &job->s);
    const int is_first = *packed_strip < 0;
    /* every strip is packed at its full size, so that one table of offsets serves all */
    struct fc_box in = fc_strip_input(c, &job->s, p.out);
    in.image = p.image;
    in.prefetch = fc_prefetches(c);
    const int64_t all = fc_blocks(c->depths);
    if (job->has_gaps) memset(output, 0, fc_strip_output_bytes(c, &job->s));
    for (int64_t first = 0; first < all; first += job->s.chunk) {
        const int64_t blocks = fc_min(job->s.chunk, all - first);
        if (job->s.chunk < all || *packed_strip != task / job->parts) {
            in.channel = p.group * c->depths + first * FC_BLOCK;
            in.channels = fc_min(blocks * FC_BLOCK, c->depths - first * FC_BLOCK);
            fc_box_pack(c->k, &c->from, c->from_size, &in, input);
            *packed_strip = task / job->parts;
        }
        for (int i = 0; i < job->count; i++) {
            const struct fc_corr *phase = &job->phases[i];
            if (is_first || job->count > 1) fc_strip_offsets(c, &job->s, phase->taps, is_by_tap(phase, &job->s), offset);
            run_tiles(job, phase, &p, first, blocks, offset, input, output);
        }
    }
    struct fc_box out = { .image = p.image, .channel = p.group * c->lanes + p.lane, .channels = p.lanes, .slices = 1,
                          .start = { p.start[0], p.start[1], p.start[2] }, .rows = p.rows, .columns = p.columns,
                          .relu = c->relu, .prefetch = in.prefetch };
    fc_box_unpack(c->k, &c->to, &out, output);
}

static fc_status run_strips(const fc_conv_plan *plan, const fc_conv_data *data, struct forward_job job)
{
    const struct fc_corr *c = job.c;
    job.s = fc_strip_choose(c);
    job.workspace = data->workspace;
    job.bytes = plan->workspace;
    job.row_strips = fc_ceil_div(c->to_size[1], job.s.rows);
    job.column_strips = fc_ceil_div(c->to_size[2], job.s.columns);
    const int64_t strips = c->batch * c->groups * c->to_size[0] * job.row_strips * job.column_strips;
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes), wanted = 4 * data->threads;
    if (data->threads > 1 && strips < wanted)    /* a few strips: share each among threads */
        job.s.part = fc_min(job.s.part, fc_round_up(fc_ceil_div(c->lanes * strips, wanted), panel));
    job.parts = fc_ceil_div(c->lanes, job.s.part);
    for (int i = 0; i < data->threads; i++) *(int64_t *)(job.workspace + (size_t)i * job.bytes) = -1;
    return fc_parallel(forward_task, &job, strips * job.parts, data->threads);
}

static fc_status forward(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    if (fc_volume(c->to_size) == 0) return FC_OK;
    if (fc_pointwise_applies(c)) return fc_pointwise_forward(plan, data, c, steps);
    return run_strips(plan, data, (struct forward_job){ .c = c, .phases = c, .count = 1, .size = c->to_size });
}

/* ---- The algorithm ------------------------------------------------------------------------------------------------*/

static size_t workspace(const fc_conv_plan *plan)
{
    struct phases f;
    if (shares_strips(plan, NULL, &f)) return forward_workspace(&f.all);
    return fc_most_bytes(plan, plan->pass == FC_BACKWARD_WEIGHTS ? fc_direct_gradient_workspace : forward_workspace);
}

static const char *refuses(const fc_conv_plan *plan)
{
    (void)plan;
    return NULL;
}

/* Multiply-adds on padded blocks, two vectors a cycle at best, plus the packing of both sides. */
static double cycles(const fc_conv_plan *plan)
{
    const fc_conv *p = &plan->problem;
    const struct fc_kernels *k = plan->kernels;
    struct fc_corr c;
    const int gradient = plan->pass == FC_BACKWARD_WEIGHTS;
    double total = 0;
    for (int64_t i = 0; i < fc_phases(p, plan->pass); i++) {
        if (!fc_phase(plan, NULL, i, &c)) continue;
        if (gradient ? fc_pointwise_gradient_applies(&c) : fc_pointwise_extents(&c, 1)) {
            total += gradient ? fc_pointwise_gradient_cycles(&c) : fc_pointwise_cycles(&c);
            continue;
        }
        const double pixels = (double)fc_volume(c.to_size), inputs = (double)fc_volume(c.from_size);
        const double across = real_share(&c, 2), real = gradient || !has_zeros(&c) ? 1 : real_share(&c, 1) * (across < 0.8 ? across : 1);
        const double tile = (double)fc_min(c.to_size[2], k->tile_rows) < 6 ? 0.5 : 0.9;
        const double depths = (double)fc_round_up(c.depths, FC_BLOCK), lanes = (double)fc_round_up(c.lanes, k->vector);
        total += real * pixels * depths * lanes * (double)fc_volume(c.taps) / (2 * k->vector * tile);
        total += 1.5 * (pixels * lanes + inputs * depths);
        if (gradient) total += depths * lanes * (double)fc_volume(c.taps) / (double)c.batch * 7 / k->vector;
    }
    return (double)p->groups * total;
}

/* Only with several taps any of them can meet padding and others not. */
static void pack_panel(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, char *to)
{
    struct fc_weights w = fc_weights_of(c, weight, group, lane, 0);
    w.packed = to;
    c->k->pack_weights(&w, 0);
    const int64_t count = steps(c) * fc_panel_vectors(c->k, lane, c->lanes) * c->k->vector;
    if (fc_volume(c->taps) > 1 && !c->k->finite(to, count)) *fc_packed_mark(c, group, lane) = 0;
}

static const struct fc_packer packer = { steps, pack_panel };

static fc_status run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    struct phases f;
    if (plan->pass == FC_BACKWARD_WEIGHTS) return fc_direct_backward_weights(plan, data);
    if (!shares_strips(plan, data, &f)) return fc_each_phase(plan, data, steps, forward);
    const struct forward_job job = { .c = &f.all, .phases = f.each, .count = f.count, .has_gaps = f.has_gaps,
                                     .size = plan->problem.in };
    return run_strips(plan, data, job);
}

static int fills_gaps(const fc_conv_plan *plan)
{
    struct phases f;
    return shares_strips(plan, NULL, &f);
}

const struct fc_algorithm fc_direct = {
    .name = FC_BLOCKED, .label = "direct", .variant = "blocked", .refuses = refuses, .cycles = cycles, .workspace = workspace,
    .fills_gaps = fills_gaps, .packer = &packer, .run = run,
};
