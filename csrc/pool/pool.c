/* pool.c - the plan of a pooling, and the way to maxima and averages; see fastconv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "pool/pool.h"

/* Seconds of one image: a nanosecond for eight taps of a channel, and the way of both tensors through the caches. */
static double image_seconds(const fc_pool *p)
{
    double taps = 1, in = 1, out = 1;
    for (int a = 0; a < FC_AXES; a++) {
        taps *= (double)fc_min(p->kernel[a], (p->in[a] - 1) / p->dilation[a] + 1);
        in *= (double)p->in[a];
        out *= (double)p->out[a];
    }
    return (double)p->channels * 1e-9 * (out * taps / 8 + 0.2 * (in + out));
}

static size_t largest(const size_t bytes[4])
{
    size_t most = bytes[0];
    for (int i = 1; i < 4; i++) most = bytes[i] > most ? bytes[i] : most;
    return most;
}

fc_status fc_pool_plan_init(fc_pool_plan *plan, const fc_pool *problem)
{
    const size_t forward = fc_pool_workspace(problem, 0);
    const size_t backward = problem->kind == FC_AVG_POOL ? fc_pool_workspace(problem, 1) : 0;
    const size_t memory[] = { forward, backward, fc_planes_workspace(problem), fc_codes_workspace(problem) };
    *plan = (fc_pool_plan){ .problem = *problem, .kernels = fc_kernels_active(problem->dtype),
                            .workspace = largest(memory),
                            .seconds = (double)problem->batch * image_seconds(problem) };
    return FC_OK;
}

fc_status fc_pool_run(const fc_pool_plan *plan, const fc_pool_data *data)
{
    fc_status status;
    if (data->codes.data && !fc_pool_has_codes(&plan->problem)) return FC_UNSUPPORTED;
    if (fc_planes_run(plan, data, 0, &status)) return status;
    return plan->problem.kind == FC_MAX_POOL ? fc_max_pool_run(plan, data) : fc_avg_pool_run(plan, data);
}
