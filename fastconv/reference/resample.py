# SPDX-License-Identifier: BSD-3-Clause
"""Padding, interpolation and shuffles: every one a matrix or an index for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.reference.windows import Array, wide

_NP_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(x: Array, padding: Any, mode: str = "constant", value: float = 0.0) -> Array:
    """A border around the last axes, the last axis first; negative numbers crop.

    >>> pad(np.array([1, 2, 3]), (1, 1), "reflect").tolist()
    [2, 1, 2, 3, 2]
    """
    x = wide(x)
    for axis, index in _padded_indices(x.shape, padding, mode):
        y = np.take(x, np.maximum(index, 0), axis)
        y[(slice(None),) * (axis % x.ndim) + (index < 0,)] = value
        x = y
    return x


def pad_backward(grad_output: Array, padding: Any, mode: str = "constant") -> Array:
    """Every element returns to the one it repeats."""
    dx = wide(grad_output)
    ends = [(0, 0)] * dx.ndim
    for i, (lo, hi) in enumerate(_pairs(padding, dx.ndim)):
        ends[-1 - i] = lo, hi
    shape = [n - lo - hi for n, (lo, hi) in zip(dx.shape, ends, strict=True)]
    for axis, index in _padded_indices(shape, padding, mode):
        dx = _gather_back(dx, index, axis, shape[axis])
    return dx


def _pairs(padding: Any, axes: int) -> list[tuple[int, int]]:
    if isinstance(padding, int):
        padding = (padding,) * (2 * min(axes, 2))
    return list(zip(padding[::2], padding[1::2], strict=True))


def _padded_indices(shape: Sequence[int], padding: Any, mode: str) -> list[tuple[int, Array]]:
    """(axis, for each padded position the element it shows, -1 for a constant)."""
    indices = []
    for i, (lo, hi) in enumerate(_pairs(padding, len(shape))):
        index = np.arange(shape[-1 - i])[max(-lo, 0):shape[-1 - i] + min(hi, 0)]
        ends = max(lo, 0), max(hi, 0)
        if mode == "constant":
            indices.append((-1 - i, np.pad(index, ends, constant_values=-1)))
        else:
            indices.append((-1 - i, np.pad(index, ends, mode=_NP_PAD_MODES[mode])))  # type: ignore[call-overload]
    return indices


def _gather_back(dy: Array, index: Array, axis: int, size: int) -> Array:
    """The transpose of np.take; -1 takes nothing."""
    dx = np.zeros((size, *np.moveaxis(dy, axis, 0).shape[1:]), dy.dtype)
    np.add.at(dx, index[index >= 0], np.moveaxis(dy, axis, 0)[index >= 0])
    return np.moveaxis(dx, 0, axis)


def interpolate(
    x: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Array:
    """One matrix for each axis: its rows hold the weights of the inputs.

    >>> interpolate(np.array([[[0.0, 1.0]]]), size=4, mode="linear").tolist()
    [[[0.0, 0.25, 0.75, 1.0]]]
    """
    x = wide(x)
    for axis, matrix in enumerate(_matrices(x.shape, size, scale_factor, mode, align_corners), 2):
        x = np.moveaxis(np.tensordot(matrix, x, (1, axis)), 0, axis)
    return x


def interpolate_backward(
    grad_output: Array, input_size: Sequence[int], size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None,
) -> Array:
    """The transposed matrices."""
    dx = wide(grad_output)
    for axis, matrix in enumerate(_matrices(input_size, size, scale_factor, mode, align_corners), 2):
        dx = np.moveaxis(np.tensordot(matrix.T, dx, (1, axis)), 0, axis)
    return dx


def _matrices(shape: Sequence[int], size: Any, scale_factor: Any, mode: str, corners: bool | None) -> list[Array]:
    matrices = []
    for axis, n in enumerate(shape[2:]):
        if size is not None:
            out = size if isinstance(size, int) else size[axis]
            scale = n / out
        else:
            factor = scale_factor[axis] if isinstance(scale_factor, tuple) else scale_factor
            out, scale = int(n * factor), 1 / factor
        matrix = np.zeros((out, n))
        for i in range(out):
            if mode.startswith("nearest"):
                matrix[i, min(int(i * scale if mode == "nearest" else (i + 0.5) * scale), n - 1)] = 1
                continue
            at = (i * (n - 1) / (out - 1) if out > 1 else 0.0) if corners else max((i + 0.5) * scale - 0.5, 0)
            near = min(int(at), n - 1)
            matrix[i, near] += 1 - min(at - near, 1)
            matrix[i, min(near + 1, n - 1)] += min(at - near, 1)
        matrices.append(matrix)
    return matrices


def pixel_shuffle(x: Array, upscale_factor: int) -> Array:
    """Channels become the pixels of squares."""
    x, r = wide(x), upscale_factor
    n, c, h, w = x.shape
    y = np.zeros((n, c // r**2, h * r, w * r), x.dtype)
    for i, j in np.ndindex(r, r):
        y[:, :, i::r, j::r] = x[:, i * r + j::r * r]
    return y


def pixel_unshuffle(x: Array, downscale_factor: int) -> Array:
    """The pixels of squares become channels."""
    x, r = wide(x), downscale_factor
    n, c, h, w = x.shape
    y = np.zeros((n, c * r * r, h // r, w // r), x.dtype)
    for i, j in np.ndindex(r, r):
        y[:, i * r + j::r * r] = x[:, :, i::r, j::r]
    return y


def channel_shuffle(x: Array, groups: int) -> Array:
    """The channels of the groups by turns."""
    x = wide(x)
    each = x.shape[1] // groups
    return x[:, [g * each + i for i in range(each) for g in range(groups)]]
