/* pointwise_gradient.c - backward-weights of 1 x 1 convolution.
 *
 * It is the matrix product dw[lane][depth] = dy[lane][pixel] x[depth][pixel], the reduction running along the rows of both.
 * One side, "left", is read pixel by pixel where it is, each row of a register tile along a plane; only the other side,
 * "right", is transposed, so that its channels fill vectors. With x on the right the results are rows of dw and can be
 * written in place; with dy there they are transposed once. The cheaper side is chosen.
 *
 * A task is a chunk of left channels times a chunk of right channels; it walks over all pixels in blocks that are small enough
 * for a panel of the right side to stay in the level-1 cache. The blocks, and so the bits of the sums, depend neither
 * on the chunks nor on strides: images of other layouts are copied to planes first.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/pointwise.h"

#include <string.h>

enum { LEFT = 512, RIGHT = 128, PIXELS = 256, SHORT = 64, GAP = 16 };    /* GAP: between copied planes, against cache conflicts */

struct side {
    const fc_tensor *t;
    const int64_t *size;
    int64_t first, channels;    /* of the group or chunk */
};

/* `runs` runs of `len` pixels, one after the other, of one image after the other. */
struct block {
    int64_t image, pixel, runs, len;
};

struct job {
    const struct fc_corr *c;
    int swapped;    /* dy on the right */
    int64_t pixels, len, runs, left, right, left_chunks, right_chunks;
    void *weight;
    char *workspace;
    size_t bytes;
};

