# SPDX-License-Identifier: BSD-3-Clause
"""The poolings of ops/pool.py, checked and planned: what a call needs to run, found again by its arguments.

Every function takes the number of spatial axes first where its arrays do not say it.
"""

import math
from collections.abc import Hashable
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops import _plans
from fastconv.ops._check import (
    INT64,
    LAYOUTS_OF,
    MAX_EXTENT,
    Array,
    Shape,
    check_bytes,
    flag,
    float_array,
    index_array,
    integer,
    word,
)
from fastconv.ops._shapes import Geometry, check_grad_output, image_axes, image_shape, input_shape, pool_geometry

_exact = _plans.exact

#: The core's run, and the shape, type and layout of its result.
Call = tuple[Any, Shape, np.dtype[Any], bool]


def exact_windows(kernel_size: object, stride: object, padding: object, dilation: object = 1) -> bool:
    """Whether these may be part of a key."""
    return (
        (type(kernel_size) is int or _exact(kernel_size))
        and (stride is None or type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
    )


class Problem(NamedTuple):
    """One pooling, checked: what a plan is made from, and a key."""

    kind: Literal["max", "avg"]
    dtype: str
    batch: int
    channels: int
    geometry: Geometry
    ceil_mode: bool
    count_include_pad: bool
    divisor: int
    layout: str

    def plan(self) -> _core.PoolPlan:
        """The core's plan; of a batch of one for an empty batch, which is checked and not run."""
        try:
            return _core.PoolPlan(
                self.kind, self.dtype, max(self.batch, 1), self.channels, *self.geometry.three_axes(),
                self.ceil_mode, self.count_include_pad, self.divisor,
            )  # fmt: skip
        except OverflowError:
            raise OverflowError(f"the output is too large for 64-bit sizes: {self}") from None

    def output_shape(self, plan: _core.PoolPlan) -> Shape:
        return image_shape(self.batch, self.channels, plan.output_size[-len(self.geometry.size):], self.layout)


#: True is PyTorch's rule; words name it.
CeilMode = bool | str
One = int | tuple[int]

#: Names of the one rule for windows that reach beyond the padding; True is another name.
CEIL_MODES = ("onnx", "pytorch")


def check_problem(
    axes: int,
    kind: Literal["max", "avg"],
    name: str,
    shape: Shape,
    dtype: str,
    windows: tuple[object, object, object, object],
    ceil_mode: object,
    count_include_pad: object,
    divisor: object,
    layout: object,
) -> Problem:
    """name: the argument that shape is of. windows: kernel_size, stride, padding and dilation."""
    layout = word("layout", layout, LAYOUTS_OF[axes])
    batch, channels, size = image_axes(name, shape, layout)
    ceil_mode = check_ceil_mode(ceil_mode)
    count_include_pad = flag("count_include_pad", count_include_pad)
    divisor = _divisor(divisor)
    geometry = pool_geometry(size, *windows, ceil_mode)
    return Problem(kind, dtype, batch, channels, geometry, ceil_mode, count_include_pad, divisor, layout)


def check_ceil_mode(value: object) -> bool:
    return True if isinstance(value, str) and word("ceil_mode", value, CEIL_MODES) else flag("ceil_mode", value)


def _divisor(value: object) -> int:
    """divisor_override as the core wants it: 0 for the size of the window."""
    if value is None:
        return 0
    number = integer("divisor_override", value, -MAX_EXTENT)
    if number == 0:
        raise ValueError("divisor must be not zero, got divisor_override=0")
    return number


def forward_call(key: tuple[Hashable, ...] | None, problem: Problem) -> Call:
    def build() -> Call:
        plan = problem.plan()
        shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
        check_bytes("the output", shape, INT64 if problem.kind == "max" else dtype)
        return (plan.forward if problem.batch else _plans.skip), shape, dtype, problem.layout.endswith("C")

    canonical = ("pool", problem)
    call = _plans.add(canonical, build)
    _plans.alias(key, canonical)
    return call


def codes_call(key: tuple[Hashable, ...] | None, problem: Problem) -> Any:
    """Both passes, the output's shape and type, whether channels are last, and the type of the codes."""

    def build() -> tuple[Any, Any, Shape, np.dtype[Any], bool, np.dtype[Any]]:
        plan = problem.plan()
        shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
        kind = np.dtype(np.uint8) if plan.has_codes else INT64
        check_bytes("the output", shape, INT64)
        forward, backward = (plan.forward, plan.backward_codes) if problem.batch else (_plans.skip, _plans.skip)
        return forward, backward, shape, dtype, problem.layout.endswith("C"), kind

    canonical = ("max_pool_codes", problem)
    call = _plans.add(canonical, build)
    _plans.alias(key, canonical)
    return call


def backward_call(
    key: tuple[Hashable, ...] | None, problem: Problem, grad_output: Shape, shape: Shape
) -> Any:
    def build() -> tuple[Any, Shape, np.dtype[Any], bool, Shape]:
        plan = problem.plan()
        dtype = np.dtype(problem.dtype)
        check_bytes("the gradient", shape, dtype)
        run = plan.backward if problem.batch else _plans.skip
        return run, shape, dtype, problem.layout.endswith("C"), problem.output_shape(plan)

    canonical = ("avg_pool_backward", problem)
    call = _plans.add(canonical, build)
    check_grad_output(grad_output, call[-1], problem.layout)
    _plans.alias(key, canonical)
    return call


def check_scatter(
    key: tuple[Hashable, ...] | None, axes: int, grad_output: Array, indices: Array, input_size: object, layout: object
) -> tuple[Array, Array, tuple[Shape, np.dtype[Any], bool]]:
    """The arrays of max_pool2d_backward as the core can read them, and (shape of x, dtype, channels_last)."""
    grad_output, indices = float_array("grad_output", grad_output), index_array("indices", indices)
    layout = word("layout", layout, LAYOUTS_OF[axes])
    shape = input_shape("input_size", input_size, axes)
    if indices.shape != grad_output.shape:
        raise ShapeError(
            f"indices and grad_output must have the same shape, got {indices.shape} and {grad_output.shape}"
        )
    batch, channels, _ = image_axes("input_size", shape, layout)
    if image_axes("grad_output", grad_output.shape, layout)[:2] != (batch, channels):
        raise ShapeError(
            f"grad_output {grad_output.shape} and input_size {shape} must have the same batch and channels "
            f"(layout {layout})"
        )
    dtype = np.dtype(grad_output.dtype.name)
    check_bytes("the gradient", shape, dtype)
    canonical = ("max_pool_backward", grad_output.shape, shape, dtype, layout)
    call = _plans.add(canonical, lambda: (shape, dtype, layout.endswith("C")))
    _plans.alias(key, canonical)
    return grad_output, indices, call


def raise_bad_index(indices: Array, shape: Shape, layout: str, what: str = "input_size") -> NoReturn:
    _, _, size = image_axes("input_size", shape, layout)
    low, high = int(indices.min()), int(indices.max())
    raise ValueError(
        f"indices must lie between 0 and {math.prod(size) - 1}, the pixels of {what} {shape} "
        f"(layout {layout}), got {low if low < 0 else high}"
    )
