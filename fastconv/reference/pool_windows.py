# SPDX-License-Identifier: BSD-3-Clause
"""Poolings that visit their windows one by one: adaptive, global, fractional; power averages; unpooling."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastconv.reference.pool import extend, inside, max_pool2d, max_pool2d_backward, window_sums
from fastconv.reference.windows import Array, Shape, channels_second, in_layout, repeated, wide, windows_on

Slices = tuple[Any, ...]


def _adaptive(size: Shape, output_size: Any) -> tuple[Shape, Callable[[Shape], Slices]]:
    """The size of the output, and the pixels of the window at each of its positions."""
    given = output_size if isinstance(output_size, Sequence) else (output_size,) * len(size)
    out = tuple(n if m is None else m for n, m in zip(size, given, strict=True))

    def window(at: Shape) -> Slices:
        return (..., *(slice(i * n // m, -(-(i + 1) * n // m)) for i, n, m in zip(at, size, out, strict=True)))

    return out, window


def adaptive_avg_pool(x: Array, output_size: Any, *, layout: str = "NCHW") -> Array:
    """The mean of window i of m on each axis of n pixels: those from floor(i n / m) to ceil((i + 1) n / m).

    >>> adaptive_avg_pool(np.array([[[1, 2, 6]]]), 2).tolist()
    [[[1.5, 4.0]]]
    """
    x = wide(channels_second(x, layout))
    out, window = _adaptive(x.shape[2:], output_size)
    y = np.zeros((*x.shape[:2], *out), np.result_type(x, float))
    for at in np.ndindex(out):
        y[(..., *at)] = x[window(at)].mean(axis=tuple(range(2, x.ndim)))
    return in_layout(y, layout)


def adaptive_avg_pool_backward(grad_output: Array, input_size: Sequence[int], *, layout: str = "NCHW") -> Array:
    """dx: every pixel of a window gets dy over the number of its pixels."""
    dy = wide(channels_second(grad_output, layout))
    n, c, *size = channels_second(np.empty(tuple(input_size), bool), layout).shape
    dx = np.zeros((n, c, *size), np.result_type(dy, float))
    out, window = _adaptive(tuple(size), dy.shape[2:])
    for at in np.ndindex(out):
        part = dx[window(at)]
        part += (dy[(..., *at)] / np.prod(part.shape[2:])).reshape(n, c, *(1,) * len(size))
    return in_layout(dx, layout)


def _largest(x: Array, pixels: Sequence[Shape]) -> tuple[Any, int]:
    """The maximum of one image over pixels in row-major order, and its position: ties and NaN as in max_pool2d."""
    best, where = None, -1
    for pixel in pixels:
        value = x[pixel]
        if best is None or value > best or np.isnan(value):
            best, where = value, int(np.ravel_multi_index(pixel, x.shape))
    return best, where


def _maxima(
    x: Array, out: Shape, pixels: Callable[[int, int, Shape], Iterator[Shape]], return_indices: bool, layout: str
) -> Any:
    y, where = np.zeros((*x.shape[:2], *out), x.dtype), np.zeros((*x.shape[:2], *out), np.int64)
    for n, c in np.ndindex(x.shape[:2]):
        for at in np.ndindex(out):
            y[(n, c, *at)], where[(n, c, *at)] = _largest(x[n, c], list(pixels(n, c, at)))
    y, where = in_layout(y, layout), in_layout(where, layout)
    return (y, where) if return_indices else y


def adaptive_max_pool(x: Array, output_size: Any, return_indices: bool = False, *, layout: str = "NCHW") -> Any:
    """The maximum of each window of adaptive_avg_pool, with its position as in max_pool2d.

    >>> adaptive_max_pool(np.array([[[1, 6, 2]]]), 2).tolist()
    [[[6, 6]]]
    """
    x = wide(channels_second(x, layout))
    out, window = _adaptive(x.shape[2:], output_size)

    def pixels(n: int, c: int, at: Shape) -> Iterator[Shape]:
        ranges = (range(*s.indices(e)) for s, e in zip(window(at)[1:], x.shape[2:], strict=True))
        return itertools.product(*ranges)

    return _maxima(x, out, pixels, return_indices, layout)


def _squeezed(y: Array, keepdims: bool) -> Array:
    return y if keepdims else y.reshape(y.shape[:2])


def global_avg_pool(x: Array, keepdims: bool = False) -> Array:
    """The mean of every channel.

    >>> global_avg_pool(np.array([[[1, 2, 6]]])).tolist()
    [[3.0]]
    """
    return _squeezed(adaptive_avg_pool(x, 1), keepdims)


def global_avg_pool_backward(grad_output: Array, input_size: Sequence[int]) -> Array:
    """dx: every pixel gets dy over the number of pixels."""
    n, c, *size = input_size
    return adaptive_avg_pool_backward(grad_output.reshape(n, c, *(1,) * len(size)), input_size)


def global_max_pool(x: Array, keepdims: bool = False, return_indices: bool = False) -> Any:
    """The maximum of every channel."""
    y, where = adaptive_max_pool(x, 1, True)
    y, where = _squeezed(y, keepdims), _squeezed(where, keepdims)
    return (y, where) if return_indices else y


def global_max_pool_backward(grad_output: Array, indices: Array, input_size: Sequence[int]) -> Array:
    """dx: dy where the maximum was."""
    n, c, *size = input_size
    dx = np.zeros((n, c, int(np.prod(size))), wide(grad_output).dtype)
    np.put_along_axis(dx, indices.reshape(n, c, 1), grad_output.reshape(n, c, 1), 2)
    return dx.reshape(n, c, *size)


def fractional_max_pool(
    x: Array, kernel_size: Any, random_samples: Array, output_size: Any = None, output_ratio: Any = None,
    return_indices: bool = False,
) -> Any:
    """Max pooling with window i of m at floor((i + u) a) - floor(u a), a = (n - k) / (m - 1), the last one at n - k.

    Positions are computed in the precision of x: they are part of the definition.
    """
    size, number = x.shape[2:], x.dtype.type
    axes, kernel = len(size), repeated(kernel_size, x.ndim - 2)
    ratios = output_ratio if isinstance(output_ratio, Sequence) else (output_ratio,) * axes
    out = repeated(output_size, axes) if output_size is not None else tuple(
        int(n * r) for n, r in zip(size, ratios, strict=True))

    def first(u: Any, axis: int, i: int) -> Any:
        last = size[axis] - kernel[axis]
        if i == out[axis] - 1:
            return last
        a = number(last) / number(out[axis] - 1)
        return int((number(i) + u) * a) - int(u * a)

    def pixels(n: int, c: int, at: Shape) -> Iterator[Shape]:
        u = random_samples[n, c].astype(x.dtype)
        u = u[::-1] if axes == 2 else u    # as PyTorch orders them
        firsts = [first(u[a], a, at[a]) for a in range(axes)]
        return itertools.product(*(range(f, f + k) for f, k in zip(firsts, kernel, strict=True)))

    return _maxima(wide(x), out, pixels, return_indices, "NCHW")


# ---- power averages ------------------------------------------------------------------------------------------------


def _power_sums(x: Array, p: float, kernel_size: Any, stride: Any, ceil_mode: Any) -> tuple[Any, Array, Array]:
    """The windows, the sums of x^p as if clipped windows were full, and by what that multiplies them."""
    size = x.shape[2:]
    kernel = repeated(kernel_size, len(size))
    windows = windows_on(size, kernel, kernel if stride is None else stride, 0, 1, bool(ceil_mode))
    scale = np.prod(kernel) / window_sums(extend(np.ones((1, 1, *size)), windows, 0), windows)
    return windows, window_sums(extend(x**p, windows, 0), windows) * scale, scale


@np.errstate(all="ignore")
def lp_pool(
    x: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: Any = False, *, layout: str = "NCHW"
) -> Array:
    """(sum of x^p)^(1/p) over each window. A window that sticks out counts as if it were full.

    >>> lp_pool(np.array([[[3, 4]]]), 2, 2).tolist()
    [[[5.0]]]
    """
    x = channels_second(x, layout).astype(np.float64)
    if np.isinf(norm_type):
        sign = np.sign(norm_type)
        return in_layout(sign * max_pool2d(sign * abs(x), kernel_size, stride, 0, 1, ceil_mode), layout)
    return in_layout(_power_sums(x, norm_type, kernel_size, stride, ceil_mode)[1] ** (1 / norm_type), layout)


@np.errstate(all="ignore")
def lp_pool_backward(
    grad_output: Array, x: Array, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: Any = False, *,
    layout: str = "NCHW",
) -> Array:
    """dx = x^(p - 1) times the sum over the windows of dy * sum^(1/p - 1); 0 where a sum is 0."""
    x = channels_second(x, layout).astype(np.float64)
    dy = wide(channels_second(grad_output, layout))
    if np.isinf(norm_type):
        sign = np.sign(norm_type)
        _, where = max_pool2d(sign * abs(x), kernel_size, stride, 0, 1, ceil_mode, True)
        return in_layout(max_pool2d_backward(dy, where, x.shape) * np.sign(x), layout)
    windows, sums, scale = _power_sums(x, norm_type, kernel_size, stride, ceil_mode)
    share = np.where(sums == 0, 0, dy * sums ** (1 / norm_type - 1)) * scale
    plane = extend(np.zeros_like(x), windows, 0)
    for _, pixels in windows.taps():
        plane[pixels] += share
    powers = x ** (norm_type - 1)
    if norm_type < 1:
        powers[x == 0] = 0
    return in_layout(plane[inside(windows, x.shape[2:])] * powers, layout)


# ---- unpooling -----------------------------------------------------------------------------------------------------


def max_unpool(
    x: Array, indices: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None, *,
    layout: str = "NCHW",
) -> Array:
    """y = 0, then y[n, c].flat[indices] = x, in row-major order: of several the last one stays.

    >>> max_unpool(np.array([[[7, 8]]]), np.array([[[1, 1]]]), 2).tolist()
    [[[0, 8, 0, 0]]]
    """
    x, indices = wide(channels_second(x, layout)), channels_second(indices, layout)
    axes = x.ndim - 2
    kernel, pads = repeated(kernel_size, axes), repeated(padding, axes)
    strides = kernel if stride is None else repeated(stride, axes)
    out = output_size or tuple(
        (n - 1) * s + k - 2 * p for n, s, k, p in zip(x.shape[2:], strides, kernel, pads, strict=True))
    y = np.zeros((*x.shape[:2], *out), x.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        for value, at in zip(x[n, c].flat, indices[n, c].flat, strict=True):
            y[n, c].flat[at] = value
    return in_layout(y, layout)


def max_unpool_backward(grad_output: Array, indices: Array, *, layout: str = "NCHW") -> Array:
    """dx: dy at the index, 0 for all but the last of several."""
    dy, indices = wide(channels_second(grad_output, layout)), channels_second(indices, layout)
    dx = np.zeros(indices.shape, dy.dtype)
    for n, c in np.ndindex(dy.shape[:2]):
        places = indices[n, c].ravel().tolist()
        for i, at in enumerate(places):
            if at not in places[i + 1:]:
                dx[n, c].flat[i] = dy[n, c].flat[at]
    return in_layout(dx, layout)


adaptive_avg_pool1d = adaptive_avg_pool2d = adaptive_avg_pool3d = adaptive_avg_pool
adaptive_avg_pool1d_backward = adaptive_avg_pool2d_backward = adaptive_avg_pool3d_backward = adaptive_avg_pool_backward
adaptive_max_pool1d = adaptive_max_pool2d = adaptive_max_pool3d = adaptive_max_pool
fractional_max_pool2d = fractional_max_pool3d = fractional_max_pool
lp_pool1d = lp_pool2d = lp_pool3d = lp_pool
lp_pool1d_backward = lp_pool2d_backward = lp_pool3d_backward = lp_pool_backward
max_unpool1d = max_unpool2d = max_unpool3d = max_unpool
max_unpool1d_backward = max_unpool2d_backward = max_unpool3d_backward = max_unpool_backward
