/* templates.h - all templates, once for the current FC_BITS, and the table of what they made.
 * SPDX-License-Identifier: BSD-3-Clause
 */
#include "kernels/tile_template.h"
#include "kernels/row_template.h"
#include "kernels/weights_template.h"
#include "kernels/winograd_template.h"
#include "kernels/depthwise_template.h"
#include "kernels/halves_template.h"
#include "kernels/planes_template.h"
#include "kernels/sums_template.h"
#include "kernels/planar_template.h"
#include "kernels/depth_planes_template.h"
#include "kernels/spread_template.h"
#include "kernels/pool_template.h"
#include "kernels/exp_template.h"
#include "kernels/act_template.h"
#include "kernels/norm_template.h"
#include "kernels/update_template.h"

#define FC_PLANES(name) FC_SPECIAL ? FC_NAME(name) : NULL
#define FC_NORM(form)                                                                                      \
    { FC_NAME(norm_##form##_moments), FC_NAME(norm_##form##_products), FC_NAME(norm_##form##_output),          \
      FC_NAME(norm_##form##_gradient) }
#define FC_ENTRY(rows, v) FC_NAME(tile_##rows##x##v),
#define FC_PLANE(rows, v) FC_SPECIAL ? FC_NAME(plane_tile_##rows##x##v) : NULL,
#define FC_COPY(rows, v) FC_SPECIAL ? FC_NAME(copy_tile_##rows##x##v) : NULL,
#define FC_OUTER(rows, v) FC_SPECIAL ? FC_NAME(outer_tile_##rows##x##v) : NULL,
#define FC_TAP(rows, v) FC_NAME(tap_tile_##rows##x##v),
#define FC_PLANAR(rows, v) FC_NAME(planar_##rows),
#define FC_PLANAR_GRAD(rows, v) FC_NAME(planar_grad_##rows),
#define FC_PLANAR_OUTER(steps, v) FC_NAME(planar_outer_##steps##x##v),
#define FC_WINOGRAD(m)                                                                                     \
    { FC_NAME(winograd_input_##m), FC_NAME(winograd_output_##m), FC_NAME(winograd_gradient_##m),              \
      FC_NAME(winograd_weights_##m), FC_NAME(winograd_weights_back_##m) }

static const struct fc_kernels FC_NAME(table) = {
    .isa = FC_ISA,
    .dtype = FC_BITS == 32 ? FC_F32 : FC_F64,
    .lanes = FC_MAX_VECTORS * VL,
    .vector = VL,
    .wide = WL,
    .tile_rows = FC_TILE_ROWS,
    .grad_rows = FC_GRAD_ROWS,
    .tile = { { FC_EACH_ROWS(FC_ENTRY, 1) }, { FC_EACH_ROWS(FC_ENTRY, 2) } },
    .plane_tile = { { FC_EACH_ROWS(FC_PLANE, 1) }, { FC_EACH_ROWS(FC_PLANE, 2) } },
    .copy_tile = { FC_EACH_ROWS(FC_COPY, 2) },
    .tap_tile = { { FC_EACH_ROWS(FC_TAP, 1) }, { FC_EACH_ROWS(FC_TAP, 2) } },
    .grad_tile = { FC_NAME(grad_tile_1), FC_NAME(grad_tile_2) },
    .outer_tile = { { FC_EACH_ROWS(FC_OUTER, 1) }, { FC_EACH_ROWS(FC_OUTER, 2) } },
    .pack_panels = FC_NAME(pack_panels),
    .pack_row = FC_NAME(pack_row),
    .unpack_row = FC_NAME(unpack_row),
    .pack_weights = FC_NAME(pack_weights),
    .unpack_weights = FC_NAME(unpack_weights),
    .copy_line = FC_NAME(copy_line),
    .add = FC_NAME(add),
    .sum_row = FC_NAME(sum_row),
    .winograd = { FC_WINOGRAD(2), FC_WINOGRAD(4) },
    .repair = FC_NAME(repair),
    .finite = FC_NAME(finite),
    .depthwise = FC_NAME(depthwise),
    .depthwise_grad = FC_NAME(depthwise_grad),
    .depth_planes = { FC_PLANES(depth_planes), FC_PLANES(depth_planes_grad), FC_PLANES(depth_planes_spread) },
    .few_rows = FC_FEW_ROWS,
    .few_vectors = FC_FEW_VECTORS,
    .planar = { FC_EACH_ROWS(FC_PLANAR, 0) },
    .planar_grad = { FC_EACH_FEW_ROWS(FC_PLANAR_GRAD, 0) },
    .planar_outer = { { FC_EACH_ROWS(FC_PLANAR_OUTER, 1) }, { FC_EACH_ROWS(FC_PLANAR_OUTER, 2) } },
    .planar_fold = FC_NAME(planar_fold),
    .planar_plane = FC_NAME(planar_plane),
    .planar_copy = FC_NAME(planar_copy),
    .pool = { .max = FC_NAME(pool_max), .max_index = FC_NAME(pool_max_index), .sum = FC_NAME(pool_sum),
              .divide = FC_NAME(divide), .positions = FC_NAME(positions), .largest = FC_NAME(largest), .scatter = FC_NAME(scatter),
              .total = FC_NAME(pool_total), .codes = FC_NAME(codes), .spread = FC_NAME(spread),
              .planes = { FC_PLANES(planes_max), FC_PLANES(planes_average), FC_NAME(planes_narrow), FC_PLANES(planes_spread), FC_NAME(planes_expand),
                          FC_NAME(planes_total), FC_NAME(planes_fill), FC_NAME(planes_stream) } },
    .sgd = FC_NAME(sgd),
    .adam = FC_NAME(adam),
    .rmsprop = FC_NAME(rmsprop),
    .adagrad = FC_NAME(adagrad),
    .act = FC_NAME(act),
    .norm = { FC_NORM(lanes), FC_NORM(planes) },
    .peak = FC_NAME(peak),
};
#undef FC_ENTRY
#undef FC_PLANE
#undef FC_WINOGRAD
#undef FC_NORM
#undef FC_PLANES
#undef FC_SPECIAL
#undef FC_TAP
#undef FC_OUTER
#undef FC_COPY
#undef FC_PLANAR
#undef FC_PLANAR_GRAD
#undef FC_PLANAR_OUTER
