# SPDX-License-Identifier: BSD-3-Clause
"""Transposed convolution of any number of axes, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.reference.conv import Gradients, Needs, split_groups
from fastconv.reference.windows import (
    Array,
    Windows,
    channels_second,
    in_layout,
    per_channel,
    repeated,
    resolve_padding,
    wide,
)


def _windows(
    size: tuple[int, ...], weight: Array, stride: Any, padding: Any, output_padding: Any, dilation: Any
) -> tuple[Windows, tuple[int, ...]]:
    """The windows on the result, one for each pixel of x; and the size of the result with its padding."""
    kernel, axes = weight.shape[2:], len(size)
    stride, dilation, more = (repeated(value, axes) for value in (stride, dilation, output_padding))
    ends = resolve_padding(padding, size, kernel, stride, dilation)
    whole = tuple((n - 1) * s + d * (k - 1) + 1 + m for n, s, d, k, m in zip(
        size, stride, dilation, kernel, more, strict=True))
    return Windows(size, kernel, stride, dilation, ends), whole


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1, *, layout: str = "NCHW", algorithm: str = "auto",
) -> Array:
    """y[n, k, i*s + u*d - pad] += x[n, c, i] * w[c, k, u], and the bias once.

    >>> x, w = np.array([[[[1, 2]]]]), np.array([[[[1, 10, 100]]]])
    >>> conv_transpose2d(x, w, stride=2).tolist()
    [[[[1, 10, 102, 20, 200]]]]
    """
    x, weight = wide(channels_second(x, layout)), wide(weight)
    windows, whole = _windows(x.shape[2:], weight, stride, padding, output_padding, dilation)
    xg, wg = split_groups(x, 1, groups), split_groups(weight, 0, groups)
    y: Any = np.zeros((len(x), groups, weight.shape[1], *whole), np.result_type(x, weight))
    for tap, pixels in windows.taps():
        y[pixels] += np.einsum("ngc...,gck->ngk...", xg, wg[tap])
    inside = tuple(slice(lo, n - hi) for n, (lo, hi) in zip(whole, windows.padding, strict=True))
    y = y.reshape(len(x), groups * weight.shape[1], *whole)[(..., *inside)]
    return in_layout(y + per_channel(bias, len(whole)), layout)


def conv_transpose2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: Any = 1, padding: Any = 0, output_padding: Any = 0,
    groups: int = 1, dilation: Any = 1, *, layout: str = "NCHW", algorithm: str = "auto",
    needs: Needs = (True, True, True),
) -> Gradients:
    """(dx, dw, db) of :func:`conv_transpose2d`."""
    dy, x, weight = wide(channels_second(grad_output, layout)), wide(channels_second(x, layout)), wide(weight)
    windows, whole = _windows(x.shape[2:], weight, stride, padding, output_padding, dilation)
    padded = np.pad(dy, ((0, 0), (0, 0), *windows.padding))
    assert padded.shape[2:] == whole, f"grad_output {dy.shape} does not fit"
    dx = np.zeros(x.shape, np.result_type(dy, weight))
    dw = np.zeros(weight.shape, np.result_type(dy, x))
    dyg, xg, dxg = split_groups(padded, 1, groups), split_groups(x, 1, groups), split_groups(dx, 1, groups)
    wg, dwg = split_groups(weight, 0, groups), split_groups(dw, 0, groups)
    pixels_in = int(np.prod(windows.out))
    flat = xg.reshape(*xg.shape[:3], pixels_in)
    for tap, pixels in windows.taps():
        seen = dyg[pixels]
        dxg += np.einsum("ngk...,gck->ngc...", seen, wg[tap])
        dwg[tap] = np.einsum("ngcp,ngkp->gck", flat, seen.reshape(*seen.shape[:3], pixels_in))
    gradients = in_layout(dx, layout), dw, dy.sum(axis=(0, *range(2, dy.ndim)))
    kept = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    return kept[0], kept[1], kept[2]


def conv_transpose1d(x: Array, weight: Array, *args: Any, layout: str = "NCL", **options: Any) -> Array:
    """:func:`conv_transpose2d` of signals (N, C, L), or (N, L, C)."""
    return conv_transpose2d(x, weight, *args, layout=layout, **options)


def conv_transpose1d_backward(
    grad_output: Array, x: Array, weight: Array, *args: Any, layout: str = "NCL", **options: Any
) -> Gradients:
    return conv_transpose2d_backward(grad_output, x, weight, *args, layout=layout, **options)


def conv_transpose3d(x: Array, weight: Array, *args: Any, layout: str = "NCDHW", **options: Any) -> Array:
    """:func:`conv_transpose2d` of volumes (N, C, D, H, W), or (N, D, H, W, C)."""
    return conv_transpose2d(x, weight, *args, layout=layout, **options)


def conv_transpose3d_backward(
    grad_output: Array, x: Array, weight: Array, *args: Any, layout: str = "NCDHW", **options: Any
) -> Gradients:
    return conv_transpose2d_backward(grad_output, x, weight, *args, layout=layout, **options)