int fc_pointwise_gradient_applies(const struct fc_corr *c)
{
    if (!c->k->outer_tile[0][0]) return 0;
    for (int a = 0; a < FC_AXES; a++)
        if (c->taps[a] != 1 || c->stride[a] != 1 || c->offset[a] || c->from_size[a] != c->to_size[a]) return 0;
    return 1;
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------*/

/* Cycles of a choice of sides: a vector of the right side for each left channel and pixel, 16 x 16 transposed in about 80, and
 * a line of sums written in about ten. */
static double cost(const struct fc_corr *c, int64_t left, int64_t right, int transposed)
{
    const double terms = (double)fc_terms(c), chunks = (double)fc_ceil_div(left, LEFT);
    return terms * (double)(left * fc_round_up(right, c->k->vector)) / (2.0 * c->k->vector) +
           0.3 * terms * (double)right * chunks + (transposed ? 1.0 : 0.7) * (double)(left * right);
}

double fc_pointwise_gradient_cycles(const struct fc_corr *c)
{
    const double x = cost(c, c->lanes, c->depths, 0), y = cost(c, c->depths, c->lanes, 1);
    return (x < y ? x : y) / (double)c->batch;
}

/* Runs all of the same length, if the number of pixels has a divisor that is neither short nor long. */
static int64_t run_length(int64_t pixels)
{
    if (pixels <= SHORT) return pixels;
    for (int64_t len = FC_BLOCK; len <= 2 * FC_BLOCK; len++)
        if (pixels % len == 0) return len;
    for (int64_t len = FC_BLOCK; len >= FC_BLOCK / 2; len--)
        if (pixels % len == 0) return len;
    return FC_BLOCK;
}

static struct job choose(const struct fc_corr *c)
{
    struct job job = { .c = c, .pixels = fc_volume(c->to_size) };
    job.swapped = cost(c, c->depths, c->lanes, 1) < cost(c, c->lanes, c->depths, 0);
    job.len = run_length(job.pixels);
    const int64_t row = c->k->lanes * (int64_t)c->size, block = fc_max(fc_min((int64_t)fc_cache_sizes().l1 / 2 / row, PIXELS), SHORT);
    job.runs = block / job.len;
    job.left = fc_min(job.swapped ? c->depths : c->lanes, LEFT);
    job.right = fc_min(job.swapped ? c->lanes : c->depths, RIGHT);
    return job;
}

static struct fc_gradient sums_of(const struct job *job, int64_t left, int64_t right)
{
    return (struct fc_gradient){ .k = job->c->k, .lanes = right, .depths = left, .taps = 1 };
}

static int64_t block_pixels(const struct job *job) { return job->runs * job->len; }
static size_t offset_bytes(const struct job *job) { return fc_align((size_t)job->runs * sizeof(ptrdiff_t)); }
static size_t strip_bytes(const struct job *job) { return fc_align((size_t)(block_pixels(job) * FC_BLOCK) * job->c->size); }
static size_t planes_bytes(const struct job *job) { return fc_align((size_t)(job->left * (block_pixels(job) + GAP)) * job->c->size); }

static size_t sums_at(const struct job *job)
{
    return offset_bytes(job) + (size_t)(1 + fc_blocks(job->right)) * strip_bytes(job) + planes_bytes(job);
}

size_t fc_pointwise_gradient_bytes(const struct fc_corr *c)
{
    const struct job job = choose(c);
    const struct fc_gradient g = sums_of(&job, job.left, job.right);
    return sums_at(&job) + (size_t)fc_sum_levels(fc_terms(c)) * fc_gradient_bytes(&g);
}

/* ---- Pixels of a block ------------------------------------------------------------------------------------------*/

static int is_merged(const struct side *s)
{
    const fc_tensor *t = s->t;
    return t->space[1] == t->space[2] * s->size[2] && (s->size[0] == 1 || t->space[0] == t->space[1] * s->size[1]);
}

static char *pixel_at(const struct job *job, const struct side *s, int64_t image, int64_t channel, int64_t pixel)
{
    const int64_t row = pixel / s->size[2];
    return fc_element(s->t, job->c->size, image, channel, row / s->size[1], row % s->size[1], pixel % s->size[2]);
}

/* What of a block lies in one row of an image. */
struct piece {
    int64_t image, pixel, done, count;
};

/* The piece that begins where p stands. */
static int has_piece(const struct job *job, const struct side *s, const struct block *b, struct piece *p)
{
    const int64_t left = b->runs * b->len - p->done;
    p->count = fc_min(left, is_merged(s) ? job->pixels - p->pixel : s->size[2] - p->pixel % s->size[2]);
    return left > 0;
}

static void next_piece(const struct job *job, struct piece *p)
{
    p->done += p->count;
    p->pixel += p->count;
    p->image += p->pixel / job->pixels;
    p->pixel %= job->pixels;
}

/* ---- The two sides ----------------------------------------------------------------------------------------------*/

/* The channels of a side, to strips [block][pixel][16]. */
static void pack(const struct job *job, const struct side *s, const struct block *b, int64_t channel, int64_t channels, char *strips)
{
    const int64_t all = b->runs * b->len;
    struct fc_row row = { .channel = s->t->channel, .leap = s->t->block, .pixel = s->t->space[2], .block = all * FC_BLOCK,
                          .channels = channels, .ahead = s->t->space[2] == 1 ? all : 0 };
    for (struct piece p = { b->image, b->pixel, 0, 0 }; has_piece(job, s, b, &p); next_piece(job, &p)) {
        row.count = p.count;
        row.strided = pixel_at(job, s, p.image, s->first + channel, p.pixel);
        row.blocked = strips + (size_t)(p.done * FC_BLOCK) * job->c->size;
        job->c->k->pack_row(&row);
    }
}

/* Whether the rows of tiles can walk along the planes as they are. */
static int is_planes(const struct side *s)
{
    return is_merged(s) && s->t->space[2] == 1 && s->t->block == FC_BLOCK * s->t->channel;
}

static ptrdiff_t planes_row(const struct job *job, const struct side *s)
{
    return is_planes(s) ? s->t->channel : block_pixels(job) + GAP;
}

/* The same as planes, 16 channels after the other, by way of a strip. */
static void copy_planes(const struct job *job, const struct side *s, const struct block *b, char *strip, char *planes)
{
    const ptrdiff_t to = planes_row(job, s);
    for (int64_t channel = 0; channel < s->channels; channel += FC_BLOCK) {
        const int64_t channels = fc_min(FC_BLOCK, s->channels - channel);
        pack(job, s, b, channel, channels, strip);
        const struct fc_row row = { .strided = planes + (size_t)(channel * to) * job->c->size, .channel = to, .pixel = 1, .blocked = strip,
                                    .channels = channels, .count = b->runs * b->len };
        job->c->k->unpack_row(&row);
    }
}

/* Of each run, from the first pixel of the block; returns that of the run that comes next. */
static ptrdiff_t run_offsets(const struct job *job, const struct side *s, const struct block *b, ptrdiff_t *offset)
{
    ptrdiff_t at = 0;
    int64_t pixel = b->pixel;
    for (int64_t q = 0; q < b->runs; q++) {
        offset[q] = at;
        pixel += b->len;
        at += b->len;
        if (is_planes(s) && pixel == job->pixels) pixel = 0, at += s->t->batch - job->pixels;
    }
    return at;
}

/* ---- A chunk ----------------------------------------------------------------------------------------------------*/

/* Where its sums are: memory of its own, or rows of the result. */
struct target {
    struct fc_gradient g;
    char *weight;
    ptrdiff_t row;
};

static char *target_at(const struct job *job, const struct target *r, int64_t left, int64_t lane)
{
    const ptrdiff_t size = (ptrdiff_t)job->c->size;
    if (r->weight) return r->weight + (left * r->row + lane) * size;
    return fc_gradient_at(&r->g, lane, 0, 0) + left * fc_panel_vectors(job->c->k, lane, r->g.lanes) * job->c->k->vector * size;
}

/* Whether the tiles can write the gradient of the weights itself: its rows are theirs, and each sum has one level. */
static int writes_rows(const struct job *job, int64_t right)
{
    const struct fc_corr *c = job->c;
    return !job->swapped && c->w_depth == 1 && right % c->k->vector == 0 && fc_sum_levels(fc_terms(c)) == 1;
}

static void add_block(const struct job *job, const struct target *r, const struct block *b, struct fc_tile t, const char *left,
                      const char *right)
{
    const struct fc_kernels *k = job->c->k;
    const ptrdiff_t size = (ptrdiff_t)job->c->size;
    const int64_t tiles = fc_ceil_div(r->g.depths, k->tile_rows);
    const char *next = t.ahead;
    t.runs = b->runs;
    t.len = b->len;
    t.b_block = b->runs * b->len * FC_BLOCK;
    t.c_block = FC_BLOCK;
    t.init = fc_gradient_init(&r->g);
    for (int64_t lane = 0; lane < r->g.lanes; lane += k->lanes, next = NULL) {
        const int vectors = fc_panel_vectors(k, lane, r->g.lanes);
        t.b = right + (lane / FC_BLOCK * t.b_block + lane % FC_BLOCK) * size;
        t.c_row = r->weight ? r->row : vectors * k->vector;
        for (int64_t i = 0, row = 0; i < tiles; i++) {
            const int64_t rows = (r->g.depths + i) / tiles;    /* they differ by at most one */
            t.a = left + row * t.a_row * size;
            t.c = target_at(job, r, row, lane);
            t.ahead = next ? next + row * t.a_row * size : NULL;
            t.ahead_step = next ? t.a_row * size : 0;
            k->outer_tile[vectors - 1][rows - 1](&t);
            row += rows;
        }
    }
}

/* Sums [panel][row][lanes of the panel] -> rows of the result, or, transposed, its columns. */
static void write_sums(const struct job *job, const struct target *r, int64_t group, int64_t left, int64_t right)
{
    const struct fc_corr *c = job->c;
    struct fc_weights w = fc_weights_of(c, job->weight, group, job->swapped ? right : left, job->swapped ? left : right);
    w.packed = r->g.sums.total;
    w.lanes = r->g.lanes;
    w.depths = r->g.depths;
    for (int64_t lane = 0; lane < r->g.lanes; lane += c->k->lanes) {
        if (job->swapped) {
            c->k->unpack_weights(&w, lane / c->k->lanes);
            continue;
        }
        const int64_t width = fc_panel_vectors(c->k, lane, r->g.lanes) * c->k->vector, lanes = fc_min(width, r->g.lanes - lane);
        const char *from = r->g.sums.total + (size_t)(lane * fc_round_up(r->g.depths, FC_BLOCK)) * c->size;
        char *to = (char *)w.source + (size_t)lane * c->size;
        for (int64_t row = 0; row < r->g.depths; row++, from += (size_t)width * c->size, to += (size_t)c->w_lane * c->size)
            memcpy(to, from, (size_t)lanes * c->size);
    }
}

static struct block first_block(const struct job *job, int64_t image, int64_t pixel)
{
    const int64_t whole = job->pixels % job->len == 0, here = job->pixels - pixel;
    const int64_t runs = (whole ? (job->c->batch - image) * job->pixels - pixel : here) / job->len;
    return (struct block){ image, pixel, runs ? fc_min(runs, job->runs) : 1, runs ? job->len : here };
}

static void chunk(const struct job *job, const struct side *left, const struct side *right, struct target *r, char *memory)
{
    const struct fc_corr *c = job->c;
    const ptrdiff_t size = (ptrdiff_t)c->size;
    ptrdiff_t *offset = (ptrdiff_t *)memory;
    char *strip = memory + offset_bytes(job), *strips = strip + strip_bytes(job);
    char *planes = strips + (size_t)fc_blocks(job->right) * strip_bytes(job);
    struct fc_tile t = { .offset = offset, .a_row = planes_row(job, left) };
    for (int64_t image = 0, pixel = 0; image < c->batch && !fc_stopping();) {
        const struct block b = first_block(job, image, pixel);
        const char *from = planes;
        const ptrdiff_t next = run_offsets(job, left, &b, offset);
        t.ahead = NULL;
        if (is_planes(left)) {
            from = pixel_at(job, left, image, left->first, pixel);
            t.ahead = from + next * size;
            t.ahead_run = b.runs > 1 ? offset[1] * size : 0;
        } else {
            copy_planes(job, left, &b, strip, planes);
        }
        pack(job, right, &b, 0, right->channels, strips);
        add_block(job, r, &b, t, from, strips);
        fc_sums_count(&r->g.sums, b.runs * b.len);
        pixel += b.runs * b.len;
        image += pixel / job->pixels;
        pixel %= job->pixels;
    }
    fc_sums_finish(&r->g.sums);
}

static void task(void *data, int64_t number, int worker)
{
    const struct job *job = data;
    const struct fc_corr *c = job->c;
    const int64_t right = number % job->right_chunks * job->right, left = number / job->right_chunks % job->left_chunks * job->left;
    const int64_t group = number / job->right_chunks / job->left_chunks;
    struct side x = { &c->from, c->from_size, group * c->depths, c->depths }, y = { &c->to, c->to_size, group * c->lanes, c->lanes };
    struct side *l = job->swapped ? &x : &y, *m = job->swapped ? &y : &x;
    l->first += left;
    l->channels = fc_min(job->left, l->channels - left);
    m->first += right;
    m->channels = fc_min(job->right, m->channels - right);
    char *memory = job->workspace + (size_t)worker * job->bytes;
    struct target r = { .g = sums_of(job, l->channels, m->channels), .row = c->w_lane };
    fc_gradient_start(&r.g, memory + sums_at(job), fc_terms(c));
    if (writes_rows(job, m->channels)) r.weight = fc_weights_of(c, job->weight, group, left, right).source;
    chunk(job, l, m, &r, memory);
    if (!r.weight) write_sums(job, &r, group, left, right);
}

fc_status fc_pointwise_gradient(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    struct job job = choose(c);
    const int64_t left = job.swapped ? c->depths : c->lanes, right = job.swapped ? c->lanes : c->depths;
    const int64_t panel = fc_max(FC_BLOCK, c->k->lanes);
    job.weight = data->weight;
    job.workspace = data->workspace;
    job.bytes = plan->workspace;
    job.left_chunks = fc_ceil_div(left, job.left);
    while (data->threads > 1 && job.right > panel && c->groups * job.left_chunks * fc_ceil_div(right, job.right) < 4 * data->threads)
        job.right = fc_round_up(job.right / 2, panel);
    job.right_chunks = fc_ceil_div(right, job.right);
    return fc_parallel(task, &job, c->groups * job.left_chunks * job.right_chunks, data->threads);
}
