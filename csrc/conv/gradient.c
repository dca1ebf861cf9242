/* gradient.c - the sums of backward-weights; see conv.h.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "conv/conv.h"

#include <string.h>

static void start(struct fc_sums *s, const struct fc_kernels *k, void *memory, size_t bytes, int64_t all_terms)
{
    const int levels = fc_sum_levels(all_terms);
    char *acc = memory;
    *s = (struct fc_sums){ .k = k, .bytes = bytes, .acc = acc, .middle = levels == 3 ? acc + bytes : NULL,
                           .total = acc + (size_t)(levels - 1) * bytes, .interval = FC_SUM_BLOCK };
    /* the smallest power of two above n^(3/4) */
    const double n = (double)all_terms;
    while ((double)s->interval * (double)s->interval * (double)s->interval * (double)s->interval < n * n * n) s->interval *= 2;
}

void fc_sums_start(struct fc_sums *s, const struct fc_kernels *k, void *memory, size_t bytes, int64_t all_terms)
{
    start(s, k, memory, bytes, all_terms);
    s->zeroed = 1;
    memset(s->acc, 0, bytes);
}

/* to += from, or to = from where there is nothing yet: then the two change places. */
static void move(const struct fc_sums *s, char **to, char **from, int nothing_yet)
{
    char *sums = *from;
    if (nothing_yet) *from = *to, *to = sums;
    else s->k->add(*to, sums, (int64_t)(s->bytes / fc_sizeof(s->k->dtype)));
}

static void to_total(struct fc_sums *s, char **from)
{
    move(s, &s->total, from, !s->total_begun);
    s->total_begun = 1;
}

static void empty_middle(struct fc_sums *s)
{
    to_total(s, &s->middle);
    s->middle_terms = 0;
}

static void empty_acc(struct fc_sums *s)
{
    if (s->acc == s->total) return;
    if (s->middle) move(s, &s->middle, &s->acc, s->middle_terms == 0);
    else to_total(s, &s->acc);
    if (s->zeroed) memset(s->acc, 0, s->bytes);
    s->middle_terms += s->middle ? s->terms : 0;
    s->terms = 0;
    if (s->middle_terms >= s->interval) empty_middle(s);
}

void fc_sums_count(struct fc_sums *s, int64_t terms)
{
    s->terms += terms;
    if (s->terms >= FC_SUM_BLOCK) empty_acc(s);
}

void fc_sums_finish(struct fc_sums *s)
{
    if (s->terms) empty_acc(s);
    if (s->middle_terms) empty_middle(s);
}

size_t fc_gradient_bytes(const struct fc_gradient *g)
{
    const int64_t lanes = fc_round_up(g->lanes, fc_max(FC_BLOCK, g->k->lanes));
    return (size_t)(lanes * fc_round_up(g->depths, FC_BLOCK) * g->taps) * fc_sizeof(g->k->dtype);
}

void fc_gradient_start(struct fc_gradient *g, void *memory, int64_t all_terms)
{
    start(&g->sums, g->k, memory, fc_gradient_bytes(g), all_terms);
}

const void *fc_gradient_init(const struct fc_gradient *g)
{
    static const double zeros[FC_MAX_VECTORS * FC_BLOCK];
    return g->sums.terms ? NULL : zeros;
}

char *fc_gradient_at(const struct fc_gradient *g, int64_t lane, int64_t block, int64_t tap)
{
    const int64_t width = fc_panel_vectors(g->k, lane, g->lanes) * g->k->vector;
    const int64_t at = lane * fc_round_up(g->depths, FC_BLOCK) * g->taps + (block * g->taps + tap) * FC_BLOCK * width;
    return g->sums.acc + at * (ptrdiff_t)fc_sizeof(g->k->dtype);
}

void fc_gradient_add(struct fc_gradient *g, struct fc_tile t, int64_t block, int64_t tap, const char *y, ptrdiff_t y_block)
{
    const ptrdiff_t size = (ptrdiff_t)fc_sizeof(g->k->dtype);
    const char *a = t.a;
    t.a_row = 1;
    t.b_block = y_block;
    t.c_block = FC_BLOCK;
    for (int64_t lane = 0; lane < g->lanes; lane += g->k->lanes) {
        const int vectors = fc_panel_vectors(g->k, lane, g->lanes);
        char *c = fc_gradient_at(g, lane, block, tap);
        t.b = y + (lane / FC_BLOCK * y_block + lane % FC_BLOCK) * size;
        t.c_row = vectors * g->k->vector;
        for (int64_t row = 0; row < FC_BLOCK; row += g->k->grad_rows) {
            t.a = a + row * size;
            t.c = c + row * t.c_row * size;
            g->k->grad_tile[vectors - 1](&t);
        }
    }
}
