# SPDX-License-Identifier: BSD-3-Clause
"""The functions of ops/pool.py for any number of spatial axes, and what only the tape calls.

Each first looks for the finished plan of an equal call (_plans.py); only where there is none do the checks run.
"""

from typing import Any

import numpy as np

from fastconv import _core
from fastconv.ops import _plans
from fastconv.ops._check import INT64, Array, dtype_name, flag, float_array
from fastconv.ops._pool_calls import (
    backward_call,
    check_problem,
    check_scatter,
    codes_call,
    exact_windows,
    forward_call,
    raise_bad_index,
)
from fastconv.ops._shapes import input_shape

_ndarray = np.ndarray
_empty = _core.empty


def max_pool(
    axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any, return_indices: Any,
    layout: Any,
) -> Any:  # fmt: skip
    call = key = None
    if (
        type(x) is _ndarray
        and x.flags.aligned
        and exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
        and type(return_indices) is bool
    ):
        key = (axes, "max_pool", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        return_indices = flag("return_indices", return_indices)
        windows = (kernel_size, stride, padding, dilation)
        problem = check_problem(axes, "max", "x", x.shape, dtype_name(x), windows, ceil_mode, True, None, layout)
        call = forward_call(key, problem)
    run, shape, dtype, channels_last = call
    y = _empty(shape, dtype)
    if not return_indices:
        run(x, y, None, channels_last)
        return y
    indices = _empty(shape, INT64)
    run(x, y, indices, channels_last)
    return y, indices


def min_pool(
    axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: Any, return_indices: Any,
    layout: Any,
) -> Any:  # fmt: skip
    x = float_array("x", x)
    minus = np.negative(x, out=_empty(x.shape, x.dtype))
    pooled = max_pool(axes, minus, kernel_size, stride, padding, dilation, ceil_mode, return_indices, layout)
    y = pooled[0] if isinstance(pooled, tuple) else pooled
    np.negative(y, out=y)
    return pooled


def max_pool_backward(axes: int, grad_output: Any, indices: Any, input_size: Any, layout: Any) -> Array:
    call = key = None
    if (
        type(grad_output) is _ndarray
        and type(indices) is _ndarray
        and grad_output.flags.aligned
        and indices.flags.aligned
        and _plans.exact_shape(input_size)
    ):
        key = (
            axes, "max_pool_backward", grad_output.shape, grad_output.dtype, indices.shape, indices.dtype,
            input_size, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output, indices, call = check_scatter(key, axes, grad_output, indices, input_size, layout)
    shape, dtype, channels_last = call
    dx = _empty(shape, dtype)
    if shape[0] and not _core.scatter_planes(grad_output, indices, dx, channels_last):
        raise_bad_index(indices, shape, layout)
    return dx


def max_pool_with_codes(
    axes: int, x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: Any = False, *, layout: Any = "NCHW",
) -> tuple[Array, Array]:  # fmt: skip
    """max_pool and what max_pool_backward_codes needs, an eighth of the indices: for the tape.

    Returns (y, codes), codes of y's shape: uint8, the number of the tap in its window; or, where windows are
    dilated or have more than 256 taps, the indices of max_pool.
    """
    call = key = None
    if (
        type(x) is _ndarray
        and x.flags.aligned
        and exact_windows(kernel_size, stride, padding, dilation)
        and type(ceil_mode) is bool
    ):
        key = (axes, "max_pool_codes", x.shape, x.dtype, kernel_size, stride, padding, dilation, ceil_mode, layout)
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        windows = (kernel_size, stride, padding, dilation)
        problem = check_problem(axes, "max", "x", x.shape, dtype_name(x), windows, ceil_mode, True, None, layout)
        call = codes_call(key, problem)
    run, _, shape, dtype, channels_last, kind = call
    y, codes = _empty(shape, dtype), _empty(shape, kind)
    run(x, y, codes, channels_last)
    return y, codes


def max_pool_backward_codes(
    axes: int, grad_output: Any, codes: Any, input_size: Any, kernel_size: Any, stride: Any = None, padding: Any = 0,
    dilation: Any = 1, ceil_mode: Any = False, *, layout: Any = "NCHW",
) -> Array:  # fmt: skip
    """max_pool_backward from the codes that max_pool_with_codes gave for the same arguments: the same bits."""
    if codes.itemsize > 1:
        return max_pool_backward(axes, grad_output, codes, input_size, layout)
    call = None
    if type(grad_output) is _ndarray and grad_output.flags.aligned:
        key = (
            axes, "max_pool_codes", input_size, grad_output.dtype, kernel_size, stride, padding, dilation, ceil_mode,
            layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output = float_array("grad_output", grad_output)
        windows, dtype = (kernel_size, stride, padding, dilation), dtype_name(grad_output)
        problem = check_problem(axes, "max", "input_size", input_size, dtype, windows, ceil_mode, True, None, layout)
        call = codes_call(None, problem)
    _, run, _, dtype, channels_last, _ = call
    dx = _empty(input_size, dtype)
    run(grad_output, codes, dx, channels_last)
    return dx


def avg_pool(
    axes: int, x: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any, count_include_pad: Any,
    divisor_override: Any, layout: Any,
) -> Array:  # fmt: skip
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
            axes, "avg_pool", x.shape, x.dtype, kernel_size, stride, padding, ceil_mode, count_include_pad,
            divisor_override, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        x = float_array("x", x)
        windows = (kernel_size, stride, padding, 1)
        problem = check_problem(
            axes, "avg", "x", x.shape, dtype_name(x), windows, ceil_mode, count_include_pad, divisor_override, layout
        )
        call = forward_call(key, problem)
    run, shape, dtype, channels_last = call
    y = _empty(shape, dtype)
    run(x, y, None, channels_last)
    return y


def avg_pool_backward(
    axes: int, grad_output: Any, input_size: Any, kernel_size: Any, stride: Any, padding: Any, ceil_mode: Any,
    count_include_pad: Any, divisor_override: Any, layout: Any,
) -> Array:  # fmt: skip
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
            axes, "avg_pool_backward", grad_output.shape, grad_output.dtype, input_size, kernel_size, stride,
            padding, ceil_mode, count_include_pad, divisor_override, layout,
        )  # fmt: skip
        call = _plans.find(key)
    if call is None:
        grad_output = float_array("grad_output", grad_output)
        shape = input_shape("input_size", input_size, axes)
        windows, dtype = (kernel_size, stride, padding, 1), dtype_name(grad_output)
        problem = check_problem(
            axes, "avg", "input_size", shape, dtype, windows, ceil_mode, count_include_pad, divisor_override, layout
        )
        call = backward_call(key, problem, grad_output.shape, shape)
    run, shape, dtype, channels_last, _ = call
    dx = _empty(shape, dtype)
    run(grad_output, dx, channels_last)
    return dx
