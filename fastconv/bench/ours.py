# SPDX-License-Identifier: BSD-3-Clause
"""A layer as fastconv runs it: NCHW arrays in and out, the weights packed before; and its rounding error.

The error is that of the first image in forward and backward-data (an image has the same bits in every batch), and
of the first filters in backward-weights, against direct summation in float64.
"""

from __future__ import annotations  # the types of _core exist for the type checker only

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from fastconv import _core, ops
from fastconv.bench.shapes import ConvRow, PoolRow
from fastconv.nn import Parameter
from fastconv.ops._pool_runs import max_pool_backward_codes, max_pool_with_codes
from fastconv.ops.conv import check_problem, layer_backward, layer_forward

Array = np.ndarray[Any, Any]
BenchPass = Literal["forward", "backward_data", "backward_weights", "backward"]

PASSES: dict[BenchPass, str] = {
    "forward": "forward",
    "backward_data": "d input",
    "backward_weights": "d weights",
    "backward": "all gradients",
}
NEEDS: dict[BenchPass, tuple[bool, bool, bool]] = {
    "backward_data": (True, False, False),
    "backward_weights": (False, True, False),
    "backward": (True, True, True),
}
PARTS: dict[BenchPass, tuple[_core.Pass, ...]] = {
    "forward": ("forward",),
    "backward_data": ("backward_data",),
    "backward_weights": ("backward_weights",),
    "backward": ("backward_data", "backward_weights"),
}
UNIT = 2.0**-24    # the unit roundoff of float32
FILTERS_CHECKED = 16


class Arrays(NamedTuple):
    """Of one case; grad is the gradient of the output."""

    x: Array
    weight: Array
    grad: Array


class Error(NamedTuple):
    """largest: max|error| / max|result|. units: the largest of error / (u S) over the outputs; see docs/numerics.md."""

    largest: float
    units: float


def make_arrays(row: ConvRow, batch: int) -> Arrays:
    """Like a trained net's: inputs and gradients of deviation 1, outputs too."""
    rng = np.random.default_rng(0)
    shapes = row.input(batch), row.weight, row.output(batch)
    x, weight, grad = (rng.standard_normal(shape, np.float32) for shape in shapes)
    weight *= np.float32((weight[0].size) ** -0.5)
    return Arrays(x, weight, grad)


def conv_plan(row: ConvRow, pass_: _core.Pass, arrays: Arrays, algorithm: str = "auto") -> _core.ConvPlan:
    x, weight, _ = arrays
    return check_problem(
        x, weight, row.stride, row.padding, 1, row.groups, "zeros", "NCHW", algorithm
    ).plan(pass_)


def conv_run(row: ConvRow, pass_: BenchPass, arrays: Arrays) -> Callable[[], Any]:
    """One pass, as a call without arguments that returns fresh arrays."""
    x, weight, grad = arrays
    geometry = (row.stride, row.padding, 1, row.groups)
    parameters = Parameter(weight), None    # as in a layer: packed once
    if pass_ == "forward":
        return lambda: layer_forward(x, weight, None, geometry, "zeros", "auto", parameters, native=False).run()
    needs = NEEDS[pass_]
    return lambda: layer_backward(grad, x, weight, geometry, "zeros", "auto", needs, parameters)


def variant(row: ConvRow, pass_: BenchPass, arrays: Arrays) -> str:
    """The algorithms that run, such as "direct blocked" or, for two passes, "winograd F(4x4,3x3) / direct"."""
    plans = [conv_plan(row, part, arrays) for part in PARTS[pass_]]
    names = [f"{plan.algorithm} {plan.variant}" for plan in plans]
    return names[0] if len(set(names)) == 1 else " / ".join(names)


def conv_error(row: ConvRow, pass_: BenchPass, arrays: Arrays) -> Error:
    """The worst of the passes that the case runs."""
    errors = [_part_error(row, part, arrays) for part in PARTS[pass_]]
    return Error(max(e.largest for e in errors), max(e.units for e in errors))


def _part_error(row: ConvRow, pass_: _core.Pass, arrays: Arrays) -> Error:
    part = _sample(row, pass_, arrays)
    got = _whole(row, pass_, arrays)
    exact = _apply(row, pass_, Arrays(*(a.astype(np.float64) for a in part)), "direct")
    magnitude = _apply(row, pass_, Arrays(*map(np.abs, part)), "direct")
    return compare(got, exact, magnitude)


def compare(got: Array, exact: Array, magnitude: Array) -> Error:
    """Outputs whose every term is zero must be exact; others count in units of their own u S."""
    error = np.abs(got - exact)
    with np.errstate(divide="ignore", invalid="ignore"):
        units = np.where(error == 0, 0.0, error / (UNIT * magnitude))
    return Error(float(error.max() / np.abs(exact).max()), float(units.max()))


def _sample(row: ConvRow, pass_: _core.Pass, arrays: Arrays) -> Arrays:
    """The least of the arrays that decides what `_whole` returns."""
    x, weight, grad = arrays
    if pass_ != "backward_weights":
        return Arrays(x[:1], weight, grad[:1])
    if row.groups > 1:
        return arrays
    return Arrays(x, weight[:FILTERS_CHECKED], np.ascontiguousarray(grad[:, :FILTERS_CHECKED]))


def _whole(row: ConvRow, pass_: _core.Pass, arrays: Arrays) -> Array:
    """What the measured call gives for the sample: of the whole batch where that could matter."""
    if pass_ == "backward_weights":
        dw = _apply(row, pass_, arrays)
        return dw if row.groups > 1 else dw[:FILTERS_CHECKED]
    return _apply(row, pass_, _sample(row, pass_, arrays))


def _apply(row: ConvRow, pass_: _core.Pass, arrays: Arrays, algorithm: str = "auto") -> Array:
    x, weight, grad = arrays
    geometry = (row.stride, row.padding, 1, row.groups)
    if pass_ == "forward":
        return ops.conv2d(x, weight, None, *geometry, algorithm=algorithm)
    gradients = ops.conv2d_backward(grad, x, weight, *geometry, algorithm=algorithm, needs=NEEDS[pass_])
    return next(g for g in gradients if g is not None)


# ---- pools -----------------------------------------------------------------------------------------------


def pool_run(row: PoolRow, pass_: BenchPass, x: Array, grad: Array) -> Callable[[], Any]:
    """What a layer calls: forward as in inference; or the gradient of the input, of maxima from their codes."""
    window = (row.kernel, row.stride, row.padding)
    if row.kind == "avg":
        if pass_ == "forward":
            return lambda: ops.avg_pool2d(x, *window)
        return lambda: ops.avg_pool2d_backward(grad, x.shape, *window)
    if pass_ == "forward":
        return lambda: ops.max_pool2d(x, *window)
    _, codes = max_pool_with_codes(2, x, *window)
    return lambda: max_pool_backward_codes(2, grad, codes, x.shape, *window)


def pool_error(row: PoolRow, pass_: BenchPass, x: Array, grad: Array) -> Error:
    """Of the first image. A maximum is exact, so that its magnitude is its own."""
    x, grad = x[:1], grad[:1]
    wide, sizes = (a.astype(np.float64) for a in (x, grad)), (np.abs(x), np.abs(grad))
    got, exact = pool_run(row, pass_, x, grad)(), pool_run(row, pass_, *wide)()
    if row.kind == "max" and pass_ == "forward":
        return compare(got, exact, np.abs(exact))
    if row.kind == "avg":
        return compare(got, exact, pool_run(row, pass_, *sizes)())
    return compare(got, exact, pool_run(row, pass_, x, sizes[1])())
