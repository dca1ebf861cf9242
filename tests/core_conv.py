# SPDX-License-Identifier: BSD-3-Clause
"""Runs one problem through the native core, and the bounds its results must keep (docs/numerics.md)."""

from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from problems import ConvArrays, ConvProblem

from fastconv import _core, reference

Array = np.ndarray[Any, np.dtype[Any]]

#: "direct" is the one of "blocked", "planar" and depthwise convolution that is predicted to be the fastest.
#: "winograd2" and "winograd4" are F(2x2,3x3) and F(4x4,3x3), which the public name "winograd" chooses between.
PLAIN = ("direct", "blocked", "planar", "im2col")
WINOGRAD = ("winograd2", "winograd4")


class Results(NamedTuple):
    y: Array
    dx: Array
    dw: Array
    db: Array


def plan(problem: ConvProblem, pass_: Any, dtype: Any, algorithm: str) -> _core.ConvPlan:
    (top, bottom), (left, right) = problem.padding
    return _core.ConvPlan(
        pass_, np.dtype(dtype).name, problem.n, problem.cin, problem.cout, problem.groups,
        (1, problem.h, problem.w), (1, *problem.kernel), (1, *problem.stride), (1, *problem.dilation),
        (0, top, left), (0, bottom, right), algorithm,
    )  # fmt: skip


def run(problem: ConvProblem, arrays: ConvArrays, algorithm: str, layout: str = "NCHW") -> Results:
    """All passes of one algorithm; arrays and results in the layout."""
    x, weight, bias, dy = arrays
    last = layout == "NHWC"
    # what is not written would show
    y, dx, dw, db = (np.full(shape, 77, x.dtype) for shape in (dy.shape, x.shape, weight.shape, bias.shape))
    plan(problem, "forward", x.dtype, algorithm).forward(x, weight, bias, y, last)
    plan(problem, "backward_data", x.dtype, algorithm).backward_data(dy, weight, dx, last)
    plan(problem, "backward_weights", x.dtype, algorithm).backward_weights(dy, x, dw, last)
    _core.sum_channels(dy, db, last)
    return Results(y, dx, dw, db)


def expected(problem: ConvProblem, arrays: ConvArrays) -> Results:
    x, weight, bias, dy = arrays
    y = reference.conv2d(x, weight, bias, **problem.parameters())
    return Results(y, *reference.conv2d_backward(dy, x, weight, **problem.parameters()))


def magnitudes(problem: ConvProblem, arrays: ConvArrays) -> Results:
    """S of every result: the same sums over the magnitudes of their terms."""
    x, weight, bias, dy = arrays
    y = reference.conv2d_abs(x, weight, bias, **problem.parameters())
    return Results(y, *reference.conv2d_backward_abs(dy, x, weight, **problem.parameters()))


def terms(problem: ConvProblem) -> Results:
    """n of every result: how many terms its longest sum has."""
    taps, pixels = int(np.prod(problem.kernel)), problem.n * int(np.prod(problem.output_size))
    per_group = problem.cin // problem.groups, problem.cout // problem.groups
    return Results(per_group[0] * taps, per_group[1] * taps, pixels, pixels)


def unit(dtype: Any) -> float:
    return 2.0**-24 if dtype == np.float32 else 2.0**-53


def summation_bound(problem: ConvProblem, sums: Results, dtype: Any) -> Results:
    """gamma_(n+1) * S, and for float64 once more for the float64 oracle itself; sums are the `magnitudes`."""
    u, tiny = unit(dtype), float(np.finfo(dtype).smallest_subnormal)
    factor = 1 if dtype == np.float32 else 2

    def bound(n: int, s: Array) -> Array:
        return factor * (n + 1) * u / (1 - (n + 1) * u) * s + n * tiny

    return Results(*(bound(n, s) for n, s in zip(terms(problem), sums, strict=True)))


# ---- Winograd: W, the abs-Winograd sums ------------------------------------------------------------------


def _full_gradient(problem: ConvProblem, dy: Array) -> Array:
    """dy placed so that dx is its plain correlation with the flipped weights, without padding."""
    placed = np.zeros((*dy.shape[:2], problem.h + 2, problem.w + 2))
    rows, columns = (2 - problem.padding[0][0], 2 - problem.padding[1][0])
    inside = [
        slice(max(0, -first), max(0, min(size, extent - first)))
        for first, size, extent in zip((rows, columns), dy.shape[2:], placed.shape[2:], strict=True)
    ]
    to = [slice(first + s.start, first + s.stop) for first, s in zip((rows, columns), inside, strict=True)]
    placed[:, :, to[0], to[1]] = dy[:, :, inside[0], inside[1]]
    return placed


def _abs_weight_gradient(problem: ConvProblem, x: Array, dy: Array, m: int) -> Array:
    """|G'| [ sum over tiles of (|B'| |d| |B|) . (|A| |dy| |A'|) ] |G|."""
    a_t, g, b_t = (np.abs(matrix) for matrix in reference.winograd_matrices(m))
    high, wide = (-(-n // m) for n in problem.output_size)
    (top, _), (left, _) = problem.padding
    grown = np.zeros((problem.n, problem.cin, high * m + 2, wide * m + 2))
    inside = np.abs(x[:, :, : grown.shape[2] - top, : grown.shape[3] - left])
    grown[:, :, top : top + inside.shape[2], left : left + inside.shape[3]] = inside
    gradient = np.zeros((problem.n, problem.cout, high * m, wide * m))
    gradient[:, :, : dy.shape[2], : dy.shape[3]] = np.abs(dy)
    tiles = sliding_window_view(grown, (m + 2, m + 2), (2, 3))[:, :, ::m, ::m]
    v = np.einsum("ta,ncijab,sb->ncijts", b_t, tiles, b_t, optimize=True)
    cut = gradient.reshape(*gradient.shape[:2], high, m, wide, m)
    d = np.einsum("at,nkiajb,bs->nkijts", a_t, cut, a_t, optimize=True)
    sums = np.einsum("ncijts,nkijts->kcts", v, d, optimize=True)
    return np.einsum("ta,kcts,sb->kcab", g, sums, g)


def winograd_magnitudes(problem: ConvProblem, arrays: ConvArrays, m: int) -> Results:
    """W of every result; S of db, which is a plain sum."""
    x, weight, bias, dy = arrays
    matrices = reference.winograd_matrices(m)
    flipped = weight.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    return Results(
        reference.winograd_abs(x, weight, bias, problem.padding, matrices=matrices),
        reference.winograd_abs(_full_gradient(problem, dy), flipped, matrices=matrices),
        _abs_weight_gradient(problem, x, dy, m),
        np.abs(dy).sum(axis=(0, 2, 3), dtype=np.float64),
    )


def winograd_bound(problem: ConvProblem, sums: Results, dtype: Any, m: int) -> Results:
    """(C + 12) u W for m = 2, (C + 32) u W for m = 4; dw: (tiles + 48) u W; db as by summation."""
    u, extra = unit(dtype) * (1 if dtype == np.float32 else 2), {2: 12, 4: 32}[m]
    tiles = problem.n * int(np.prod([-(-n // m) for n in problem.output_size]))
    db = summation_bound(problem, sums, dtype).db
    y, dx = (problem.cin + extra) * u * sums.y, (problem.cout + extra) * u * sums.dx
    return Results(y, dx, (tiles + 48) * u * sums.dw, db)
