# SPDX-License-Identifier: BSD-3-Clause
"""Pooling of any number of axes, and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.reference.windows import (
    Array,
    Shape,
    Windows,
    channels_second,
    in_layout,
    repeated,
    wide,
    windows_on,
)


def inside(windows: Windows, size: Shape) -> tuple[slice, ...]:
    """Where x lies in what the windows reach."""
    return (slice(None),) * 2 + tuple(
        slice(lo, lo + n) for (lo, _), n in zip(windows.padding, size, strict=True))


def extend(x: Array, windows: Windows, fill: Any) -> Array:
    """x with its leading padding and with whatever the windows reach behind it."""
    size = x.shape[2:]
    extents = (max(r, lo + n) for r, (lo, _), n in zip(windows.reach(), windows.padding, size, strict=True))
    plane = np.full((*x.shape[:2], *extents), fill, x.dtype)
    plane[inside(windows, size)] = x
    return plane


def max_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Any:
    """The maximum of each window; with ``return_indices`` also its position h*W + w in the image (int64).

    >>> y, where = max_pool2d(np.array([[[[1, 9], [9, 2]]]]), 2, return_indices=True)
    >>> y.item(), where.item()
    (9, 1)
    """
    x = channels_second(x, layout)
    size = x.shape[2:]
    kernel = repeated(kernel_size, len(size))
    windows = windows_on(size, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    plane = extend(wide(x), windows, 0)
    positions = extend(np.arange(np.prod(size)).reshape(1, 1, *size), windows, -1)
    best = np.zeros((*x.shape[:2], *windows.out), plane.dtype)
    where = np.full(best.shape, -1)
    for _, pixels in windows.taps():
        value, position = plane[pixels], positions[pixels]
        better = (position >= 0) & ((where < 0) | (value > best) | np.isnan(value))
        best, where = np.where(better, value, best), np.where(better, position, where)
    if (where < 0).any():
        raise ValueError("a window contains padding only, so it has no maximum")
    best, where = in_layout(best, layout), in_layout(where, layout)
    return (best, where) if return_indices else best


def max_pool2d_backward(
    grad_output: Array, indices: Array, input_size: Sequence[int], *, layout: str = "NCHW"
) -> Array:
    """dx: every dy returns to the pixel its maximum came from. ``input_size`` is the whole shape of x."""
    dy, indices = wide(channels_second(grad_output, layout)), channels_second(indices, layout)
    n, c, *size = channels_second(np.empty(tuple(input_size), bool), layout).shape
    dx = np.zeros((n * c, int(np.prod(size))), dy.dtype)
    np.add.at(dx, (np.arange(n * c)[:, None], indices.reshape(n * c, -1)), dy.reshape(n * c, -1))
    return in_layout(dx.reshape(n, c, *size), layout)


def window_sums(plane: Array, windows: Windows) -> Array:
    total = np.zeros((*plane.shape[:2], *windows.out), plane.dtype)
    for _, pixels in windows.taps():
        total += plane[pixels]
    return total


def _divisor(size: Shape, windows: Windows, count_include_pad: bool, divisor_override: int | None) -> Array:
    """What each window's sum is divided by: the number of elements it counts (never 0, to avoid 0/0)."""
    if divisor_override is not None:
        return np.array(divisor_override)
    if count_include_pad:
        # What ceil_mode reaches beyond the padding does not count.
        size = tuple(n + lo + hi for n, (lo, hi) in zip(size, windows.padding, strict=True))
        windows = windows._replace(padding=((0, 0),) * len(size))
    return np.maximum(window_sums(extend(np.ones((1, 1, *size)), windows, 0), windows), 1)


def avg_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
    count_include_pad: bool = True, divisor_override: int | None = None, *, layout: str = "NCHW",
) -> Array:
    """The sum of each window over ``divisor_override``, or over the number of elements in the window.

    >>> avg_pool2d(np.array([[[[1, 2], [3, 4]]]]), 2).item()
    2.5
    """
    x = channels_second(x, layout)
    size = x.shape[2:]
    kernel = repeated(kernel_size, len(size))
    windows = windows_on(size, kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    divisor = _divisor(size, windows, count_include_pad, divisor_override)
    return in_layout(window_sums(extend(wide(x), windows, 0), windows) / divisor, layout)


def avg_pool2d_backward(
    grad_output: Array, input_size: Sequence[int], kernel_size: Any, stride: Any = None, padding: Any = 0,
    ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None, *,
    layout: str = "NCHW",
) -> Array:
    """dx: every element of a window gets dy over the window's divisor."""
    dy = wide(channels_second(grad_output, layout))
    n, c, *spatial = channels_second(np.empty(tuple(input_size), bool), layout).shape
    size = tuple(spatial)
    kernel = repeated(kernel_size, len(size))
    windows = windows_on(size, kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    share = dy / _divisor(size, windows, count_include_pad, divisor_override)
    plane = extend(np.zeros((n, c, *size), share.dtype), windows, 0)
    for _, pixels in windows.taps():
        plane[pixels] += share
    return in_layout(plane[inside(windows, size)], layout)


def min_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False, *, layout: str = "NCHW",
) -> Any:
    """The minimum of each window, with the rules of max_pool2d.

    >>> min_pool2d(np.array([[[[1, 9], [9, 2]]]]), 2).item()
    1
    """
    best, where = max_pool2d(-wide(x), kernel_size, stride, padding, dilation, ceil_mode, True, layout=layout)
    return (-best, where) if return_indices else -best


# They count the axes of x themselves.
max_pool1d = max_pool3d = max_pool2d
max_pool1d_backward = max_pool3d_backward = max_pool2d_backward
min_pool1d = min_pool3d = min_pool2d
avg_pool1d = avg_pool3d = avg_pool2d
avg_pool1d_backward = avg_pool3d_backward = avg_pool2d_backward
