/* batch.c - batch normalisation: y = (x - mean) scale + bias per channel, and its gradients. See fastconv.h.
 *
 * With scale = weight / sqrt(var + eps), xhat = (x - mean) / sqrt(var + eps) and n values per channel
 *
 *     dbias = sum g,   dweight = sum g xhat,   dx = scale (g - dbias / n - xhat dweight / n)
 *
 * where the statistics are the batch's, and dx = scale g where they are given.
 *
 * Sums are in double. The variance is (sum d^2 - (sum d)^2 / n) / n with d = x - x0, x0 the channel's first value: x0 lies
 * among the data, so that d is of the size of the deviation where the mean is large, and one look at the data is enough.
 * The two terms cancel at most by 1 + (mean - x0)^2 / var, and (mean - x0)^2 <= n var: the error of the variance is below
 * (n + 1) gamma_n var in double, and a few 2^-53 var for data that are not extreme.
 *
 * The batch is cut into at most PIECES pieces, which only its extents decide; a channel's sum is that of its pieces in order.
 * Channels are done in slabs that the level-2 cache can hold, so that the second look at the data does not go to memory.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "box.h"

#include <math.h>
#include <string.h>

enum {
    PIECES = 16,
    STRIP = 256,          /* pixels packed at once */
    LONG_STRIP = 4096,    /* pixels of a plane at once */
    LEAST = 2048,         /* pixels of a piece, if there are as many */
    SLAB = 1024,          /* channels, at most */
    WIDEST = 256,         /* channels of a task, at most */
    COEFFICIENTS = 6,
    WIDE = 8,             /* doubles of the widest vector of any level */
    SUMS = 2 * WIDE * FC_BLOCK
};

enum tensors { X, GRAD, TO, TENSORS };

struct job {
    const fc_norm *n;
    const struct fc_kernels *k;
    const fc_tensor *t[TENSORS];         /* those there are */
    int planes, linear;                  /* pixels are adjacent; all pixels of an image are the same distance apart */
    int64_t width;                       /* channels of a task */
    int64_t groups, cuts, cut;           /* of images; pieces of an image and their pixels */
    int64_t channel, channels;           /* of this slab */
    double *sums;                        /* [channel][piece][2] */
    double *center;                      /* [channel] */
    char *coefficients;                  /* [COEFFICIENTS][SLAB] */
    char *scratch;
    int uses[TENSORS];                   /* in this pass */
    void (*run)(const struct fc_norm_row *);
};

static size_t strip_bytes(fc_dtype dtype) { return STRIP * FC_BLOCK * fc_sizeof(dtype); }
static size_t scratch_bytes(fc_dtype dtype) { return TENSORS * strip_bytes(dtype) + WIDEST / FC_BLOCK * SUMS * sizeof(double); }
static size_t shared_bytes(fc_dtype dtype)
{
    return SLAB * ((PIECES * 2 + 1) * sizeof(double) + COEFFICIENTS * fc_sizeof(dtype));
}

size_t fc_norm_workspace(fc_dtype dtype, int threads) { return shared_bytes(dtype) + (size_t)threads * scratch_bytes(dtype); }

/* ---- One strip ----------------------------------------------------------------------------------------------------*/

struct strip {
    int64_t image, channel, channels, pixel, count;
};

static char *strip_at(const struct job *job, const fc_tensor *t, const struct strip *s)
{
    const size_t size = fc_sizeof(job->k->dtype);
    if (job->linear) return fc_element(t, size, s->image, s->channel, 0, 0, s->pixel);
    const int64_t *space = job->n->space, row = s->pixel / space[2];
    return fc_element(t, size, s->image, s->channel, row / space[1], row % space[1], s->pixel % space[2]);
}

static struct fc_row strip_row(const struct job *job, const fc_tensor *t, const struct strip *s, char *blocked)
{
    return (struct fc_row){ .strided = strip_at(job, t, s), .channel = t->channel, .leap = t->block, .pixel = t->space[2],
                            .blocked = blocked, .channels = s->channels, .count = s->count };
}

/* Whether the kernel works on the tensor itself, not on a copy in the blocked layout. */
static int in_place(const struct job *job, const fc_tensor *t, const struct strip *s)
{
    return job->planes || (t->channel == 1 && s->channels == FC_BLOCK);
}

