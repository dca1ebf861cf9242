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

from typing import Literal, overload

import numpy as np

from fastconv import _core
from fastconv.ops import _plans
from fastconv.ops._check import INT64, Array, Shape, dtype_name, flag, float_array
from fastconv.ops._pool_calls import (
    backward_call,
    check_problem,
    check_scatter,
    codes_call,
    exact_windows,
    forward_call,
    raise_bad_index,
)
from fastconv.ops._shapes import IntOrPair, Padding, input_shape

_ndarray = np.ndarray
_empty = _core.empty


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
        and exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
        and type(return_indices) is bool
    ):
        key = ("max_pool2d", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        return_indices = flag("return_indices", return_indices)
        windows = (kernel_size, stride, padding, dilation)
        problem = check_problem("max", "x", x.shape, dtype_name(x), windows, ceil_mode, True, None, layout)
        call = forward_call(key, problem)
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
        grad_output, indices, call = check_scatter(key, grad_output, indices, input_size, layout)
    shape, dtype, channels_last = call
    dx = _empty(shape, dtype)
    if shape[0] and not _core.scatter_planes(grad_output, indices, dx, channels_last):
        raise_bad_index(indices, shape, layout)
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
        and exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
    ):
        key = ("max_pool2d_codes", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        windows = (kernel_size, stride, padding, dilation)
        problem = check_problem("max", "x", x.shape, dtype_name(x), windows, ceil_mode, True, None, layout)
        call = codes_call(key, problem)
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
    if codes.itemsize > 1:
        return max_pool2d_backward(grad_output, codes, input_size, layout=layout)
    call = None
    if type(grad_output) is _ndarray and grad_output.flags.aligned:
        key = (
            "max_pool2d_codes", input_size, grad_output.dtype, kernel_size, stride, padding, dilation, ceil_mode,
            layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output = float_array("grad_output", grad_output)
        windows, dtype = (kernel_size, stride, padding, dilation), dtype_name(grad_output)
        problem = check_problem("max", "input_size", input_size, dtype, windows, ceil_mode, True, None, layout)
        call = codes_call(None, problem)
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
        and exact_windows(kernel_size, stride, padding)
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
        problem = check_problem(
            "avg", "x", x.shape, dtype_name(x), windows, ceil_mode, count_include_pad, divisor_override, layout
        )
        call = forward_call(key, problem)
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
        and exact_windows(kernel_size, stride, padding)
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
        windows, dtype = (kernel_size, stride, padding, 1), dtype_name(grad_output)
        problem = check_problem(
            "avg", "input_size", shape, dtype, windows, ceil_mode, count_include_pad, divisor_override, layout
        )
        call = backward_call(key, problem, grad_output.shape, shape)
    run, shape, dtype, channels_last, _ = call
    dx = _empty(shape, dtype)
    run(grad_output, dx, channels_last)
    return dx
