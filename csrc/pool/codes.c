/* codes.c - backward of maximum pooling from the codes of the taps: dx = 0, then dx[maximum] += dy in row-major order.
 *
 * Three ways: planes with adjacent columns (planes.c), whole blocks of adjacent channels, and all others, where codes are
 * turned into positions, row by row, and scattered. The first two ask each pixel of dx which windows chose it, so that it
 * is written once. A sum has the same terms in the same order whichever way it takes.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

enum {
    CODES = 256,
    CHUNK = 512,             /* columns of dy whose positions are in scratch memory at once */
    ADJACENT = 64,           /* channels of a task where more are adjacent */
    TASK_ROWS_BYTES = 64 << 10    /* of dx, at least, that a task of adjacent channels takes */
};

struct job {
    const fc_pool *p;
    const fc_pool_data *data;
    const struct fc_kernels *k;
    size_t size, bytes;
    int64_t first, channels, width;    /* from which channel on, how many, and how many in a task */
    int64_t rows;                      /* of x in a task */
};

int fc_pool_has_codes(const fc_pool *p)
{
    double taps = 1;
    for (int a = 0; a < FC_AXES; a++) {
        if (p->dilation[a] > 1) return 0;
        taps *= (double)p->kernel[a];
    }
    return p->kind == FC_MAX_POOL && taps <= CODES;
}

size_t fc_codes_workspace(const fc_pool *p) { return fc_pool_has_codes(p) ? fc_align(FC_BLOCK * CHUNK * sizeof(int64_t)) : 0; }

static int64_t groups(const struct job *j) { return fc_ceil_div(j->channels, j->width); }
static int64_t strips(const struct job *j) { return fc_ceil_div(j->p->in[1], j->rows); }

/* ---- Adjacent channels --------------------------------------------------------------------------------------------*/

static void spread_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct job *j = data;
    const fc_pool *p = j->p;
    const fc_tensor *x = &j->data->x, *y = &j->data->y, *codes = &j->data->codes;
    const int64_t group = task % groups(j), strip = task / groups(j) % strips(j), image = task / groups(j) / strips(j);
    const int64_t channel = group * j->width, end = fc_min(p->in[1], (strip + 1) * j->rows);
    struct fc_spread s = { .x_pixel = x->space[2], .width = p->in[2], .y = fc_element(y, j->size, image, channel, 0, 0, 0),
                           .y_row = y->space[1], .y_pixel = y->space[2], .code_row = codes->space[1], .code_pixel = codes->space[2],
                           .code = (const uint8_t *)fc_element(codes, 1, image, channel, 0, 0, 0), .rows = p->out[1],
                           .columns = p->out[2], .kernel = { p->kernel[1], p->kernel[2] }, .stride = { p->stride[1], p->stride[2] },
                           .pad = { p->pad_lo[1], p->pad_lo[2] }, .lanes = fc_min(j->width, j->channels - channel) };
    for (s.row = strip * j->rows; s.row < end && !fc_stopping(); s.row++) {
        s.x = fc_element(x, j->size, image, channel, 0, s.row, 0);
        j->k->pool.spread(&s);
    }
}

static int adjacent(const fc_tensor *t) { return t->channel == 1; }

static fc_status spread_blocks(struct job *j)
{
    const fc_pool *p = j->p;
    const int in_lines = j->data->x.block == FC_BLOCK && j->data->y.block == FC_BLOCK && j->data->codes.block == FC_BLOCK;
    j->channels = p->channels / FC_BLOCK * FC_BLOCK;
    j->width = in_lines ? ADJACENT : FC_BLOCK;
    j->rows = 1 + TASK_ROWS_BYTES / (p->in[2] * j->width * (int64_t)j->size);
    return fc_parallel(spread_task, j, p->batch * groups(j) * strips(j), j->data->threads);
}

/* ---- All others ---------------------------------------------------------------------------------------------------*/

