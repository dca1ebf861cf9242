# SPDX-License-Identifier: BSD-3-Clause
"""Convolution of any number of axes, and its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.reference.windows import (
    Array,
    Windows,
    channels_second,
    in_layout,
    padded,
    per_channel,
    unpadded,
    wide,
    windows_on,
)

Needs = tuple[bool, bool, bool]
Gradients = tuple[Array | None, Array | None, Array | None]


def split_groups(a: Array, axis: int, groups: int) -> Array:
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1:])


def conv_windows(x: Array, weight: Array, stride: Any, padding: Any, dilation: Any, groups: int) -> Windows:
    (out_channels, per_group), channels = weight.shape[:2], x.shape[1]
    if channels != per_group * groups or out_channels % groups:
        raise ValueError(f"weight {weight.shape} does not fit {channels} channels in {groups} groups")
    return windows_on(x.shape[2:], weight.shape[2:], stride, padding, dilation)


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCHW", algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """y[n, k, p, q] = b[k] + sum over c, i, j of w[k, c, i, j] * x[n, c, p*s + i*d - pad, q*s + j*d - pad].

    x is (N, C, H, W), or (N, H, W, C) with ``layout="NHWC"``; weight is (K, C/groups, kh, kw) in both. With
    another number of axes between the channels and the end it is the convolution of that many.
    """
    x, weight = wide(channels_second(x, layout)), wide(weight)
    windows = conv_windows(x, weight, stride, padding, dilation, groups)
    xg = split_groups(padded(x, windows.padding, padding_mode), 1, groups)
    wg = split_groups(weight, 0, groups)
    y: Any = np.zeros((len(x), groups, wg.shape[1], *windows.out), np.result_type(x, weight))
    for tap, pixels in windows.taps():
        y += np.einsum("ngc...,gkc->ngk...", xg[pixels], wg[tap])
    y = y.reshape(len(x), len(weight), *windows.out)
    if bias is not None:
        y = y + per_channel(bias, len(windows.out))
    y = in_layout(y, layout)
    if out is not None:
        out[...] = y
        return out
    return y  # type: ignore[no-any-return]


def conv2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1, *, padding_mode: str = "zeros", layout: str = "NCHW", algorithm: str = "auto",
    needs: Needs = (True, True, True),
) -> Gradients:
    """(dx, dw, db) of :func:`conv2d`: each product w * x of its sum returns dy*w to x and dy*x to w.

    >>> x, w = np.arange(4).reshape(1, 1, 2, 2), np.full((1, 1, 1, 1), 5)
    >>> dx, dw, db = conv2d_backward(np.ones((1, 1, 2, 2), int), x, w)
    >>> dx.tolist(), dw.item(), db.tolist()
    ([[[[5, 5], [5, 5]]]], 6, [4])
    """
    dy, x = wide(channels_second(grad_output, layout)), wide(channels_second(x, layout))
    weight = wide(weight)
    windows = conv_windows(x, weight, stride, padding, dilation, groups)
    if dy.shape != (len(x), len(weight), *windows.out):
        raise ValueError(f"grad_output: got shape {dy.shape}, expected {(len(x), len(weight), *windows.out)}")
    xg = split_groups(padded(x, windows.padding, padding_mode), 1, groups)
    wg, dyg = split_groups(weight, 0, groups), split_groups(dy, 1, groups)
    dxg = np.zeros(xg.shape, np.result_type(dy, weight))
    dwg = np.zeros(wg.shape, np.result_type(dy, x))
    pixels_out = int(np.prod(windows.out))
    flat = dyg.reshape(*dyg.shape[:3], pixels_out)
    for tap, pixels in windows.taps():
        dxg[pixels] += np.einsum("ngk...,gkc->ngc...", dyg, wg[tap])
        seen = xg[pixels].reshape(*xg.shape[:3], pixels_out)
        dwg[tap] = np.einsum("ngkp,ngcp->gkc", flat, seen)
    dx = dxg.reshape(len(x), x.shape[1], *xg.shape[3:])
    dx = in_layout(unpadded(dx, x.shape[2:], windows.padding, padding_mode), layout)
    gradients = dx, dwg.reshape(weight.shape), dy.sum(axis=(0, *range(2, dy.ndim)))
    kept = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    return kept[0], kept[1], kept[2]


def conv2d_abs(x: Array, weight: Array, bias: Array | None = None, *args: Any, **options: Any) -> Array:
    """S = conv(abs(x), abs(w)) + abs(b): the error of a summation in any order is at most gamma_(n+1) * S."""
    return conv2d(np.abs(x), np.abs(weight), None if bias is None else np.abs(bias), *args, **options)


def conv2d_backward_abs(grad_output: Array, x: Array, weight: Array, *args: Any, **options: Any) -> Gradients:
    """The sums of magnitudes that bound the errors of dx, dw and db, as :func:`conv2d_abs` bounds y's."""
    return conv2d_backward(np.abs(grad_output), np.abs(x), np.abs(weight), *args, **options)


def conv1d(x: Array, weight: Array, *args: Any, layout: str = "NCL", **options: Any) -> Array:
    """:func:`conv2d` of signals (N, C, L), or (N, L, C) with ``layout="NLC"``."""
    return conv2d(x, weight, *args, layout=layout, **options)


def conv1d_backward(
    grad_output: Array, x: Array, weight: Array, *args: Any, layout: str = "NCL", **options: Any
) -> Gradients:
    return conv2d_backward(grad_output, x, weight, *args, layout=layout, **options)


def conv3d(x: Array, weight: Array, *args: Any, layout: str = "NCDHW", **options: Any) -> Array:
    """:func:`conv2d` of volumes (N, C, D, H, W), or (N, D, H, W, C) with ``layout="NDHWC"``."""
    return conv2d(x, weight, *args, layout=layout, **options)


def conv3d_backward(
    grad_output: Array, x: Array, weight: Array, *args: Any, layout: str = "NCDHW", **options: Any
) -> Gradients:
    return conv2d_backward(grad_output, x, weight, *args, layout=layout, **options)