static void run_strip(const struct job *job, const struct strip *s, struct fc_norm_row *r, char *scratch)
{
    char *data[TENSORS] = { NULL };
    ptrdiff_t step[TENSORS] = { FC_BLOCK, FC_BLOCK, FC_BLOCK };
    for (int i = 0; i < TENSORS; i++) {
        if (!job->uses[i]) continue;
        const fc_tensor *t = job->t[i];
        data[i] = scratch + (size_t)i * strip_bytes(job->k->dtype);
        if (in_place(job, t, s)) {
            data[i] = strip_at(job, t, s);
            step[i] = job->planes ? t->channel : t->space[2];
        } else if (i != TO) {
            const struct fc_row row = strip_row(job, t, s, data[i]);
            job->k->pack_row(&row);
        }
    }
    r->x = data[X], r->grad = data[GRAD], r->to = data[TO];
    r->x_step = step[X], r->grad_step = step[GRAD], r->to_step = step[TO];
    r->first = s->pixel, r->count = s->count, r->channels = s->channels;
    job->run(r);
    if (job->uses[TO] && !in_place(job, job->t[TO], s)) {
        const struct fc_row row = strip_row(job, job->t[TO], s, data[TO]);
        job->k->unpack_row(&row);
    }
}

/* ---- One task: a few channels of a piece of the batch -------------------------------------------------------------*/

/* Sums of each 16 channels, [2][16][WL] in planes, [2][WL][16] in lanes -> two numbers for each channel, halves added to halves. */
static void fold(const struct job *job, double *sums, int64_t channels, double *to)
{
    const ptrdiff_t wide = job->k->wide, from = job->planes ? 1 : FC_BLOCK, channel = job->planes ? wide : 1;
    for (int64_t c = 0; c < channels; c++) {
        for (int which = 0; which < 2; which++) {
            double *s = sums + c / FC_BLOCK * SUMS + which * wide * FC_BLOCK + c % FC_BLOCK * channel;
            for (ptrdiff_t half = wide / 2; half; half /= 2)
                for (ptrdiff_t j = 0; j < half; j++) s[j * from] += s[(j + half) * from];
            to[c * 2 * PIECES + which] = s[0];
        }
    }
}

/* The same pixels of all channels of a task: with the channels last they lie side by side. */
static void run_blocks(const struct job *job, struct strip s, int64_t local, char *scratch)
{
    const size_t size = fc_sizeof(job->k->dtype);
    double *sums = (double *)(void *)(scratch + TENSORS * strip_bytes(job->k->dtype));
    const int64_t end = fc_min(local + job->width, job->channels);
    for (; local < end; local += s.channels, sums += SUMS) {
        s.channel = job->channel + local;
        s.channels = fc_min(FC_BLOCK, end - local);
        struct fc_norm_row r = { .relu = job->n->relu, .whole = job->n->from_batch, .center = job->center + local, .sums = sums,
                                 .coefficients = job->coefficients + (size_t)local * size, .coefficient = SLAB };
        run_strip(job, &s, &r, scratch);
    }
}

static void norm_task(void *data, int64_t task, int worker)
{
    const struct job *job = data;
    const fc_norm *n = job->n;
    const int64_t pieces = job->groups * job->cuts, piece = task % pieces, group = piece / job->cuts, cut = piece % job->cuts;
    const int64_t volume = fc_volume(n->space), last = fc_min((cut + 1) * job->cut, volume);
    const int64_t local = task / pieces * job->width;
    char *scratch = job->scratch + (size_t)worker * scratch_bytes(job->k->dtype);
    double *sums = (double *)(void *)(scratch + TENSORS * strip_bytes(job->k->dtype));
    if (!job->uses[TO]) memset(sums, 0, (size_t)(fc_blocks(job->width) * SUMS) * sizeof(double));
    struct strip s = { 0 };
    for (s.image = group * n->batch / job->groups; s.image < (group + 1) * n->batch / job->groups; s.image++) {
        if (fc_stopping()) return;
        for (s.pixel = cut * job->cut; s.pixel < last; s.pixel += s.count) {
            s.count = fc_min(last - s.pixel, job->planes ? LONG_STRIP : STRIP * FC_BLOCK / job->width);
            if (!job->linear) s.count = fc_min(s.count, n->space[2] - s.pixel % n->space[2]);
            run_blocks(job, s, local, scratch);
        }
    }
    if (!job->uses[TO]) fold(job, sums, fc_min(job->width, job->channels - local), job->sums + (local * PIECES + piece) * 2);
}

