# SPDX-License-Identifier: BSD-3-Clause
"""Convolutions whose weights take turns, and patches as columns; of two axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.reference.conv import Gradients, Needs
from fastconv.reference.windows import Array, padded, repeated, unpadded, wide, windows_on


def tiled_conv2d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Array:
    """Output (i, j) by kernel (i mod t_v, j mod t_h); x (N, C, H, W), weight (t_v, t_h, K, C, kh, kw).

    >>> tiled_conv2d(np.ones((1, 1, 1, 4), int), np.array([1, 2]).reshape(1, 2, 1, 1, 1, 1)).tolist()
    [[[[1, 2, 1, 2]]]]
    """
    x, weight = wide(x), wide(weight)
    windows = windows_on(x.shape[2:], weight.shape[4:], stride, padding, dilation)
    image = padded(x, windows.padding, "zeros")
    rows, columns = (np.arange(o) % t for o, t in zip(windows.out, weight.shape, strict=False))
    y: Any = np.zeros((len(x), weight.shape[2], *windows.out), np.result_type(x, weight))
    for tap, pixels in windows.taps():
        w = weight[tap][rows][:, columns]    # (OH, OW, K, C)
        y += np.einsum("nchw,hwkc->nkhw", image[pixels], w)
    return y if bias is None else y + wide(bias)[:, rows][:, :, columns]  # type: ignore[no-any-return]


def tiled_conv2d_backward(
    grad_output: Array, x: Array, weight: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *,
    needs: Needs = (True, True, True),
) -> Gradients:
    """(dx, dw, db) of :func:`tiled_conv2d`."""
    dy, x, weight = wide(grad_output), wide(x), wide(weight)
    windows = windows_on(x.shape[2:], weight.shape[4:], stride, padding, dilation)
    image = padded(x, windows.padding, "zeros")
    cycle = weight.shape[:2]
    rows, columns = (np.arange(o) % t for o, t in zip(windows.out, cycle, strict=True))
    place = rows[:, None] * cycle[1] + columns
    dimage, dw = np.zeros(image.shape, np.result_type(dy, weight)), np.zeros(weight.shape, np.result_type(dy, x))
    flat = dw.reshape(-1, *dw.shape[2:])
    for tap, pixels in windows.taps():
        dimage[pixels] += np.einsum("nkhw,hwkc->nchw", dy, weight[tap][rows][:, columns])
        np.add.at(flat[tap], place, np.einsum("nkhw,nchw->hwkc", dy, image[pixels]))
    db = np.zeros((cycle[0] * cycle[1], weight.shape[2]), dy.dtype)
    np.add.at(db, place, dy.sum(0).transpose(1, 2, 0))
    dx = unpadded(dimage, x.shape[2:], windows.padding, "zeros")
    gradients = dx, dw, db.T.reshape(-1, *cycle)
    kept = [g if need else None for g, need in zip(gradients, needs, strict=True)]
    return kept[0], kept[1], kept[2]


#: One kernel for each output position is a cycle as long as the output.
locally_connected2d, locally_connected2d_backward = tiled_conv2d, tiled_conv2d_backward


def locally_connected1d(
    x: Array, weight: Array, bias: Array | None = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1
) -> Array:
    """Of signals: x (N, C, L), weight (OL, K, C, taps), bias (K, OL)."""
    flat = None if bias is None else bias[:, None]
    y = tiled_conv2d(x[:, :, None], weight[None, ..., None, :], flat, *_on_a_line(stride, padding, dilation))
    return y[:, :, 0]


def locally_connected1d_backward(
    grad_output: Array, x: Array, weight: Array, stride: Any = 1, padding: Any = 0, dilation: Any = 1, *,
    needs: Needs = (True, True, True),
) -> Gradients:
    dx, dw, db = tiled_conv2d_backward(
        grad_output[:, :, None], x[:, :, None], weight[None, ..., None, :], *_on_a_line(stride, padding, dilation),
        needs=needs,
    )
    return (None if dx is None else dx[:, :, 0], None if dw is None else dw[0, ..., 0, :],
            None if db is None else db[:, 0])


def _on_a_line(stride: Any, padding: Any, dilation: Any) -> tuple[Any, Any, Any]:
    if not isinstance(padding, str):
        padding = ((0, 0), padding[0] if isinstance(padding, tuple) else (padding, padding))
    return (1, *repeated(stride, 1)), padding, (1, *repeated(dilation, 1))


def unfold(x: Array, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Array:
    """(N, C * kh * kw, L): what each window sees, as a column.

    >>> unfold(np.arange(4).reshape(1, 1, 2, 2), 2)[0].ravel().tolist()
    [0, 1, 2, 3]
    """
    x = wide(x)
    windows = windows_on(x.shape[2:], repeated(kernel_size, 2), stride, padding, dilation)
    image = padded(x, windows.padding, "zeros")
    return np.stack([image[p] for _, p in windows.taps()], 2).reshape(len(x), -1, int(np.prod(windows.out)))


def unfold_backward(
    grad_output: Array, input_size: tuple[int, ...], kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Array:
    """Every number of a column returns to the pixel it was taken from."""
    dy = wide(grad_output)
    windows = windows_on(input_size[2:], repeated(kernel_size, 2), stride, padding, dilation)
    size = [n + lo + hi for n, (lo, hi) in zip(input_size[2:], windows.padding, strict=True)]
    dx = np.zeros((*input_size[:2], *size), dy.dtype)
    parts = dy.reshape(*input_size[:2], -1, *windows.out)
    for i, (_, pixels) in enumerate(windows.taps()):
        dx[pixels] += parts[:, :, i]
    return unpadded(dx, input_size[2:], windows.padding, "zeros")


def fold(x: Array, output_size: Any, kernel_size: Any, *args: Any) -> Array:
    """Columns summed into images."""
    size, taps = repeated(output_size, 2), int(np.prod(repeated(kernel_size, 2)))
    return unfold_backward(x, (len(x), x.shape[1] // taps, *size), kernel_size, *args)


def fold_backward(grad_output: Array, kernel_size: Any, *args: Any) -> Array:
    """(N, C, H, W) -> columns."""
    return unfold(grad_output, kernel_size, *args)
