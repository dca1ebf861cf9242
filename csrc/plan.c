/* plan.c - policy: which algorithm, with how much memory, on how many threads. A pure function of problem, level, caches.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double CYCLES_PER_SECOND = 3.0e9;    /* only turns predicted cycles into a time of the right order */

/* Panels of packed weights for the algorithms that pack. */
static size_t packed_bytes(const fc_conv_plan *plan)
{
    return plan->algorithm->packer ? fc_packed_bytes(plan, plan->algorithm->packer->steps) : 0;
}

static int is_named(const struct fc_algorithm *a, fc_algorithm_name name)
{
    const int direct = a->name == FC_BLOCKED || a->name == FC_PLANAR;
    const int winograd = a->name == FC_WINOGRAD_2 || a->name == FC_WINOGRAD_4;
    return name == FC_AUTO || a->name == name || (name == FC_DIRECT && direct) || (name == FC_WINOGRAD && winograd);
}

static void explain(fc_conv_plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void explain(fc_conv_plan *plan, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(plan->reason, sizeof plan->reason, format, arguments);
    va_end(arguments);
}

/* The cost of one image under `a`, or a negative number, with plan->reason, where it does not apply. */
static double cost(fc_conv_plan *plan, const struct fc_algorithm *a)
{
    plan->algorithm = a;
    const char *refusal = a->refuses(plan);
    if (refusal) {
        explain(plan, "%s", refusal);
        return -1;
    }
    plan->workspace = a->workspace(plan);
    if (!plan->workspace) {
        explain(plan, "its smallest piece needs more than %d MiB of scratch memory", FC_WORKSPACE_LIMIT >> 20);
        return -1;
    }
    return a->cycles(plan);
}

/* How much was gained over the best other algorithm, or why there was no choice. */
static void explain_choice(fc_conv_plan *plan, double best, const struct fc_algorithm *second, double second_best, int forced)
{
    if (forced) explain(plan, "asked for");
    else if (!second) explain(plan, "the only one that applies");
    else if (second_best < 1.05 * best) explain(plan, "predicted as fast as %s", second->label);
    else explain(plan, "predicted %.1f times as fast as %s", second_best / best, second->label);
}

fc_status fc_conv_plan_init(fc_conv_plan *plan, const fc_conv *problem, fc_pass pass, fc_algorithm_name name, int strict)
{
    *plan = (fc_conv_plan){ .problem = *problem, .pass = pass, .kernels = fc_kernels_active(problem->dtype) };
    /* one image decides, for it must have the same bits in any batch; backward-weights is a sum over the batch anyway */
    if (pass == FC_BACKWARD_DATA && problem->border != FC_ZEROS) {
        explain(plan, "backward-data of a border is that of the padded input, folded");
        return FC_UNSUPPORTED;
    }
    plan->problem.batch = pass == FC_BACKWARD_WEIGHTS ? fc_max(problem->batch, 1) : 1;
    const struct fc_algorithm *best = NULL, *second = NULL;
    double best_cost = 0, second_cost = 0;
    for (int i = 0; i < FC_ALGORITHM_COUNT; i++) {
        const struct fc_algorithm *a = fc_algorithms[i];
        if (!is_named(a, name) || (strict && name == FC_AUTO && strcmp(a->label, "winograd") == 0)) continue;
        const double cycles = cost(plan, a);
        if (cycles < 0) continue;
        if (!best || cycles < best_cost) {
            if (best && strcmp(best->label, a->label)) second = best, second_cost = best_cost;
            best = a;
            best_cost = cycles;
        } else if (strcmp(best->label, a->label) && (!second || cycles < second_cost)) {
            second = a;
            second_cost = cycles;
        }
    }
    if (!best) return FC_UNSUPPORTED;
    plan->problem.batch = problem->batch;
    plan->algorithm = best;
    plan->workspace = fc_align(best->workspace(plan));
    plan->packed = packed_bytes(plan);
    plan->seconds = (double)problem->batch * best_cost / CYCLES_PER_SECOND;
    explain_choice(plan, best_cost, second, second_cost, name != FC_AUTO);
    return FC_OK;
}

int fc_conv_packs_alike(const fc_conv_plan *a, const fc_conv_plan *b)
{
    const fc_conv *p = &a->problem, *q = &b->problem;
    if (a->pass != b->pass || a->algorithm != b->algorithm || a->kernels != b->kernels || p->groups != q->groups ||
        p->in_channels != q->in_channels || p->out_channels != q->out_channels)
        return 0;
    for (int i = 0; i < FC_AXES; i++)
        if (p->kernel[i] != q->kernel[i] || p->stride[i] != q->stride[i] || p->dilation[i] != q->dilation[i]) return 0;
    return 1;
}

int fc_threads_for(double seconds, int max_threads)
{
    const double pieces = seconds / 20e-6;
    return pieces < 2 ? 1 : pieces < max_threads ? (int)pieces : max_threads;
}
