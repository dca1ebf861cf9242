/* algorithms.c - the ordered list of algorithms, and running a plan with the one it chose. The choice is in plan.c.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

const struct fc_algorithm *const fc_algorithms[FC_ALGORITHM_COUNT] = {
    &fc_winograd_4, &fc_winograd_2, &fc_depthwise, &fc_planar, &fc_direct, &fc_im2col,
};

const char *fc_conv_plan_algorithm(const fc_conv_plan *plan) { return plan->algorithm->label; }
const char *fc_conv_plan_variant(const fc_conv_plan *plan) { return plan->algorithm->variant; }

const char *fc_conv_plan_isa(const fc_conv_plan *plan) { return plan->kernels->isa; }

size_t fc_most_bytes(const fc_conv_plan *plan, size_t (*bytes)(const struct fc_corr *))
{
    size_t most = 0;
    for (int64_t i = 0; i < fc_phases(&plan->problem, plan->pass); i++) {
        struct fc_corr c;
        if (!fc_phase(plan, NULL, i, &c)) continue;
        for (int merged = 0; merged < 2; merged++) {
            const size_t needed = bytes(&c);
            if (!needed) return 0;
            if (needed > most) most = needed;
            fc_merge_rows(&c);
        }
    }
    return most ? most : 64;
}

/* An empty batch has no output; its gradients are sums over nothing. */
static void empty_result(const fc_conv_plan *plan, const fc_conv_data *data)
{
    const fc_conv *p = &plan->problem;
    const int64_t taps[FC_AXES] = { 1, 1, p->in_channels / p->groups * fc_volume(p->kernel) };
    const fc_tensor weight = { data->weight, 0, taps[2], FC_BLOCK * taps[2], { 0, 0, 1 } };
    if (plan->pass == FC_BACKWARD_WEIGHTS) fc_zero(&weight, fc_sizeof(p->dtype), 1, p->out_channels, taps);
}

fc_status fc_conv_run(const fc_conv_plan *plan, const fc_conv_data *data)
{
    const fc_conv *p = &plan->problem;
    if (p->batch == 0) {
        empty_result(plan, data);
        return FC_OK;
    }
    const int fills = plan->algorithm->fills_gaps && plan->algorithm->fills_gaps(plan);
    if (plan->pass == FC_BACKWARD_DATA && fc_has_gaps(p) && !fills)
        fc_zero(&data->x, fc_sizeof(p->dtype), p->batch, p->in_channels, p->in);
    return plan->algorithm->run(plan, data);
}