static fc_status pass(struct job *job, void (*run)(const struct fc_norm_row *), int x, int grad, int to)
{
    job->run = run;
    job->uses[X] = x, job->uses[GRAD] = grad, job->uses[TO] = to;
    return fc_parallel(norm_task, job, fc_ceil_div(job->channels, job->width) * job->groups * job->cuts, job->n->threads);
}

/* ---- Channels -----------------------------------------------------------------------------------------------------*/

static double get(fc_dtype dtype, const void *values, int64_t i)
{
    return dtype == FC_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

static double set_coefficient(const struct job *job, int which, int64_t channel, double value)
{
    const int64_t at = which * SLAB + channel;
    if (job->k->dtype == FC_F64) return ((double *)(void *)job->coefficients)[at] = value;
    return ((float *)(void *)job->coefficients)[at] = (float)value;
}

/* The sums of a channel over all pieces. */
static void total(const struct job *job, int64_t channel, double *sum, double *product)
{
    const double *s = job->sums + channel * PIECES * 2;
    *sum = *product = 0;
    for (int64_t i = 0; i < job->groups * job->cuts; i++) {
        *sum += s[2 * i];
        *product += s[2 * i + 1];
    }
}

static double values(const fc_norm *n) { return (double)(n->batch * fc_volume(n->space)); }

static double deviation_of(const fc_norm *n, int64_t channel) { return 1 / sqrt(n->var[channel] + n->eps); }

static double scale_of(const fc_norm *n, int64_t channel)
{
    return deviation_of(n, channel) * (n->weight ? get(n->dtype, n->weight, channel) : 1);
}

/* Channels of the slab that are features; the rest is the padding of a block, whose coefficients are all 0. */
static int64_t features(const struct job *job) { return fc_max(fc_min(job->n->features - job->channel, job->channels), 0); }

/* A number to subtract from a channel's values before they are squared: the first, if it is finite. */
static void center_on_first(const struct job *job)
{
    const size_t size = fc_sizeof(job->k->dtype);
    for (int64_t c = 0; c < job->channels; c++) {
        const double first = job->n->batch ? get(job->k->dtype, fc_element(job->t[X], size, 0, job->channel + c, 0, 0, 0), 0) : 0;
        job->center[c] = isfinite(first) ? first : 0;
    }
}

static void set_statistics(const struct job *job)
{
    const fc_norm *n = job->n;
    for (int64_t c = 0; c < features(job); c++) {
        double sum, square;
        total(job, c, &sum, &square);
        const double offset = sum / values(n), var = square / values(n) - offset * offset;
        n->mean[job->channel + c] = job->center[c] + offset;
        n->var[job->channel + c] = var < 0 ? 0 : var;
    }
}

/* m, s, t of z = (x - m) s + t: m is the mean rounded, t takes what the rounding left. */
static void set_forward(const struct job *job)
{
    const fc_norm *n = job->n;
    memset(job->coefficients, 0, COEFFICIENTS * SLAB * fc_sizeof(job->k->dtype));
    for (int64_t c = 0; c < features(job); c++) {
        const int64_t channel = job->channel + c;
        const double scale = scale_of(n, channel), bias = n->bias ? get(n->dtype, n->bias, channel) : 0;
        const double rounded = set_coefficient(job, 0, c, n->mean[channel]);
        set_coefficient(job, 1, c, scale);
        set_coefficient(job, 2, c, bias - (isfinite(rounded) ? n->mean[channel] - rounded : 0) * scale);
    }
}

/* a, b, c of dx = a g + b (x - m) + c, and the gradients of weight and bias. */
static void set_backward(const struct job *job, int summed)
{
    const fc_norm *n = job->n;
    for (int64_t c = 0; c < features(job); c++) {
        const int64_t channel = job->channel + c;
        const double scale = scale_of(n, channel), deviation = deviation_of(n, channel);
        set_coefficient(job, 3, c, scale);
        if (!summed) continue;
        double dbias, product;
        total(job, c, &dbias, &product);
        n->dbias[channel] = dbias;
        n->dweight[channel] = product * deviation;
        const double b = -scale * deviation * deviation * product / values(n);
        const double rounded = get(n->dtype, job->coefficients + (size_t)c * fc_sizeof(n->dtype), 0);
        set_coefficient(job, 4, c, b);
        set_coefficient(job, 5, c, -scale * dbias / values(n) - b * (isfinite(rounded) ? n->mean[channel] - rounded : 0));
    }
}

/* ---- Passes -------------------------------------------------------------------------------------------------------*/

static int is_linear(const fc_tensor *t, const int64_t *space)
{
    return (space[1] == 1 || t->space[1] == space[2] * t->space[2]) &&
           (space[0] == 1 || t->space[0] == space[1] * space[2] * t->space[2]);
}

static void split_batch(struct job *job)
{
    const int64_t volume = fc_volume(job->n->space);
    job->groups = fc_min(fc_min(job->n->batch, PIECES), fc_ceil_div(job->n->batch * volume, LEAST));
    const int64_t cuts = fc_min(PIECES / fc_max(job->groups, 1), fc_ceil_div(volume, LONG_STRIP));
    job->cut = fc_round_up(fc_ceil_div(volume, cuts), STRIP);
    job->cuts = fc_ceil_div(volume, job->cut);
}

static int channels_last(const fc_tensor *t) { return t->data && t->channel == 1 && t->block == FC_BLOCK; }

/* Channels of a task, and of a slab: as many as fit into the cache with all that is read twice; but with the channels last
 * all that there are, for a few of them would be read with the cache lines of the others. */
static int64_t split_channels(struct job *job, int arrays)
{
    const int64_t half = (int64_t)fc_cache_sizes().l2 / 2 * job->n->threads;
    const int64_t bytes = job->n->batch * fc_volume(job->n->space) * arrays * (int64_t)fc_sizeof(job->k->dtype);
    const int64_t fitting = half / fc_max(bytes, 1);
    job->width = FC_BLOCK;
    if (channels_last(job->t[X]) || channels_last(job->t[GRAD]) || channels_last(job->t[TO])) {
        job->width = fc_min(fc_round_up(job->n->channels, FC_BLOCK), WIDEST);
        return fc_min(fc_round_up(job->n->channels, FC_BLOCK), SLAB);
    }
    while (job->planes && fitting && job->width > fitting) job->width /= 2;
    return fc_min(fc_max(fitting / job->width, 1) * job->width, SLAB);
}

static struct job start(const fc_norm *n)
{
    struct job job = { .n = n, .k = fc_kernels_active(n->dtype), .t = { &n->x, &n->grad, &n->to }, .planes = 1, .linear = 1 };
    for (int i = 0; i < TENSORS; i++) {
        const fc_tensor *t = job.t[i];
        if (!t->data) continue;
        job.linear &= is_linear(t, n->space);
        job.planes &= t->space[2] == 1 && t->channel != 1;
    }
    job.planes &= job.linear;
    job.sums = n->workspace;
    job.center = job.sums + SLAB * PIECES * 2;
    job.coefficients = (char *)(job.center + SLAB);
    job.scratch = (char *)n->workspace + shared_bytes(n->dtype);
    split_batch(&job);
    return job;
}

static fc_status forward_slab(struct job *job)
{
    const int form = job->planes;
    fc_status status = FC_OK;
    if (job->n->from_batch) {
        center_on_first(job);
        status = pass(job, job->k->norm[form].moments, 1, 0, 0);
        if (status) return status;
        set_statistics(job);
    }
    if (!job->n->to.data) return FC_OK;
    set_forward(job);
    return pass(job, job->k->norm[form].output, 1, 0, 1);
}

static fc_status backward_slab(struct job *job)
{
    const fc_norm *n = job->n;
    const int form = job->planes, summed = n->from_batch || n->dweight;
    fc_status status = FC_OK;
    set_forward(job);
    if (summed) {
        for (int64_t c = 0; c < job->channels; c++) job->center[c] = c < features(job) ? n->mean[job->channel + c] : 0;
        status = pass(job, job->k->norm[form].products, 1, 1, 0);
        if (status) return status;
    }
    set_backward(job, summed);
    return n->to.data ? pass(job, job->k->norm[form].gradient, n->relu || n->from_batch, 1, 1) : FC_OK;
}

static fc_status by_slabs(struct job *job, fc_status (*slab)(struct job *), int arrays)
{
    fc_status status = FC_OK;
    const int64_t most = split_channels(job, arrays);
    for (; !status && job->channel < job->n->channels; job->channel += most) {
        job->channels = fc_min(most, job->n->channels - job->channel);
        status = slab(job);
    }
    return status;
}

fc_status fc_norm_forward(const fc_norm *n)
{
    struct job job = start(n);
    return by_slabs(&job, forward_slab, 1);
}

fc_status fc_norm_backward(const fc_norm *n)
{
    struct job job = start(n);
    return by_slabs(&job, backward_slab, 2);
}