/* Windows (d, h, w) = `at` and `count` in all of its row, of some channels of an image. */
struct chunk {
    int64_t image, channel, channels, at[FC_AXES], count;
};

/* Clipped to the plane: a code that no forward pass has written may lead anywhere. */
static int64_t position_of(const fc_pool *p, const int64_t *at, int64_t column, uint8_t code)
{
    const int64_t tap[] = { code / (p->kernel[1] * p->kernel[2]), code / p->kernel[2] % p->kernel[1], code % p->kernel[2] };
    const int64_t o[] = { at[0], at[1], column };
    int64_t position = 0;
    for (int a = 0; a < FC_AXES; a++)
        position = position * p->in[a] + fc_max(0, fc_min(p->in[a] - 1, o[a] * p->stride[a] - p->pad_lo[a] + tap[a]));
    return position;
}

static void scatter_chunk(const struct job *j, const struct chunk *c, int64_t *positions)
{
    const fc_tensor *x = &j->data->x, *y = &j->data->y, *codes = &j->data->codes;
    for (int64_t i = 0; i < c->channels; i++) {
        const uint8_t *code = (const uint8_t *)fc_element(codes, 1, c->image, c->channel + i, c->at[0], c->at[1], c->at[2]);
        for (int64_t w = 0; w < c->count; w++) positions[w] = position_of(j->p, c->at, c->at[2] + w, code[w * codes->space[2]]);
        const struct fc_scatter s = {
            .x = fc_element(x, j->size, c->image, c->channel + i, 0, 0, 0), .x_space = { x->space[0], x->space[1], x->space[2] },
            .y = fc_element(y, j->size, c->image, c->channel + i, c->at[0], c->at[1], c->at[2]),
            .height = j->p->in[1], .width = j->p->in[2],
            .y_pixel = y->space[2], .position = positions, .position_pixel = 1, .channels = 1, .count = c->count };
        j->k->pool.scatter(&s);
    }
}

static void scatter_task(void *data, int64_t task, int worker)
{
    const struct job *j = data;
    const fc_pool *p = j->p;
    int64_t *positions = (void *)((char *)j->data->workspace + (size_t)worker * j->bytes);
    struct chunk c = { .image = task / groups(j), .channel = j->first + task % groups(j) * j->width };
    c.channels = fc_min(j->width, j->first + j->channels - c.channel);
    fc_tensor x = j->data->x;
    x.data = fc_element(&x, j->size, c.image, c.channel, 0, 0, 0);
    fc_zero(&x, j->size, 1, c.channels, p->in);
    for (c.at[0] = 0; c.at[0] < p->out[0]; c.at[0]++) {
        for (c.at[1] = 0; c.at[1] < p->out[1]; c.at[1]++) {
            for (c.at[2] = 0; c.at[2] < p->out[2]; c.at[2] += CHUNK) {
                if (fc_stopping()) return;
                c.count = fc_min(CHUNK, p->out[2] - c.at[2]);
                scatter_chunk(j, &c, positions);
            }
        }
    }
}

fc_status fc_max_pool_backward_codes(const fc_pool_plan *plan, const fc_pool_data *data)
{
    const fc_pool *p = &plan->problem;
    fc_status status = FC_OK;
    if (!fc_pool_has_codes(p)) return FC_UNSUPPORTED;
    if (fc_planes_run(plan, data, 1, &status)) return status;
    struct job j = { .p = p, .data = data, .k = plan->kernels, .size = fc_sizeof(p->dtype), .bytes = plan->workspace };
    if (p->in[0] == 1 && p->kernel[0] == 1 && adjacent(&data->x) && adjacent(&data->y) && adjacent(&data->codes)) {
        status = spread_blocks(&j);
        j.first = j.channels;
    }
    j.channels = p->channels - j.first;
    j.width = FC_BLOCK;
    if (status || !j.channels) return status;
    return fc_parallel(scatter_task, &j, p->batch * groups(&j), data->threads);
}
