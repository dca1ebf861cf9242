/* packed.c - the buffer of packed weights; see conv.h for its layout.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <string.h>

static size_t group_bytes(const struct fc_corr *c, fc_steps steps)
{
    return (size_t)(fc_padded_lanes(c) * steps(c)) * c->size;
}

static size_t bias_bytes(const struct fc_corr *c) { return fc_align((size_t)(c->groups * fc_padded_lanes(c)) * c->size); }
static int64_t panels(const struct fc_corr *c) { return fc_ceil_div(c->lanes, c->k->lanes); }
static size_t mark_bytes(const struct fc_corr *c) { return fc_align((size_t)(c->groups * panels(c))); }

size_t fc_packed_bytes(const fc_conv_plan *plan, fc_steps steps)
{
    struct fc_corr c;
    size_t bytes = 0;
    for (int64_t i = 0; i < fc_phases(&plan->problem, plan->pass); i++) {
        fc_phase(plan, NULL, i, &c);
        bytes += fc_align((size_t)c.groups * group_bytes(&c, steps));
    }
    return bias_bytes(&c) + mark_bytes(&c) + bytes;
}

const char *fc_packed_bias(const struct fc_corr *c, int64_t group)
{
    return c->packed + (size_t)(group * fc_padded_lanes(c)) * c->size;
}

char *fc_packed_mark(const struct fc_corr *c, int64_t group, int64_t lane)
{
    return (char *)(uintptr_t)c->packed + bias_bytes(c) + group * panels(c) + lane / c->k->lanes;
}

const char *fc_packed_group(const struct fc_corr *c, int64_t group, fc_steps steps)
{
    return c->weights + (size_t)group * group_bytes(c, steps);
}

struct fc_weights fc_weights_of(const struct fc_corr *c, const void *weight, int64_t group, int64_t lane, int64_t depth)
{
    const ptrdiff_t at = c->w_start + group * c->w_group + lane * c->w_lane + depth * c->w_depth;
    struct fc_weights w = { .source = (char *)(uintptr_t)weight + at * (ptrdiff_t)c->size, .lane = c->w_lane, .depth = c->w_depth,
                            .lanes = c->lanes - lane, .depths = c->depths - depth };
    for (int a = 0; a < FC_AXES; a++) {
        w.tap[a] = c->w_tap[a];
        w.taps[a] = c->taps[a];
    }
    return w;
}

static void pack_bias(const struct fc_corr *c, const void *bias, char *to)
{
    memset(to, 0, bias_bytes(c));
    memset(to + bias_bytes(c), 1, mark_bytes(c));
    if (!bias) return;
    const size_t lanes = (size_t)c->lanes * c->size, padded = (size_t)fc_padded_lanes(c) * c->size;
    for (int64_t g = 0; g < c->groups; g++) memcpy(to + (size_t)g * padded, (const char *)bias + (size_t)g * lanes, lanes);
}

const char *fc_packed_first(const struct fc_corr *c) { return c->packed + bias_bytes(c) + mark_bytes(c); }

const char *fc_packed_next(const struct fc_corr *c, fc_steps steps)
{
    return c->weights + fc_align((size_t)c->groups * group_bytes(c, steps));
}

fc_status fc_each_phase(const fc_conv_plan *plan, const fc_conv_data *data, fc_steps steps, fc_phase_function run)
{
    struct fc_corr c;
    const char *weights = NULL;
    for (int64_t i = 0; i < fc_phases(&plan->problem, plan->pass); i++) {
        fc_phase(plan, data, i, &c);
        c.weights = weights ? weights : fc_packed_first(&c);
        weights = fc_packed_next(&c, steps);
        const fc_status status = run(plan, data, &c);
        if (status) return status;
    }
    return FC_OK;
}

struct pack_job {
    const struct fc_corr *c;
    const void *weight;
    const struct fc_packer *packer;
};

static void pack_task(void *data, int64_t task, int worker)
{
    (void)worker;
    const struct pack_job *job = data;
    const int64_t group = task / panels(job->c), lane = task % panels(job->c) * job->c->k->lanes;
    const size_t at = (size_t)(lane * job->packer->steps(job->c)) * job->c->size;
    job->packer->panel(job->c, job->weight, group, lane, (char *)(uintptr_t)fc_packed_group(job->c, group, job->packer->steps) + at);
}

static fc_status pack_phase(const fc_conv_plan *plan, const fc_conv_data *data, const struct fc_corr *c)
{
    struct pack_job job = { .c = c, .weight = data->weight, .packer = plan->algorithm->packer };
    return fc_parallel(pack_task, &job, c->groups * panels(c), data->threads);
}

fc_status fc_conv_pack(const fc_conv_plan *plan, const fc_conv_data *data)
{
    if (plan->packed == 0) return FC_OK;
    struct fc_corr c;
    fc_phase(plan, data, 0, &c);
    pack_bias(&c, data->bias, data->packed);
    return fc_each_phase(plan, data, plan->algorithm->packer->steps, pack_phase);
}
