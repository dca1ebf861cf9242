# SPDX-License-Identifier: BSD-3-Clause
"""Two-dimensional max and average pooling, and their gradients, on NumPy arrays.

The output has (H + top + bottom - dilation * (kernel - 1) - 1) // stride + 1 rows, top and bottom being the
padding, and columns alike; ceil_mode rounds that quotient up, and drops a last window that would start in the
padding after the image.

Padding is at most half of the kernel, so that every window reads at least one pixel. (A dilated window with
padding can still step over an image smaller than its dilation; that is an error.)

Each function first looks for the finished plan of an equal call (_plans.py); only where there is none do the
checks run.
"""

from collections.abc import Hashable
from typing import Any, Literal, NamedTuple, NoReturn, overload

import numpy as np

from fastconv import _core
from fastconv.errors import ShapeError
from fastconv.ops import _plans
from fastconv.ops._check import (
    INT64,
    LAYOUTS,
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
from fastconv.ops._shapes import (
    Geometry,
    IntOrPair,
    Padding,
    check_grad_output,
    image_axes,
    image_shape,
    input_shape,
    pool_geometry,
)

_ndarray = np.ndarray
_empty = _core.empty
_exact = _plans.exact


@overload
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    layout: str = "NCHW",
) -> Array: ...
@overload
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    *,
    return_indices: Literal[True],
    layout: str = "NCHW",
) -> tuple[Array, Array]: ...
@overload
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Array | tuple[Array, Array]: ...
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    layout: str = "NCHW",
) -> Array | tuple[Array, Array]:
    """The largest pixel of every window, channel by channel.

    x: (N, C, H, W), or (N, H, W, C) with layout="NHWC"; float32 or float64. N may be 0.
    kernel_size, stride, dilation: an int, or (vertical, horizontal). stride None or () means kernel_size.
    padding: any of the forms of conv2d, on each side at most half of dilation * (kernel_size - 1) + 1. It is
        never the maximum.
    return_indices: also return where each maximum was.

    Returns y, (N, C, OH, OW) or (N, OH, OW, C), or (y, indices): int64 of y's shape, each the h * W + w of a
    pixel of x. A NaN in the window is the maximum, the last if there are several; of equal maxima the first
    counts.

    Errors are as in conv2d: TypeError, ShapeError, ValueError, MemoryError.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> y, indices = ops.max_pool2d(x, 2, return_indices=True)
    >>> y[0, 0].tolist(), indices[0, 0].tolist()
    ([[5.0, 7.0], [13.0, 15.0]], [[5, 7], [13, 15]])
    """
    call = key = None
    if (
        type(x) is _ndarray
        and x.flags.aligned
        and _exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
        and type(return_indices) is bool
    ):
        key = ("max_pool2d", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        return_indices = flag("return_indices", return_indices)
        windows = (kernel_size, stride, padding, dilation)
        problem = _check_problem("max", "x", x.shape, x.dtype.name, windows, ceil_mode, True, None, layout)
        call = _forward_call(key, problem)
    run, shape, dtype, channels_last = call
    y = _empty(shape, dtype)
    if not return_indices:
        run(x, y, None, channels_last)
        return y
    indices = _empty(shape, INT64)
    run(x, y, indices, channels_last)
    return y, indices


def max_pool2d_backward(
    grad_output: Array, indices: Array, input_size: Shape, *, layout: str = "NCHW"
) -> Array:
    """The gradient of sum(grad_output * max_pool2d(x, ...)) with respect to x.

    grad_output: of the shape of the output. indices: what max_pool2d(..., return_indices=True) gave.
    input_size: x.shape, in the given layout.

    Returns dx of that shape: dx = 0, then dx[n, c].flat[indices[n, c, i, j]] += grad_output[n, c, i, j].
    Where windows overlap, the gradients of a pixel are added in the order of the windows, row by row.

    Raises as conv2d does, and ValueError for an index outside h * W + w of x.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.array([[1.0, 3.0, 2.0]]).reshape(1, 1, 1, 3)
    >>> y, indices = ops.max_pool2d(x, (1, 2), 1, return_indices=True)
    >>> ops.max_pool2d_backward(np.ones_like(y), indices, x.shape).tolist()
    [[[[0.0, 2.0, 0.0]]]]
    """
    call = key = None
    if (
        type(grad_output) is _ndarray
        and type(indices) is _ndarray
        and grad_output.flags.aligned
        and indices.flags.aligned
        and _plans.exact_shape(input_size)
    ):
        key = (
            "max_pool2d_backward", grad_output.shape, grad_output.dtype, indices.shape, indices.dtype,
            input_size, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output, indices, call = _check_scatter(key, grad_output, indices, input_size, layout)
    shape, dtype, channels_last = call
    dx = _empty(shape, dtype)
    if shape[0] and not _core.scatter_planes(grad_output, indices, dx, channels_last):
        _raise_bad_index(indices, shape, layout)
    return dx


def max_pool2d_with_codes(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> tuple[Array, Array]:
    """max_pool2d and what max_pool2d_backward_codes needs, an eighth of the indices: for the tape.

    Returns (y, codes), codes of y's shape: uint8, the number of the tap in its window; or, where windows are
    dilated or have more than 256 taps, the indices of max_pool2d.
    """
    call = key = None
    if (
        type(x) is _ndarray
        and x.flags.aligned
        and _exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
    ):
        key = ("max_pool2d_codes", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        windows = (kernel_size, stride, padding, dilation)
        problem = _check_problem("max", "x", x.shape, x.dtype.name, windows, ceil_mode, True, None, layout)
        call = _codes_call(key, problem)
    run, _, shape, dtype, channels_last, kind = call
    y, codes = _empty(shape, dtype), _empty(shape, kind)
    run(x, y, codes, channels_last)
    return y, codes


def max_pool2d_backward_codes(
    grad_output: Array,
    codes: Array,
    input_size: Shape,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
    *,
    layout: str = "NCHW",
) -> Array:
    """max_pool2d_backward from the codes that max_pool2d_with_codes gave for the same arguments: the same bits."""
    if codes.dtype != np.uint8:
        return max_pool2d_backward(grad_output, codes, input_size, layout=layout)
    grad_output = float_array("grad_output", grad_output)
    key = (
        "max_pool2d_codes", input_size, grad_output.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout,
    )  # fmt: skip
    call = _plans.find(key)
    if call is None:
        windows = (kernel_size, stride, padding, dilation)
        dtype = grad_output.dtype.name
        problem = _check_problem("max", "input_size", input_size, dtype, windows, ceil_mode, True, None, layout)
        call = _codes_call(None, problem)
    _, run, _, dtype, channels_last, _ = call
    dx = _empty(input_size, dtype)
    run(grad_output, codes, dx, channels_last)
    return dx


def avg_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """The mean of the pixels of every window, channel by channel.

    x, kernel_size, stride, padding, layout: as in max_pool2d, without dilation.
    count_include_pad: padding counts as pixels of value 0; otherwise the sum is divided by the number of
        pixels of the image in the window. What a window of ceil_mode has beyond the padding never counts.
    divisor_override: divide every sum by this number instead; not 0, and negative ones are taken as they are.

    Returns y, (N, C, OH, OW) or (N, OH, OW, C). Errors are as in conv2d.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> ops.avg_pool2d(x, 2)[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    call = key = None
    if (
        type(x) is _ndarray
        and x.flags.aligned
        and _exact_windows(kernel_size, stride, padding)
        and type(ceil_mode) is bool
        and type(count_include_pad) is bool
        and (divisor_override is None or type(divisor_override) is int)
    ):
        key = (
            "avg_pool2d", x.shape, x.dtype, kernel_size, stride, padding, ceil_mode, count_include_pad,
            divisor_override, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        windows = (kernel_size, stride, padding, 1)
        problem = _check_problem(
            "avg", "x", x.shape, x.dtype.name, windows, ceil_mode, count_include_pad, divisor_override, layout
        )
        call = _forward_call(key, problem)
    run, shape, dtype, channels_last = call
    y = _empty(shape, dtype)
    run(x, y, None, channels_last)
    return y


def avg_pool2d_backward(
    grad_output: Array,
    input_size: Shape,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    *,
    layout: str = "NCHW",
) -> Array:
    """The gradient of sum(grad_output * avg_pool2d(x, ...)) with respect to x.

    grad_output: of the shape of the output for these arguments. input_size: x.shape, in the given layout.

    Returns dx of that shape: each pixel gets grad_output / divisor from every window that reads it.

    >>> import numpy as np
    >>> from fastconv import ops
    >>> ops.avg_pool2d_backward(np.ones((1, 1, 1, 2)), (1, 1, 2, 4), 2)[0, 0].tolist()
    [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]
    """
    call = key = None
    if (
        type(grad_output) is _ndarray
        and grad_output.flags.aligned
        and _plans.exact_shape(input_size)
        and _exact_windows(kernel_size, stride, padding)
        and type(ceil_mode) is bool
        and type(count_include_pad) is bool
        and (divisor_override is None or type(divisor_override) is int)
    ):
        key = (
            "avg_pool2d_backward", grad_output.shape, grad_output.dtype, input_size, kernel_size, stride,
            padding, ceil_mode, count_include_pad, divisor_override, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output = float_array("grad_output", grad_output)
        shape = input_shape("input_size", input_size)
        windows = (kernel_size, stride, padding, 1)
        problem = _check_problem(
            "avg",
            "input_size",
            shape,
            grad_output.dtype.name,
            windows,
            ceil_mode,
            count_include_pad,
            divisor_override,
            layout,
        )
        call = _backward_call(key, problem, grad_output.shape, shape)
    run, shape, dtype, channels_last, _ = call
    dx = _empty(shape, dtype)
    run(grad_output, dx, channels_last)
    return dx


# ---- finding the plan ------------------------------------------------------------------------------------

_Call = tuple[Any, Shape, np.dtype[Any], bool]


def _exact_windows(kernel_size: object, stride: object, padding: object, dilation: object = 1) -> bool:
    """Whether these may be part of a key."""
    return (
        (type(kernel_size) is int or _exact(kernel_size))
        and (stride is None or type(stride) is int or _exact(stride))
        and (type(padding) is int or _exact(padding))
        and (type(dilation) is int or _exact(dilation))
    )


class _Problem(NamedTuple):
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
        _, height, width = plan.output_size
        return image_shape(self.batch, self.channels, (height, width), self.layout)


def _check_problem(
    kind: Literal["max", "avg"],
    name: str,
    shape: Shape,
    dtype: str,
    windows: tuple[object, object, object, object],
    ceil_mode: object,
    count_include_pad: object,
    divisor: object,
    layout: object,
) -> _Problem:
    """name: the argument that shape is of. windows: kernel_size, stride, padding and dilation."""
    layout = word("layout", layout, LAYOUTS)
    batch, channels, size = image_axes(name, shape, layout)
    ceil_mode = flag("ceil_mode", ceil_mode)
    count_include_pad = flag("count_include_pad", count_include_pad)
    divisor = _divisor(divisor)
    geometry = pool_geometry(size, *windows, ceil_mode)
    return _Problem(kind, dtype, batch, channels, geometry, ceil_mode, count_include_pad, divisor, layout)


def _divisor(value: object) -> int:
    """divisor_override as the core wants it: 0 for the size of the window."""
    if value is None:
        return 0
    number = integer("divisor_override", value, -MAX_EXTENT)
    if number == 0:
        raise ValueError("divisor must be not zero, got divisor_override=0")
    return number


def _forward_call(key: tuple[Hashable, ...] | None, problem: _Problem) -> _Call:
    def build() -> _Call:
        plan = problem.plan()
        shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
        check_bytes("the output", shape, INT64 if problem.kind == "max" else dtype)
        return (plan.forward if problem.batch else _plans.skip), shape, dtype, problem.layout == "NHWC"

    canonical = ("pool", problem)
    call = _plans.add(canonical, build)
    _plans.alias(key, canonical)
    return call


def _codes_call(key: tuple[Hashable, ...] | None, problem: _Problem) -> Any:
    """Both passes, the output's shape and type, whether channels are last, and the type of the codes."""

    def build() -> tuple[Any, Any, Shape, np.dtype[Any], bool, np.dtype[Any]]:
        plan = problem.plan()
        shape, dtype = problem.output_shape(plan), np.dtype(problem.dtype)
        kind = np.dtype(np.uint8) if plan.has_codes else INT64
        check_bytes("the output", shape, INT64)
        forward, backward = (plan.forward, plan.backward_codes) if problem.batch else (_plans.skip, _plans.skip)
        return forward, backward, shape, dtype, problem.layout == "NHWC", kind

    canonical = ("max_pool2d_codes", problem)
    call = _plans.add(canonical, build)
    _plans.alias(key, canonical)
    return call


def _backward_call(
    key: tuple[Hashable, ...] | None, problem: _Problem, grad_output: Shape, shape: Shape
) -> Any:
    def build() -> tuple[Any, Shape, np.dtype[Any], bool, Shape]:
        plan = problem.plan()
        dtype = np.dtype(problem.dtype)
        check_bytes("the gradient", shape, dtype)
        run = plan.backward if problem.batch else _plans.skip
        return run, shape, dtype, problem.layout == "NHWC", problem.output_shape(plan)

    canonical = ("avg_pool2d_backward", problem)
    call = _plans.add(canonical, build)
    check_grad_output(grad_output, call[-1], problem.layout)
    _plans.alias(key, canonical)
    return call


def _check_scatter(
    key: tuple[Hashable, ...] | None, grad_output: Array, indices: Array, input_size: object, layout: object
) -> tuple[Array, Array, tuple[Shape, np.dtype[Any], bool]]:
    """The arrays of max_pool2d_backward as the core can read them, and (shape of x, dtype, channels_last)."""
    grad_output, indices = float_array("grad_output", grad_output), index_array("indices", indices)
    layout = word("layout", layout, LAYOUTS)
    shape = input_shape("input_size", input_size)
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
    canonical = ("max_pool2d_backward", grad_output.shape, shape, dtype, layout)
    call = _plans.add(canonical, lambda: (shape, dtype, layout == "NHWC"))
    _plans.alias(key, canonical)
    return grad_output, indices, call


def _raise_bad_index(indices: Array, shape: Shape, layout: str) -> NoReturn:
    _, _, (height, width) = image_axes("input_size", shape, layout)
    low, high = int(indices.min()), int(indices.max())
    raise ValueError(
        f"indices must lie between 0 and {height * width - 1}, the pixels of input_size {shape} "
        f"(layout {layout}), got {low if low < 0 else high}"
    )
